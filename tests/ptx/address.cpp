// From addresses to host pointers: state spaces, bounds, alignment, and what a profiler would count of it.
#include <algorithm>
#include <cstring>

#include "ptx/warp.h"

namespace lacuna::ptx {
namespace {

std::string hex(std::uint64_t value) {
  static const char* const digits = "0123456789abcdef";
  std::string text;
  do text.insert(text.begin(), digits[value & 15]);
  while (value >>= 4);
  return "0x" + text;
}

// Distinct sectors of 32 bytes.
void count_global(Counts::Global& counts, const std::uint64_t* addresses, std::uint32_t mask,
                  unsigned bytes) {
  std::uint64_t sectors[64];
  unsigned n = 0;
  each(mask, [&](unsigned lane) {
    sectors[n++] = addresses[lane] / 32;
    if (bytes > 32) sectors[n++] = addresses[lane] / 32 + 1;
  });
  std::sort(sectors, sectors + n);
  counts.sectors += static_cast<std::uint64_t>(std::unique(sectors, sectors + n) - sectors);
  counts.bytes += std::uint64_t{bytes} * static_cast<unsigned>(std::popcount(mask));
  ++counts.requests;
}

// Banks are 4 bytes wide; lanes that want the same word share it. Accesses of 8 and 16 bytes go by half and
// quarter warps, which is where their least comes from.
void count_shared(Counts::Shared& counts, const std::uint64_t* addresses, std::uint32_t mask,
                  unsigned bytes) {
  ++counts.requests;
  const unsigned lanes_at_once = bytes <= 4 ? 32 : bytes == 8 ? 16 : 8;
  for (unsigned first = 0; first < 32; first += lanes_at_once) {
    std::uint64_t words[64];
    unsigned n = 0;
    for (unsigned lane = first; lane < first + lanes_at_once; ++lane)
      if (mask >> lane & 1)
        for (unsigned word = 0; word < (bytes + 3) / 4; ++word)
          words[n++] = addresses[lane] / 4 + word;
    if (n == 0) continue;
    std::sort(words, words + n);
    n = static_cast<unsigned>(std::unique(words, words + n) - words);
    unsigned per_bank[32] = {}, most = 0;
    for (unsigned i = 0; i < n; ++i) most = std::max(most, ++per_bank[words[i] % 32]);
    counts.wavefronts += most;
    counts.least += (n + 31) / 32;
  }
}

}  // namespace

std::uint64_t Warp::address(const Instruction& i, unsigned operand, unsigned lane) {
  const Slot slot = i.slot[operand];
  if (i.address_wide)
    return lanes<std::uint64_t>(slot)[lane] + static_cast<std::uint64_t>(i.immediate);
  return static_cast<std::uint32_t>(lanes<std::uint32_t>(slot)[lane] +
                                    static_cast<std::uint32_t>(i.immediate));
}

void Warp::translate(const Instruction& i, std::uint32_t mask, unsigned operand, bool write,
                     std::byte** pointers) {
  const unsigned bytes = unsigned{i.bytes} * i.vector;
  alignas(64) std::uint64_t addresses[32];
  const auto offset = static_cast<std::uint64_t>(i.immediate);
  if (i.address_wide) {
    const auto* base = at<std::uint64_t>(i, operand);
    each(mask, [&](unsigned lane) { addresses[lane] = base[lane] + offset; });
  } else {
    const auto* base = at<std::uint32_t>(i, operand);
    each(mask,
         [&](unsigned lane) { addresses[lane] = static_cast<std::uint32_t>(base[lane] + offset); });
  }
  std::uint64_t least = ~std::uint64_t{0}, most = 0, bits = 0;
  for (std::uint32_t rest = mask; rest; rest &= rest - 1) {
    const std::uint64_t a = addresses[std::countr_zero(rest)];
    least = std::min(least, a), most = std::max(most, a), bits |= a;
  }
  const auto lane_where = [&](auto bad) {
    std::uint32_t rest = mask;
    while (!bad(addresses[std::countr_zero(rest)])) rest &= rest - 1;
    return static_cast<unsigned>(std::countr_zero(rest));
  };
  const auto access = [&] {
    return std::string(write ? "a write" : "a read") + " of " + std::to_string(bytes) + " bytes";
  };
  if (bits & (bytes - 1)) {
    const unsigned lane = lane_where([&](std::uint64_t a) { return a & (bytes - 1); });
    fail(i, lane, access() + " at " + hex(addresses[lane]) + ", which is not aligned to them");
  }

  // Several spaces in one generic access: lane by lane.
  Space space = i.space;
  if (space == Space::generic) {
    const std::uint64_t window = least & window_mask;
    if ((most & window_mask) != window) {
      each(mask, [&](unsigned lane) { translate(i, 1u << lane, operand, write, pointers); });
      return;
    }
    space = window == shared_window  ? Space::cluster
            : window == local_window ? Space::local
                                     : Space::global;
    if (space != Space::global) {
      each(mask, [&](unsigned lane) { addresses[lane] &= ~window_mask; });
      most &= ~window_mask;
    }
  }

  switch (space) {
    case Space::global: {
      if (!launch.memory.allows(least, most - least + bytes, write))
        each(mask, [&](unsigned lane) {
          const std::uint64_t a = addresses[lane];
          if (!launch.memory.allows(a, bytes, write) &&
              !launch.kernel.module->owns(a, bytes, write))
            fail(i, lane,
                 access() + " at " + hex(a) +
                     ((a & window_mask) || a < 1u << 28
                          ? ", which is no address of global memory (shared, or a null pointer?)"
                          : ", which no allocation holds"));
        });
      if (launch.counts)
        count_global(write ? launch.counts->stores : launch.counts->loads, addresses, mask, bytes);
      each(mask,
           [&](unsigned lane) { pointers[lane] = reinterpret_cast<std::byte*>(addresses[lane]); });
      break;
    }
    case Space::shared: {
      const std::uint64_t size = block.shared.size();
      if (least < shared_base || most - shared_base + bytes > size) {
        const unsigned lane = lane_where(
            [&](std::uint64_t a) { return a < shared_base || a - shared_base + bytes > size; });
        const std::uint64_t a = addresses[lane];
        fail(i, lane,
             access() + " at " + hex(a) +
                 (a >> 32 ? ", a generic address where one of .shared is expected"
                  : a >> cluster_shift
                      ? ", an address of another block where one of .shared::cta is expected"
                      : ", beyond the block's " + std::to_string(size) +
                            " bytes of shared memory, which begin at " + hex(shared_base)));
      }
      std::byte* const base = block.shared.data();
      each(mask, [&](unsigned lane) { pointers[lane] = base + (addresses[lane] - shared_base); });
      if (!block.mbarriers.empty())
        each(mask, [&](unsigned lane) {
          const auto a = static_cast<std::uint32_t>(addresses[lane] - shared_base);
          const auto next = block.mbarriers.lower_bound(a > 7 ? a - 7 : 0);
          if (next != block.mbarriers.end() && next->first < a + bytes)
            fail(i, lane, access() + " at a live mbarrier");
        });
      if (launch.counts)
        count_shared(write ? launch.counts->shared_stores : launch.counts->shared_loads, addresses,
                     mask, bytes);
      break;
    }
    case Space::cluster:
      each(mask, [&](unsigned lane) {
        const std::uint64_t a = addresses[lane];
        Block& owner = owner_of(i, lane, a);
        const std::uint64_t own = (a & ((1u << cluster_shift) - 1)) - shared_base;
        if (own > owner.shared.size() || own + bytes > owner.shared.size())
          fail(i, lane,
               access() + " at " + hex(a) + ", beyond a block's " +
                   std::to_string(owner.shared.size()) + " bytes of shared memory");
        pointers[lane] = owner.shared.data() + own;
      });
      break;
    case Space::local:
      each(mask, [&](unsigned lane) {
        if (addresses[lane] + bytes > program.local)
          fail(i, lane,
               access() + " at " + hex(addresses[lane]) + ", beyond the thread's " +
                   std::to_string(program.local) + " bytes of local memory");
        pointers[lane] = local.data() + lane * program.local + addresses[lane];
      });
      break;
    case Space::parameter:
      if (write) fail(i, lane_where([](auto) { return true; }), "parameters are not to be written");
      each(mask, [&](unsigned lane) {
        if (addresses[lane] + bytes > launch.parameters.size())
          fail(i, lane,
               access() + " at " + hex(addresses[lane]) + ", beyond the " +
                   std::to_string(launch.parameters.size()) + " bytes of parameters");
        pointers[lane] = launch.parameters.data() + addresses[lane];
      });
      break;
    case Space::constant:
      each(mask, [&](unsigned lane) {
        if (write || !launch.kernel.module->owns(addresses[lane], bytes, false))
          fail(i, lane, access() + " at " + hex(addresses[lane]) + ", which is no constant");
        pointers[lane] = reinterpret_cast<std::byte*>(addresses[lane]);
      });
      break;
    case Space::generic: break;
  }
}

Block& Warp::owner_of(const Instruction& i, unsigned lane, std::uint64_t address) {
  const std::uint64_t rank = address >> cluster_shift;
  if (rank == 0) return block;
  if (rank > block.cluster->blocks.size())
    fail(i, lane, hex(address) + " is no address of the cluster's shared memory");
  Block& owner = *block.cluster->blocks[rank - 1];
  if (&owner != &block) {
    if (!owner.started)
      fail(i, lane,
           "the shared memory of block " + std::to_string(rank - 1) +
               " of the cluster, which has not begun");
    if (owner.finished)
      fail(i, lane,
           "the shared memory of block " + std::to_string(rank - 1) +
               " of the cluster, which has ended");
  }
  return owner;
}

}  // namespace lacuna::ptx
