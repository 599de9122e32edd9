#include "engine_fixture.hpp"

#include <sys/mman.h>

namespace kiln::vgpu::testing {

namespace pm4 = gpu::pm4;
namespace reg = gpu::reg;

void TestHost::interrupt(std::uint64_t process, std::uint32_t context_id) {
  EXPECT_EQ(process, kProcess);
  std::lock_guard lock(mutex_);
  interrupts_.push_back(context_id);
}
void TestHost::wave_interrupt(const WaveInterrupt& interrupt) {
  EXPECT_EQ(interrupt.process, kProcess);
  std::lock_guard lock(mutex_);
  wave_interrupts_.push_back(interrupt);
}
void TestHost::vm_fault(std::uint64_t process, const MemoryFault& fault) {
  EXPECT_EQ(process, kProcess);
  engines->evict(process);  // before the test sees the fault
  std::lock_guard lock(mutex_);
  faults_.push_back(fault);
}
void TestHost::queue_exception(std::uint64_t process, std::uint32_t queue_id, std::uint64_t codes) {
  EXPECT_EQ(process, kProcess);
  std::lock_guard lock(mutex_);
  exceptions_.push_back({queue_id, codes});
}
std::uint64_t TestHost::clock() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch() /
                                    std::chrono::nanoseconds(1)) /
         10;
}
std::vector<std::uint32_t> TestHost::interrupts() const {
  std::lock_guard lock(mutex_);
  return interrupts_;
}
std::vector<WaveInterrupt> TestHost::wave_interrupts() const {
  std::lock_guard lock(mutex_);
  return wave_interrupts_;
}
std::vector<MemoryFault> TestHost::faults() const {
  std::lock_guard lock(mutex_);
  return faults_;
}
std::vector<Exception> TestHost::exceptions() const {
  std::lock_guard lock(mutex_);
  return exceptions_;
}

