// Owns: see caches.hpp.
// Does not own: see caches.hpp.
// Threading: see caches.hpp.
#include "vgpu/caches.hpp"

#include <algorithm>

namespace kiln::vgpu {
namespace cache {

constexpr std::uint32_t kLineBytes = 128;
__extension__ typedef unsigned __int128 ByteMask;  // a bit for each byte of a line
constexpr ByteMask kAllBytes = ~ByteMask{0};

constexpr ByteMask bytes_mask(std::uint32_t offset, std::size_t count) {
  return (count >= kLineBytes ? kAllBytes : (ByteMask{1} << count) - 1) << offset;
}

void copy_masked(std::byte* to, const std::byte* from, ByteMask mask) {
  if (mask == kAllBytes) {
    guest_copy(to, from, kLineBytes);
    return;
  }
  for (std::uint32_t i = 0; i < kLineBytes;) {
    if ((mask >> i & 1) == 0) {
      ++i;
      continue;
    }
    std::uint32_t end = i + 1;
    while (end < kLineBytes && (mask >> end & 1) != 0) ++end;
    guest_copy(to + i, from + i, end - i);
    i = end;
  }
}

/// The line that an access touches.
struct Where {
  const AddressSpace* space;
  Va va;            ///< of the line
  std::byte* host;  ///< memory behind it
  std::uint64_t serial;
  Mtype mtype;

  Where(const AddressSpace* in, const Mapping& mapping, Va address)
      : space(in),
        va(address & ~Va{kLineBytes - 1}),
        host(mapping.host + (va - mapping.begin)),
        serial(mapping.serial),
        mtype(mapping.mtype) {}
  bool kept_in_l2() const { return mtype == Mtype::NonCoherent || mtype == Mtype::ReadWrite; }
};

struct Line {
  alignas(16) std::byte data[kLineBytes];
  ByteMask valid = 0, dirty = 0;
  std::byte* host = nullptr;  ///< the tag
  const AddressSpace* space = nullptr;
  Va va = 0;
  std::uint64_t serial = 0, epoch = 0;
  Mtype mtype = Mtype::NonCoherent;
  bool in_dirty_list = false;

  bool holds(const Where& where) const { return host == where.host && serial == where.serial; }
  bool in_range(const CacheActions& actions) const {
    return va < actions.end && va + kLineBytes > actions.begin;
  }
};

std::size_t slot_of(const std::byte* host, std::size_t lines) {
  return reinterpret_cast<std::uintptr_t>(host) / kLineBytes % lines;
}

/// A cache that is written through: lines are whole, and a new epoch forgets them all.
class ReadCache {
 public:
  explicit ReadCache(std::uint32_t kilobytes) : count_(kilobytes * 1024 / kLineBytes) {}

  Line* find(const Where& where) {
    if (lines_.empty()) return nullptr;
    Line& line = lines_[slot_of(where.host, count_)];
    return line.epoch == epoch_ && line.holds(where) ? &line : nullptr;
  }
  /// The caller fills `data`.
  Line& allocate(const Where& where) {
    if (lines_.empty()) lines_.resize(count_);
    Line& line = lines_[slot_of(where.host, count_)];
    line.host = where.host;
    line.serial = where.serial;
    line.va = where.va;
    line.epoch = epoch_;
    return line;
  }
  void drop(const Where& where) {
    if (Line* line = find(where)) line->epoch = 0;
  }
  void drop_some(Random& random) {
    if (!lines_.empty()) lines_[random.below(static_cast<std::uint32_t>(count_))].epoch = 0;
  }
  void invalidate() { ++epoch_; }
  void invalidate(const CacheActions& actions) {
    if (actions.everywhere()) return invalidate();
    for (Line& line : lines_)
      if (line.in_range(actions)) line.epoch = 0;
  }

 private:
  std::size_t count_;
  std::vector<Line> lines_;
  std::uint64_t epoch_ = 1;
};

/// Written back, by bytes. `epoch` forgets clean bytes only.
class L2 {
 public:
  explicit L2(std::uint32_t kilobytes) : count_(kilobytes * 1024ull / kLineBytes) {}

