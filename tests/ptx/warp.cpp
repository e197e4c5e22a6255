#include "ptx/warp.h"

#include <algorithm>
#include <cstring>

namespace lacuna::ptx {
namespace {

std::uint32_t special_value(Special which, const Warp& w, unsigned lane) {
  const Block& b = w.block;
  const Shape& s = w.launch.shape;
  const unsigned t = w.index * 32 + lane;
  const std::uint32_t bit = 1u << lane;
  switch (which) {
    case Special::tid_x: return t % s.block.x;
    case Special::tid_y: return t / s.block.x % s.block.y;
    case Special::tid_z: return t / s.block.x / s.block.y;
    case Special::ntid_x: return s.block.x;
    case Special::ntid_y: return s.block.y;
    case Special::ntid_z: return s.block.z;
    case Special::ctaid_x: return b.index.x;
    case Special::ctaid_y: return b.index.y;
    case Special::ctaid_z: return b.index.z;
    case Special::nctaid_x: return s.grid.x;
    case Special::nctaid_y: return s.grid.y;
    case Special::nctaid_z: return s.grid.z;
    case Special::laneid: return lane;
    case Special::warpid: return w.index;
    case Special::lanemask_eq: return bit;
    case Special::lanemask_le: return bit | (bit - 1);
    case Special::lanemask_lt: return bit - 1;
    case Special::lanemask_ge: return ~(bit - 1);
    case Special::lanemask_gt: return ~(bit | (bit - 1));
    case Special::cluster_ctarank: return b.rank;
    case Special::cluster_nctarank: return s.cluster;
    case Special::clusterid_x: return b.index.x / s.cluster;
    case Special::nclusterid_x: return s.grid.x / s.cluster;
    case Special::dynamic_smem_size: return static_cast<std::uint32_t>(s.dynamic_shared);
  }
  return 0;
}

}  // namespace

Warp::Warp(Block& its_block, unsigned its_index)
    : block(its_block),
      launch(its_block.launch),
      program(launch.program),
      index(its_index),
      defined(program.slots, 0),
      local(program.local * 32, std::byte{0xff}),
      storage_(std::make_unique_for_overwrite<std::byte[]>(std::size_t{program.slots} * slot_bytes +
                                                           slot_bytes)) {
  const auto at = reinterpret_cast<std::uintptr_t>(storage_.get());
  file = storage_.get() + (slot_bytes - at % slot_bytes) % slot_bytes;
  const std::size_t threads = launch.shape.block.count();
  for (unsigned lane = 0; lane < 32; ++lane)
    if (index * 32 + lane < threads) exists |= 1u << lane;
  for (const auto& constant : program.constants) {
    defined[constant.slot] = all_lanes;
    switch (constant.width) {
      case 0: predicate(constant.slot) = static_cast<std::uint32_t>(constant.bits); break;
      case 2:
        std::fill_n(lanes<std::uint16_t>(constant.slot), 32,
                    static_cast<std::uint16_t>(constant.bits));
        break;
      case 4:
        std::fill_n(lanes<std::uint32_t>(constant.slot), 32,
                    static_cast<std::uint32_t>(constant.bits));
        break;
      default: std::fill_n(lanes<std::uint64_t>(constant.slot), 32, constant.bits);
    }
  }
  for (const auto& use : program.specials) {
    defined[use.slot] = all_lanes;
    for (unsigned lane = 0; lane < 32; ++lane)
      lanes<std::uint32_t>(use.slot)[lane] = special_value(use.special, *this, lane);
  }
}

std::uint64_t Warp::value(Slot slot, unsigned width, unsigned lane) {
  switch (width) {
    case 0: return predicate(slot) >> lane & 1;
    case 2: return lanes<std::uint16_t>(slot)[lane];
    case 4: return lanes<std::uint32_t>(slot)[lane];
    default: return lanes<std::uint64_t>(slot)[lane];
  }
}

void Warp::set_value(Slot slot, unsigned width, unsigned lane, std::uint64_t value) {
  switch (width) {
    case 0: predicate(slot) = (predicate(slot) & ~(1u << lane)) | (value & 1u) << lane; break;
    case 2: lanes<std::uint16_t>(slot)[lane] = static_cast<std::uint16_t>(value); break;
    case 4: lanes<std::uint32_t>(slot)[lane] = static_cast<std::uint32_t>(value); break;
    default: lanes<std::uint64_t>(slot)[lane] = value;
  }
}

void Warp::save() {
  for (std::uint32_t rest = active; rest; rest &= rest - 1) lane_pc[std::countr_zero(rest)] = pc;
}

// Picks the lanes that go on: those furthest behind, or, where `any`, those of some place.
void Warp::regroup(bool any) {
  save();
  active = 0;
  const std::uint32_t can = exists & ~exited & ~waiting;
  if (!can) {
    stopped = true;
    return;
  }
  if (any) {
    unsigned skip = launch.random.below(static_cast<unsigned>(std::popcount(can)));
    std::uint32_t rest = can;
    while (skip--) rest &= rest - 1;
    pc = lane_pc[std::countr_zero(rest)];
  } else {
    pc = ~0u;
    each(can, [&](unsigned lane) { pc = std::min(pc, lane_pc[lane]); });
  }
  next_stop = ~0u;
  for (std::uint32_t rest = can; rest; rest &= rest - 1) {
    const auto lane = static_cast<unsigned>(std::countr_zero(rest));
    if (lane_pc[lane] == pc)
      active |= 1u << lane;
    else if (lane_pc[lane] > pc)
      next_stop = std::min(next_stop, lane_pc[lane]);
  }
  if (launch.how.part_lanes && launch.random.below(2)) {
    const std::uint32_t some = active & launch.random.next();
    if (some) active = some, next_stop = ~0u;
  }
}

void Warp::run(unsigned budget) {
  stopped = polled = false;
  block.started = true;
  // Lanes behind may wait for lanes ahead, so that now and then the others come first.
  regroup(launch.random.below(8) == 0);
  const bool check = launch.how.check_registers;
  while (budget-- > 0 && !stopped) {
    if (pc >= next_stop) {
      regroup();
      if (stopped) break;
    }
    const Instruction& i = program.code[pc];
    std::uint32_t mask = active;
    if (i.guard != no_slot) {
      if (check && (mask & ~defined[i.guard]))
        fail(i, static_cast<unsigned>(std::countr_zero(mask & ~defined[i.guard])),
             "its guard comes from a register that was never written");
      mask &= i.guard_negated ? ~predicate(i.guard) : predicate(i.guard);
    }
    ++pc;
    if (!mask) continue;
    if (launch.counts) {
      auto& executed = launch.counts->by_class[static_cast<std::size_t>(i.kind)];
      ++executed.warps;
      executed.threads += static_cast<unsigned>(std::popcount(mask));
    }
    const std::uint32_t unwritten = check ? unwritten_sources(i, mask) : 0;
    i.handler(*this, i, mask);
    for (unsigned r = 0; r < i.results; ++r)
      defined[i.slot[r]] = (defined[i.slot[r]] | mask) & ~unwritten;
  }
  save();
}

// Lanes whose result depends on a register that was never written. Compilers compute such results and select them
// away, so that only their use is a fault: as an address, a mask, a guard, or stored in global memory.
std::uint32_t Warp::unwritten_sources(const Instruction& i, std::uint32_t mask) {
  std::uint32_t lanes = 0;
  for (unsigned s = 0; s < i.sources; ++s) {
    const std::uint32_t missing = mask & ~defined[i.slot[i.first_source + s]];
    if (missing && (i.must_be_written >> s & 1))
      fail(i, static_cast<unsigned>(std::countr_zero(missing)),
           "source operand " + std::to_string(s + 1) +
               " comes from a register that was never written");
    lanes |= missing;
  }
  if (lanes && i.selects) {
    const std::uint32_t a = defined[i.slot[1]], b = defined[i.slot[2]], p = defined[i.slot[3]];
    const std::uint32_t chosen = predicate(i.slot[3]);
    lanes = mask & ~(p & ((chosen & a) | (~chosen & b)));
  }
  return lanes;
}

bool Warp::gather(const Instruction& i, std::uint32_t mask, std::uint32_t members) {
  const std::uint32_t here = pc - 1;
  if (members & ~exists || members & exited)
    fail(i, static_cast<unsigned>(std::countr_zero(mask)),
         "it is for the lanes " + std::to_string(members) + " (a mask), of which " +
             std::to_string(members & (exited | ~exists)) +
             (members & ~exists ? " do not exist" : " have exited"));
  std::uint32_t arrived = mask;
  each(waiting, [&](unsigned lane) {
    if (lane_pc[lane] == here) arrived |= 1u << lane;
  });
  if (members & ~arrived) {
    each(mask, [&](unsigned lane) { lane_pc[lane] = here; });
    waiting |= mask;
    active &= ~mask;
    if (!active) regroup();
    return false;
  }
  // Those that had waited are behind this instruction now, and go on with the others.
  const std::uint32_t waited = members & waiting;
  if (waited) {
    each(waited, [&](unsigned lane) { lane_pc[lane] = pc; });
    waiting &= ~waited;
    next_stop = pc;
  }
  if (launch.how.part_lanes) next_stop = pc;  // here they may part again
  return true;
}

void Warp::branch(std::uint32_t taken, std::uint32_t target) {
  if (taken == active) {
    pc = target;
    return;
  }
  if (launch.counts) ++launch.counts->diverged;
  each(taken, [&](unsigned lane) { lane_pc[lane] = target; });
  active &= ~taken;
  save();
  regroup();
}

void Warp::leave(std::uint32_t gone) {
  exited |= gone;
  active &= ~gone;
  ++launch.progress;
  if (exited == exists) {
    state = State::done;
    stopped = true;
    if (block.cluster) Block::settle(*block.cluster);
  } else if (!active) {
    regroup();
  }
}

void Warp::block_at(State why) {
  state = why;
  stands = pc - 1;
  stopped = true;
}

std::string Warp::thread(unsigned lane) const {
  const unsigned t = index * 32 + lane;
  const Dim3& d = launch.shape.block;
  const auto three = [](unsigned x, unsigned y, unsigned z) {
    return "(" + std::to_string(x) + ", " + std::to_string(y) + ", " + std::to_string(z) + ")";
  };
  return "block " + three(block.index.x, block.index.y, block.index.z) + ", thread " +
         three(t % d.x, t / d.x % d.y, t / d.x / d.y);
}

std::string Warp::where(const Instruction& i) const {
  const Module& module = *launch.kernel.module;
  std::string text = module.name + ", line " + std::to_string(i.line);
  if (i.source) {
    const auto& source = program.sources[i.source - 1];
    const auto file = module.files.find(source.file);
    text += " (" +
            (file == module.files.end() ? "file " + std::to_string(source.file) : file->second) +
            ":" + std::to_string(source.line) + ")";
  }
  return text + ", '" + std::string(program.statements[i.index]) + "'";
}

void Warp::fail(const Instruction& i, unsigned lane, const std::string& what) const {
  throw Fault(launch.kernel.facts.name + ", " + where(i) + ", " + thread(lane) + ": " + what);
}

}  // namespace lacuna::ptx