bool eventually(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  for (unsigned tries = 0; !holds(); ++tries) {
    if (std::chrono::steady_clock::now() > end) return false;
    if (tries < 100)
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  return true;
}

Stream& Stream::emit(const std::function<void(gpu::DwordWriter&)>& emitter) {
  std::vector<std::uint32_t> room(4096);
  gpu::DwordWriter writer(room);
  EXPECT_TRUE(writer.reserve(4096));
  emitter(writer);
  writer.commit();
  dwords.insert(dwords.end(), writer.committed().begin(), writer.committed().end());
  return *this;
}

Stream& Stream::append(std::span<const std::uint32_t> values) {
  dwords.insert(dwords.end(), values.begin(), values.end());
  return *this;
}

Stream& Stream::write(Va address, std::uint32_t value) {
  put(gpu::Packet<pm4::WriteData>{}
          .set<pm4::WriteData::dst_sel>(pm4::kSelMemory)
          .set<pm4::WriteData::wr_confirm>(1)
          .set<pm4::WriteData::address>(address)
          .tail(1));
  return put({value});
}
Stream& Stream::registers(std::uint32_t first, std::initializer_list<std::uint32_t> values) {
  put(gpu::Packet<pm4::SetShReg>{}
          .set<pm4::SetShReg::reg_offset>(first - pm4::kShRegBase)
          .tail(static_cast<std::uint32_t>(values.size())));
  return put(values);
}
Stream& Stream::idle() {
  return put(gpu::Packet<pm4::EventWrite>{}
                 .set<pm4::EventWrite::event_type>(pm4::kEventCsPartialFlush)
                 .set<pm4::EventWrite::event_index>(pm4::kEventIndexPartialFlush));
}
Stream& Stream::wait32(Va address, std::uint32_t value, pm4::Compare compare) {
  return put(gpu::Packet<pm4::WaitRegMem>{}
                 .set<pm4::WaitRegMem::function>(static_cast<std::uint32_t>(compare))
                 .set<pm4::WaitRegMem::mem_space>(pm4::kMemSpaceMemory)
                 .set<pm4::WaitRegMem::address>(address)
                 .set<pm4::WaitRegMem::reference>(value)
                 .set<pm4::WaitRegMem::mask>(~0u));
}
Stream& Stream::wait64(Va address, std::uint64_t value, pm4::Compare compare) {
  return put(gpu::Packet<pm4::WaitRegMem64>{}
                 .set<pm4::WaitRegMem64::function>(static_cast<std::uint32_t>(compare))
                 .set<pm4::WaitRegMem64::mem_space>(pm4::kMemSpaceMemory)
                 .set<pm4::WaitRegMem64::address>(address)
                 .set<pm4::WaitRegMem64::reference>(value)
                 .set<pm4::WaitRegMem64::mask>(~std::uint64_t{0}));
}
Stream& Stream::signal(Va address, std::uint64_t value, std::uint32_t context) {
  return put(gpu::Packet<pm4::ReleaseMemGfx9>{}
                 .set<pm4::ReleaseMemGfx9::event_type>(pm4::kEventCacheFlushAndInvTs)
                 .set<pm4::ReleaseMemGfx9::event_index>(pm4::kEventIndexEndOfPipe)
                 .set<pm4::ReleaseMemGfx9::int_sel>(context != 0 ? pm4::kIntAfterWriteConfirm
                                                                 : pm4::kIntNoneAfterWriteConfirm)
                 .set<pm4::ReleaseMemGfx9::data_sel>(pm4::kData64)
                 .set<pm4::ReleaseMemGfx9::address>(address)
                 .set<pm4::ReleaseMemGfx9::data>(value)
                 .set<pm4::ReleaseMemGfx9::int_ctxid>(context));
}

TestQueue::TestQueue(EngineFixture& fixture, QueueType type, std::uint64_t ring_bytes,
                     std::uint32_t xcc, bool start)
    : fixture_(fixture) {
  config.id = ++fixture.next_queue_id;
  config.type = type;
  config.ring = fixture.uncached(ring_bytes, 4096);
  config.ring_bytes = ring_bytes;
  const Va pointers = fixture.uncached(sizeof(gpu::aql::Queue));
  if (type == QueueType::Aql) {
    auto* queue = fixture.at<gpu::aql::Queue>(pointers);
    queue->read_dispatch_id_field_base_byte_offset = offsetof(gpu::aql::Queue, read_dispatch_id);
    config.read_pointer = pointers + offsetof(gpu::aql::Queue, read_dispatch_id);
    config.write_pointer = pointers + offsetof(gpu::aql::Queue, write_dispatch_id);
    // Slots start invalid.
    for (Va slot = config.ring; slot < config.ring + ring_bytes; slot += gpu::aql::kPacketBytes)
      *fixture.at<std::uint32_t>(slot) = static_cast<std::uint32_t>(gpu::aql::PacketType::Invalid);
    doorbell = ~std::uint64_t{0};
  } else {
    config.read_pointer = pointers;
    config.write_pointer = pointers + 128;
  }
  config.doorbell = &doorbell;
  config.doorbell_id = config.id + 100;
  config.trap_handler = &fixture.trap_handler;
  config.target_xcc = xcc;
  config.space = &fixture.space;
  config.process = kProcess;
  config.runtime_enabled = true;
  if (!start) return;
  alive_ = true;
  fixture.engines->create_queue(config);
}

TestQueue::~TestQueue() {
  destroy();
}

void TestQueue::destroy() {
  if (alive_) fixture_.engines->destroy_queue(kProcess, config.id);
  alive_ = false;
}

void TestQueue::submit(std::span<const std::uint32_t> dwords) {
  const bool sdma = config.type == QueueType::Sdma;
  const std::uint64_t size = config.ring_bytes / 4;
  std::uint64_t at = sdma ? write_pointer / 4 : write_pointer;
  for (const std::uint32_t dword : dwords)
    *fixture_.at<std::uint32_t>(config.ring + at++ % size * 4) = dword;
  write_pointer = sdma ? at * 4 : at;
  fixture_.store(config.write_pointer, write_pointer);
  doorbell.store(write_pointer, std::memory_order_release);
}

void TestQueue::packet(const std::array<std::uint32_t, 16>& dwords) {
  const std::uint64_t slots = config.ring_bytes / gpu::aql::kPacketBytes;
  EXPECT_TRUE(eventually([&] { return write_pointer - read_pointer() < slots; }));
  const Va slot = config.ring + write_pointer % slots * gpu::aql::kPacketBytes;
  std::memcpy(fixture_.host(slot) + 4, &dwords[1], 60);
  fixture_.store(slot, dwords[0]);
  doorbell.store(write_pointer++, std::memory_order_release);
}

void TestQueue::indirect(const Stream& stream, bool barrier, Va completion) {
  gpu::aql::Pm4IbPacket vendor{};
  vendor.header = gpu::aql::header(gpu::aql::PacketType::VendorSpecific, barrier,
                                   gpu::aql::FenceScope::None, gpu::aql::FenceScope::None);
  vendor.format = gpu::aql::AmdFormat::Pm4Ib;
  const auto ib = gpu::Packet<pm4::IndirectBuffer>{}
                      .set<pm4::IndirectBuffer::address>(fixture_.buffer(stream))
                      .set<pm4::IndirectBuffer::size>(stream.dwords.size())
                      .set<pm4::IndirectBuffer::valid>(1);
  std::memcpy(vendor.indirect_buffer, ib.dwords.data(), 16);
  vendor.dwords_remaining = 10;
  vendor.completion_signal = completion;
  packet(vendor);
}

std::uint64_t TestQueue::read_pointer() const {
  return fixture_.load<std::uint64_t>(config.read_pointer);
}

EngineFixture::EngineFixture(const char* name, EngineOptions options)
    : chip(*find_chip(name)), target(*gpu::find_target(chip.gfx_ip)) {
  for (int i = 0; i < 2; ++i) {
    arena_[i] = static_cast<std::byte*>(mmap(nullptr, kArenaBytes, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    Mapping mapping;
    mapping.begin = i == 0 ? kUncached : kCached;
    mapping.end = mapping.begin + kArenaBytes;
    mapping.host = arena_[i];
    mapping.mtype = i == 0               ? Mtype::Uncached
                    : chip.gc.major == 9 ? Mtype::ReadWrite
                                         : Mtype::NonCoherent;
    EXPECT_TRUE(space.map(mapping));
  }
  engines = make_engines(chip, options, host_side);
  host_side.engines = engines.get();
}

EngineFixture::~EngineFixture() {
  engines.reset();
  for (std::byte* arena : arena_) munmap(arena, kArenaBytes);
}

Va EngineFixture::uncached(std::uint64_t bytes, std::uint64_t align) {
  used_[0] = (used_[0] + align - 1) / align * align;
  const Va va = kUncached + used_[0];
  used_[0] += bytes;
  EXPECT_LE(used_[0], kArenaBytes);
  return va;
}
Va EngineFixture::cached(std::uint64_t bytes, std::uint64_t align) {
  used_[1] = (used_[1] + align - 1) / align * align;
  const Va va = kCached + used_[1];
  used_[1] += bytes;
  EXPECT_LE(used_[1], kArenaBytes);
  return va;
}

std::byte* EngineFixture::host(Va va) {
  return va >= kCached ? arena_[1] + (va - kCached) : arena_[0] + (va - kUncached);
}

Va EngineFixture::code(std::span<const std::uint32_t> dwords) {
  const Va va = uncached(dwords.size_bytes() + 64);
  std::memcpy(host(va), dwords.data(), dwords.size_bytes());
  return va;
}

Va EngineFixture::buffer(const Stream& stream) {
  const Va va = uncached(stream.dwords.size() * 4);
  std::memcpy(host(va), stream.dwords.data(), stream.dwords.size() * 4);
  return va;
}

void EngineFixture::dispatch(Stream& stream, Va program, std::initializer_list<Va> user,
                             std::uint32_t groups, std::uint32_t threads) {
  using Rsrc2 = reg::PgmRsrc2;
  using Initiator = reg::DispatchInitiator;
  stream.registers(reg::PgmLo::kOffset, {static_cast<std::uint32_t>(program >> 8),
                                         static_cast<std::uint32_t>(program >> 40)});
  const std::uint32_t rsrc1 = 3;  // a few VGPRs
  const std::uint32_t rsrc2 = gpu::RegisterValue<Rsrc2>{}
                                  .set<Rsrc2::user_sgpr>(user.size() * 2)
                                  .set<Rsrc2::tgid_x_en>(1)
                                  .value;
  stream.registers(reg::PgmRsrc1::kOffset, {rsrc1, rsrc2});
  stream.registers(target.dispatch.rsrc3_register, {0});
  stream.registers(reg::NumThreadX::kOffset, {threads, 1, 1});
  std::uint32_t offset = reg::UserData0::kOffset;
  for (const Va value : user) {
    stream.registers(offset,
                     {static_cast<std::uint32_t>(value), static_cast<std::uint32_t>(value >> 32)});
    offset += 2;
  }
  const std::uint32_t initiator = gpu::RegisterValue<Initiator>{}
                                      .set<Initiator::compute_shader_en>(1)
                                      .set<Initiator::force_start_at_000>(1)
                                      .set<Initiator::cs_w32_en>(chip.gc.major != 9)
                                      .value;
  stream.put(gpu::Packet<pm4::DispatchDirect>{}
                 .set<pm4::DispatchDirect::dim_x>(groups)
                 .set<pm4::DispatchDirect::dim_y>(1)
                 .set<pm4::DispatchDirect::dim_z>(1)
                 .set<pm4::DispatchDirect::initiator>(initiator));
}

}  // namespace kiln::vgpu::testing