  Line& at(const Where& where) {
    if (lines_.empty()) lines_.resize(count_);
    Line& line = lines_[slot_of(where.host, count_)];
    if (!line.holds(where)) {
      evict(line);
      line.host = where.host;
      line.serial = where.serial;
      line.space = where.space;
      line.va = where.va;
      line.mtype = where.mtype;
    }
    const std::uint64_t now = epoch_ + (line.mtype == Mtype::NonCoherent ? non_coherent_epoch_ : 0);
    if (line.epoch != now) {
      line.valid &= line.dirty;
      line.epoch = now;
    }
    return line;
  }
  Line* find(const Where& where) {
    if (lines_.empty()) return nullptr;
    Line& line = lines_[slot_of(where.host, count_)];
    return line.holds(where) ? &line : nullptr;
  }
  /// Makes the bytes of `mask` present.
  void fill(Line& line, ByteMask mask) {
    copy_masked(line.data, line.host, mask & ~line.valid);
    line.valid |= mask;
  }
  void mark_dirty(Line& line, ByteMask mask) {
    line.valid |= mask;
    line.dirty |= mask;
    if (line.in_dirty_list) return;
    line.in_dirty_list = true;
    dirty_.push_back(static_cast<std::uint32_t>(&line - lines_.data()));
  }
  void write_back(Line& line) {
    if (line.dirty == 0) return;
    // Memory that was unmapped meanwhile may belong to somebody else by now.
    Mapping now;
    if (line.space->find(line.va, &now) && now.serial == line.serial)
      copy_masked(line.host, line.data, line.dirty);
    line.dirty = 0;
  }
  void evict(Line& line) {
    write_back(line);
    line.valid = 0;
    line.host = nullptr;
  }
  void evict_some(Random& random) {
    if (!lines_.empty()) evict(lines_[random.below(static_cast<std::uint32_t>(count_))]);
    if (!dirty_.empty())
      write_back(lines_[dirty_[random.below(static_cast<std::uint32_t>(dirty_.size()))]]);
  }

  template <class Wanted>
  void write_back_if(Wanted wanted) {
    for_each_dirty([&](Line& line) {
      if (wanted(line)) write_back(line);
    });
  }
  /// Dirty bytes too: hardware does not look whether somebody still wanted them.
  void lose(const CacheActions& actions) {
    const bool all = actions.everywhere() && !actions.only_non_coherent;
    for_each_dirty([&](Line& line) {
      if (wanted(line, actions)) line.dirty = 0;
    });
    if (all) {
      ++epoch_;
      return;
    }
    for (Line& line : lines_)
      if (wanted(line, actions)) line.valid = 0;
  }
  void forget_clean() { ++epoch_; }
  void forget_clean_non_coherent() { ++non_coherent_epoch_; }
  template <class Wanted>
  void evict_if(Wanted wanted) {
    for (Line& line : lines_)
      if (line.host != nullptr && wanted(line)) evict(line);
  }
  static bool wanted(const Line& line, const CacheActions& actions) {
    return line.in_range(actions) &&
           (!actions.only_non_coherent || line.mtype == Mtype::NonCoherent);
  }

 private:
  template <class Visit>
  void for_each_dirty(Visit visit) {
    std::erase_if(dirty_, [&](std::uint32_t index) {
      Line& line = lines_[index];
      if (line.dirty != 0) visit(line);
      if (line.dirty != 0) return false;
      line.in_dirty_list = false;
      return true;
    });
  }

