// Owns: the engines of a GPU: its queues from creation to destruction.
// Does not own: what queues do (command_processor, aql_processor, sdma_engine).
// Threading: safe from any thread. evict() may come from an engine's own step, so it waits for
// nobody;
//   destroy_queue() and update_queue() wait for steps under way and must not.
#include "vgpu/engines.hpp"

#include <algorithm>
#include <map>
#include <mutex>

#include "vgpu/aql_processor.hpp"
#include "vgpu/sdma_engine.hpp"

namespace kiln::vgpu {
namespace {

class EnginesOfGpu final : public Engines {
 public:
  EnginesOfGpu(const ChipSpec& chip, const gpu::Target& target, const EngineOptions& options,
               EngineHost& host)
      : context_(chip, target, options, host) {}

  ~EnginesOfGpu() override {
    while (true) {
      Key key;
      {
        std::lock_guard lock(mutex_);
        if (queues_.empty()) return;
        key = queues_.begin()->first;
      }
      destroy_queue(key.first, key.second);
    }
  }

  void create_queue(const QueueConfig& config) override {
    auto queue = std::make_shared<Queue>();
    queue->state = std::make_shared<QueueState>(context_, config);
    switch (config.type) {
      case QueueType::Pm4: {
        // Bound to one XCC, which takes all workgroups (init_mqd_v9_4_3: logical id 0, chunk 0).
        const CommandProcessor::Place place{config.target_xcc, 0, 1};
        queue->tasks.push_back(std::make_shared<CommandProcessor>(queue->state, place, true));
        break;
      }
      case QueueType::Aql: {
        std::vector<std::shared_ptr<CommandProcessor>> xccs;
        for (std::uint32_t i = 0; i < context_.chip.xcc_count; ++i) {
          const CommandProcessor::Place place{i, i, context_.chip.xcc_count};
          xccs.push_back(std::make_shared<CommandProcessor>(queue->state, place, false));
        }
        queue->tasks.push_back(std::make_shared<AqlProcessor>(queue->state, xccs));
        queue->tasks.insert(queue->tasks.end(), xccs.begin(), xccs.end());
        break;
      }
      case QueueType::Sdma:
      case QueueType::SdmaXgmi:
        queue->tasks.push_back(std::make_shared<SdmaEngine>(queue->state));
        break;
    }
    {
      std::lock_guard lock(mutex_);
      queues_[{config.process, config.id}] = queue;
    }
    if (takes_slot(config.type)) context_.slots.add(queue->state.get());
    context_.scheduler.start();
    for (const auto& task : queue->tasks) context_.scheduler.add(task);
  }

  void update_queue(std::uint64_t process, std::uint32_t id, Va ring, std::uint64_t ring_bytes,
                    std::uint32_t percentage, std::uint32_t priority) override {
    const std::shared_ptr<Queue> queue = find(process, id);
    if (queue == nullptr) return;
    context_.scheduler.pause(*queue->state->tasks);
    QueueConfig& config = queue->state->config;
    config.ring = ring;
    config.ring_bytes = ring_bytes;
    config.priority = priority;
    context_.slots.remove(queue->state.get());
    // KFD maps a queue only with a ring and a share of time (kfd_priv.h QUEUE_IS_ACTIVE).
    if (percentage == 0 || ring == 0 || ring_bytes == 0) return;
    if (takes_slot(config.type)) context_.slots.add(queue->state.get());
    context_.scheduler.resume(*queue->state->tasks);
  }

  void set_cu_mask(std::uint64_t process, std::uint32_t id, const std::uint32_t* words,
                   std::uint32_t count) override {
    const std::shared_ptr<Queue> queue = find(process, id);
    if (queue == nullptr) return;
    // Bits go round the XCCs in turn (kfd_mqd_manager.c mqd_symmetrically_map_cu_mask).
    const std::uint32_t xccs = context_.chip.xcc_count, cus = context_.chip.cu_per_xcc();
    std::vector<std::shared_ptr<const std::vector<bool>>> masks;
    for (std::uint32_t xcc = 0; xcc < xccs; ++xcc) {
      auto mask = std::make_shared<std::vector<bool>>(cus);
      for (std::uint32_t cu = 0; cu < cus; ++cu) {
        const std::uint32_t bit = cu * xccs + xcc;
        (*mask)[cu] = bit / 32 < count && (words[bit / 32] >> bit % 32 & 1) != 0;
      }
      masks.push_back(std::move(mask));
    }
    std::lock_guard lock(queue->state->mask_mutex);
    queue->state->cu_masks = std::move(masks);
  }

  void destroy_queue(std::uint64_t process, std::uint32_t id) override {
    std::shared_ptr<Queue> queue;
    {
      std::lock_guard lock(mutex_);
      auto found = queues_.find({process, id});
      if (found == queues_.end()) return;
      queue = std::move(found->second);
      queues_.erase(found);
    }
    queue->state->stopped = true;
    context_.scheduler.drop(*queue->state->tasks, true);
    context_.slots.remove(queue->state.get());
    queue->tasks.clear();
    // Unmapping a queue writes back what it left in the caches.
    if (context_.caches != nullptr) context_.caches->flush(*queue->state->config.space);
    context_.scheduler.stop();
  }

  void evict(std::uint64_t process) override {
    std::vector<std::shared_ptr<Queue>> evicted;
    {
      std::lock_guard lock(mutex_);
      for (auto& [key, queue] : queues_)
        if (key.first == process) evicted.push_back(queue);
    }
    for (auto& queue : evicted) {
      queue->state->stopped = true;
      context_.scheduler.drop(*queue->state->tasks, false);
      context_.slots.remove(queue->state.get());
    }
  }

  void flush_caches(const AddressSpace& space) override {
    if (context_.caches != nullptr) context_.caches->flush(space);
  }

  void flush_hdp() override {
    // Stores through the BAR are plain stores to the memory behind the GPU: nothing is held back.
  }

  std::uint64_t instructions() const override { return context_.instructions.load(); }

 private:
  static bool takes_slot(QueueType type) {
    return type == QueueType::Pm4 || type == QueueType::Aql;
  }

  using Key = std::pair<std::uint64_t, std::uint32_t>;
  struct Queue {
    std::shared_ptr<QueueState> state;
    std::vector<std::shared_ptr<Task>> tasks;
  };

  std::shared_ptr<Queue> find(std::uint64_t process, std::uint32_t id) {
    std::lock_guard lock(mutex_);
    auto found = queues_.find({process, id});
    return found == queues_.end() ? nullptr : found->second;
  }

  EngineContext context_;
  std::mutex mutex_;
  std::map<Key, std::shared_ptr<Queue>> queues_;
};

}  // namespace

std::unique_ptr<Engines> make_engines(const ChipSpec& chip, const EngineOptions& options,
                                      EngineHost& host) {
  const gpu::Target* target = gpu::find_target(chip.gfx_ip);
  if (target == nullptr) return nullptr;
  return std::make_unique<EnginesOfGpu>(chip, *target, options, host);
}

}  // namespace kiln::vgpu