  std::size_t count_;
  std::vector<Line> lines_;
  std::vector<std::uint32_t> dirty_;
  std::uint64_t epoch_ = 1, non_coherent_epoch_ = 0;
};

/// An L2 and what lies above it.
class Domain {
 public:
  Domain(const ChipSpec& chip, std::uint64_t seed)
      : l2(chip.l2_kb),
        others(chip.l2_count > 1),
        gfx9(chip.gc.major == 9),
        seeded_(seed != 0),
        random_(seed) {
    const std::uint32_t cus = chip.cu_count / chip.l2_count;
    const std::uint32_t pairs = (cus + chip.cu_per_scalar_cache - 1) / chip.cu_per_scalar_cache;
    vector.assign(cus, ReadCache(chip.vl1_kb));
    scalar.assign(pairs, ReadCache(chip.sl1d_kb));
    fetch.assign(pairs, ReadCache(chip.sl1i_kb));
    if (chip.gl1_kb != 0) gl1.assign(chip.array_count(), ReadCache(chip.gl1_kb));
  }

  /// A random eviction now and then.
  void weather(ReadCache* near) {
    if (!seeded_ || random_.below(kEvictOneIn) != 0) return;
    l2.evict_some(random_);
    if (near != nullptr) near->drop_some(random_);
  }

  /// What the L2 and memory hold. `fresh`: clean bytes are read again where other L2s may have
  /// written them.
  void read(const Where& where, ByteMask mask, std::byte* to, bool fresh) {
    if (!where.kept_in_l2()) {
      copy_masked(to, where.host, mask);
      return;
    }
    Line& line = l2.at(where);
    if (fresh && others) line.valid &= line.dirty;
    l2.fill(line, mask);
    copy_masked(to, line.data, mask);
  }
  /// `data` is a whole line of which the bytes in `mask` are written.
  void write(const Where& where, ByteMask mask, const std::byte* data, bool through) {
    if (!where.kept_in_l2()) {
      copy_masked(where.host, data, mask);
      return;
    }
    Line& line = l2.at(where);
    copy_masked(line.data, data, mask);
    if (through) {
      copy_masked(where.host, data, mask);
      line.valid |= mask;
      line.dirty &= ~mask;
    } else {
      l2.mark_dirty(line, mask);
    }
  }

  void perform(const CacheActions& actions) {
    std::lock_guard lock(mutex);
    auto drop = [&](bool wanted, std::vector<ReadCache>& caches) {
      if (!wanted) return;
      for (ReadCache& one : caches) one.invalidate(actions);
    };
    drop(actions.vector, vector);
    drop(actions.scalar, scalar);
    drop(actions.icache, fetch);
    drop(actions.gl1, gl1);
    if (actions.l2_write_back)
      l2.write_back_if([&](const Line& line) { return L2::wanted(line, actions); });
    if (actions.l2_invalidate) l2.lose(actions);
  }
  void flush(const AddressSpace& space) {
    std::lock_guard lock(mutex);
    l2.evict_if([&](const Line& line) { return line.space == &space; });
    for (auto* caches : {&vector, &scalar, &fetch, &gl1})
      for (ReadCache& one : *caches) one.invalidate();
  }

  std::mutex mutex;
  L2 l2;
  std::vector<ReadCache> vector, scalar, fetch, gl1;
  const bool others;  ///< there are further L2s
  const bool gfx9;

 private:
  static constexpr std::uint32_t kEvictOneIn = 64;
  const bool seeded_;
  Random random_;
};

/// One client's way through a domain. Caches that it does not have are null.
class Port final : public CacheModel {
 public:
  Port(const AddressSpace& space, Domain& domain) : space_(&space), domain_(domain) {}
  Port(const AddressSpace& space, Domain& domain, std::size_t cu, std::size_t pair,
       std::size_t array)
      : space_(&space),
        domain_(domain),
        vector_(&domain.vector[cu]),
        scalar_(&domain.scalar[pair]),
        fetch_(&domain.fetch[pair]),
        gl1_(domain.gl1.empty() ? nullptr : &domain.gl1[array]) {}

  void load(Client client, Scope scope, const Mapping& mapping, Va va, void* to,
            std::size_t bytes) override {
    std::lock_guard lock(domain_.mutex);
    auto* out = static_cast<std::byte*>(to);
    for_each_line(mapping, va, bytes, [&](const Where& where, std::uint32_t offset, std::size_t n) {
      load_line(client, scope, where, offset, n, out);
      out += n;
    });
  }

  void store(Client client, Scope scope, const Mapping& mapping, Va va, const void* from,
             std::size_t bytes) override {
    std::lock_guard lock(domain_.mutex);
    auto* in = static_cast<const std::byte*>(from);
    for_each_line(mapping, va, bytes, [&](const Where& where, std::uint32_t offset, std::size_t n) {
      alignas(16) std::byte line[kLineBytes];
      std::memcpy(line + offset, in, n);
      const ByteMask mask = bytes_mask(offset, n);
      if (vector_ != nullptr && client == Client::Vector)
        if (Line* near = vector_->find(where)) copy_masked(near->data, line, mask);
      if (gl1_ != nullptr) gl1_->drop(where);
      domain_.write(where, mask, line, through(scope));
      domain_.weather(vector_);
      in += n;
    });
  }

  std::byte* begin_atomic(Client, Scope scope, const Mapping& mapping, Va va,
                          std::size_t bytes) override {
    domain_.mutex.lock();
    const Where where(space_, mapping, va);
    const auto offset = static_cast<std::uint32_t>(va - where.va);
    // Atomics execute in the L2 or behind it; the caches above forget the line.
    if (vector_ != nullptr) vector_->drop(where);
    if (gl1_ != nullptr) gl1_->drop(where);
    if (!where.kept_in_l2()) return where.host + offset;
    if (through(scope)) {
      // Several L2s: the device-wide place is memory (CDNA3: device-scope atomics of local memory
      // are coherent between XCDs).
      if (Line* line = domain_.l2.find(where)) domain_.l2.evict(*line);
      return where.host + offset;
    }
    Line& line = domain_.l2.at(where);
    const ByteMask mask = bytes_mask(offset, bytes);
    domain_.l2.fill(line, mask);
    domain_.l2.mark_dirty(line, mask);
    return line.data + offset;
  }
  void end_atomic(Va, std::size_t) override { domain_.mutex.unlock(); }

  void release(Client client, Scope scope) override {
    // buffer_wbl2. The L1 has nothing to write back, and gfx11 has no such instruction.
    if (client != Client::Vector || scope < Scope::Agent || !domain_.gfx9) return;
    std::lock_guard lock(domain_.mutex);
    domain_.l2.write_back_if([](const Line&) { return true; });
  }

  void acquire(Client client, Scope scope) override {
    std::lock_guard lock(domain_.mutex);
    if (client == Client::Scalar && scalar_ != nullptr) scalar_->invalidate();
    if (client == Client::Fetch && fetch_ != nullptr) fetch_->invalidate();
    if (client != Client::Vector || scope == Scope::Wave) return;
    if (domain_.gfx9) {
      // buffer_inv: sc0 the L1, sc1 the L2's stale lines as well; what was written stays.
      if (vector_ != nullptr) vector_->invalidate();
      if (scope >= Scope::Agent && domain_.others) domain_.l2.forget_clean();
      // gfx90a: buffer_invl2 takes what belongs to others; its own memory nobody else keeps.
      if (scope == Scope::System && !domain_.others) domain_.l2.forget_clean_non_coherent();
    } else if (scope == Scope::Workgroup) {
      if (vector_ != nullptr) vector_->invalidate();  // buffer_gl0_inv
    } else if (gl1_ != nullptr) {
      gl1_->invalidate();  // buffer_gl1_inv
    }
  }

 private:
  bool through(Scope scope) const {
    return scope == Scope::System || (scope == Scope::Agent && domain_.others);
  }

  template <class Visit>
  void for_each_line(const Mapping& mapping, Va va, std::size_t bytes, Visit visit) {
    while (bytes > 0) {
      const Where where(space_, mapping, va);
      const auto offset = static_cast<std::uint32_t>(va - where.va);
      const std::size_t n = std::min<std::size_t>(bytes, kLineBytes - offset);
      visit(where, offset, n);
      va += n;
      bytes -= n;
    }
  }

  ReadCache* near(Client client) const {
    switch (client) {
      case Client::Vector:
        return vector_;
      case Client::Scalar:
        return scalar_;
      case Client::Fetch:
        return fetch_;
      case Client::CommandProcessor:
      case Client::Sdma:
        return nullptr;
    }
    return nullptr;
  }

  void load_line(Client client, Scope scope, const Where& where, std::uint32_t offset,
                 std::size_t n, std::byte* out) {
    ReadCache* cache = near(client);
    domain_.weather(cache);
    if (cache != nullptr && scope == Scope::Workgroup && gl1_ != nullptr) {
      // gfx10's glc without dlc: past the CU's cache, but not past the array's.
      cache->drop(where);
      alignas(16) std::byte line[kLineBytes];
      fill_from_gl1(where, line);
      std::memcpy(out, line + offset, n);
      return;
    }
    if (cache != nullptr && scope < Scope::Agent) {
      Line* line = cache->find(where);
      if (line == nullptr) {
        line = &cache->allocate(where);
        fill_from_gl1(where, line->data);
      }
      std::memcpy(out, line->data + offset, n);
      return;
    }
    // Bypass; a copy that was there is dropped ("miss evict").
    if (cache != nullptr) cache->drop(where);
    if (cache != nullptr && gl1_ != nullptr) gl1_->drop(where);
    alignas(16) std::byte line[kLineBytes];
    domain_.read(where, bytes_mask(offset, n), line, scope >= Scope::Agent);
    std::memcpy(out, line + offset, n);
  }

  void fill_from_gl1(const Where& where, std::byte* data) {
    if (gl1_ == nullptr) {
      domain_.read(where, kAllBytes, data, false);
      return;
    }
    Line* line = gl1_->find(where);
    if (line == nullptr) {
      line = &gl1_->allocate(where);
      domain_.read(where, kAllBytes, line->data, false);
    }
    std::memcpy(data, line->data, kLineBytes);
  }

  const AddressSpace* space_;
  Domain& domain_;
  ReadCache* vector_ = nullptr;
  ReadCache* scalar_ = nullptr;
  ReadCache* fetch_ = nullptr;
  ReadCache* gl1_ = nullptr;
};

}  // namespace cache

CacheSystem::CacheSystem(const ChipSpec& chip, std::uint64_t seed) : chip_(chip) {
  for (std::uint32_t i = 0; i < chip.l2_count; ++i)
    domains_.push_back(std::make_unique<cache::Domain>(chip, seed != 0 ? seed + i : 0));
}
CacheSystem::~CacheSystem() = default;

std::unique_ptr<CacheModel> CacheSystem::of_cu(const AddressSpace& space, unsigned xcc,
                                               unsigned cu) {
  const unsigned array = chip_.gl1_kb != 0 ? cu * chip_.array_count() / chip_.cu_per_xcc() : 0;
  return std::make_unique<cache::Port>(space, *domains_[xcc % domains_.size()], cu,
                                       cu / chip_.cu_per_scalar_cache, array);
}

std::unique_ptr<CacheModel> CacheSystem::of_command_processor(const AddressSpace& space,
                                                              unsigned xcc) {
  return std::make_unique<cache::Port>(space, *domains_[xcc % domains_.size()]);
}

std::unique_ptr<CacheModel> CacheSystem::of_sdma(const AddressSpace& space) {
  if (chip_.gc.major == 9) return nullptr;
  return std::make_unique<cache::Port>(space, *domains_[0]);
}

void CacheSystem::perform(unsigned xcc, const CacheActions& actions) {
  if (actions.any()) domains_[xcc % domains_.size()]->perform(actions);
}

void CacheSystem::flush(const AddressSpace& space) {
  for (auto& domain : domains_) domain->flush(space);
}

}  // namespace kiln::vgpu
