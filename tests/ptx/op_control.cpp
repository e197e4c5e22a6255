// Branches, barriers, and what the lanes of a warp do together.
#include <bit>

#include "ptx/lanewise.h"

namespace lacuna::ptx {
namespace {

void bra(Warp& w, const Instruction& i, std::uint32_t mask) {
  w.branch(mask, static_cast<std::uint32_t>(i.immediate));
}
void leave(Warp& w, const Instruction&, std::uint32_t mask) { w.leave(mask); }
void trap(Warp& w, const Instruction& i, std::uint32_t mask) {
  w.fail(i, static_cast<unsigned>(std::countr_zero(mask)), "a trap");
}
void nothing(Warp&, const Instruction&, std::uint32_t) {}
void pause(Warp& w, const Instruction&, std::uint32_t) { w.poll(); }

void decode_bra(Decoder& decoder) {
  decoder.expect_operands(1, 1);
  decoder.target(decoder.statement().operands[0]);
  decoder.instruction().handler = bra;
}

unsigned first(std::uint32_t mask) { return static_cast<unsigned>(std::countr_zero(mask)); }

// The value that all lanes in `mask` must agree on.
std::uint32_t common(Warp& w, const Instruction& i, std::uint32_t mask, unsigned operand) {
  const auto* const values = w.at<std::uint32_t>(i, operand);
  const std::uint32_t value = values[first(mask)];
  each(mask, [&](unsigned lane) {
    if (values[lane] != value) w.fail(i, lane, "lanes differ in an operand that they must share");
  });
  return value;
}

// bar.sync and its kin. tag: 0 … 2 bar.red's operation, 3 sync, 4 arrive. Slots: [result,] id, threads [, predicate].
void bar(Warp& w, const Instruction& i, std::uint32_t mask) {
  if (!w.gather(i, mask, w.exists)) return;
  const unsigned at = i.results;
  const std::uint32_t id = common(w, i, w.exists, at), threads = common(w, i, w.exists, at + 1);
  if (i.tag < 3 && id < 16) {
    const std::uint32_t p =
        (i.negated ? ~w.predicate(i.slot[at + 2u]) : w.predicate(i.slot[at + 2u])) & w.exists;
    Barrier& barrier = w.block.barriers[id];
    barrier.any |= p != 0;
    barrier.all &= p == w.exists;
    barrier.count += static_cast<unsigned>(std::popcount(p));
  }
  w.block.arrive(id, threads, w, i.tag != 4, i);
}

template <unsigned tag>
void decode_bar(Decoder& decoder) {
  Instruction& i = decoder.instruction();
  i.handler = bar;
  i.tag = tag;
  const auto& operands = decoder.statement().operands;
  const unsigned reduces = tag < 3;  // result and predicate
  decoder.expect_operands(1 + 2 * reduces + (tag == 4), 2 + 2 * reduces);
  if (reduces) {
    i.result_width = tag == 2 ? 4 : 0;
    decoder.result(operands[0], i.result_width);
  }
  decoder.next_must_be_written();
  decoder.source(operands[reduces], 4);
  Operand all;  // 0: all threads of the block
  all.kind = Operand::Kind::integer;
  const bool counted = operands.size() == 2 + 2 * reduces;
  decoder.source(counted ? operands[1 + reduces] : all, 4);
  if (reduces) {
    i.negated = operands.back().negated;
    decoder.source(operands.back(), 0);
  }
}

void cluster_arrive(Warp& w, const Instruction& i, std::uint32_t mask) {
  if (!w.gather(i, mask, w.exists)) return;
  if (w.awaits_cluster) w.fail(i, first(mask), "it has arrived already, and not waited");
  w.awaits_cluster = true;
  w.cluster_phase = w.block.cluster->phase + 1;
  ++w.launch.progress;
  Block::settle(*w.block.cluster);
}

void cluster_wait(Warp& w, const Instruction& i, std::uint32_t mask) {
  if (!w.gather(i, mask, w.exists)) return;
  if (!w.awaits_cluster) w.fail(i, first(mask), "it waits, and has not arrived");
  if (w.block.cluster->phase >= w.cluster_phase)
    w.awaits_cluster = false;
  else
    w.block_at(Warp::State::at_cluster_barrier);
}

// Instructions with a mask of members: f(members) for each set of lanes that has gathered. Lanes side by side
// may bring several masks. `operand` holds the mask.
template <class F>
void together(Warp& w, const Instruction& i, std::uint32_t mask, unsigned operand, F f) {
  const auto* const masks = w.at<std::uint32_t>(i, operand);
  while (mask) {
    const std::uint32_t members = masks[first(mask)];
    if (!(members >> first(mask) & 1)) w.fail(i, first(mask), "the lane is none of its own mask's");
    std::uint32_t same = 0;
    each(mask, [&](unsigned lane) {
      if (masks[lane] == members) same |= 1u << lane;
    });
    if (w.gather(i, same, members)) {
      each(members, [&](unsigned lane) {
        if (masks[lane] != members) w.fail(i, lane, "lanes of one mask brought different masks");
      });
      f(members);
    }
    mask &= ~(same | members);
  }
}

void warp_sync(Warp& w, const Instruction& i, std::uint32_t mask) {
  together(w, i, mask, 0, [](std::uint32_t) {});
}

// tag: 0 up, 1 down, 2 bfly, 3 idx. Slots: d, [p,] a, b, c, members.
void shfl(Warp& w, const Instruction& i, std::uint32_t mask) {
  const unsigned a_at = i.first_source;
  together(w, i, mask, a_at + 3, [&](std::uint32_t members) {
    std::uint32_t values[32];
    const auto* const a = w.at<std::uint32_t>(i, a_at);
    std::copy(a, a + 32, values);
    const auto *const b = w.at<std::uint32_t>(i, a_at + 1), *const c =
                                                                w.at<std::uint32_t>(i, a_at + 2);
    auto* const d = w.at<std::uint32_t>(i, 0);
    std::uint32_t inside = 0;
    each(members, [&](unsigned lane) {
      const unsigned by = b[lane] & 31, clamp = c[lane] & 31, segment = c[lane] >> 8 & 31;
      const unsigned most = (lane & segment) | (clamp & ~segment), least = lane & segment;
      unsigned from = lane;
      bool in = false;
      switch (i.tag) {
        case 0: from = lane - by, in = static_cast<int>(from) >= static_cast<int>(most); break;
        case 1: from = lane + by, in = from <= most; break;
        case 2: from = lane ^ by, in = from <= most; break;
        default: from = least | (by & ~segment), in = from <= most;
      }
      if (!in) from = lane;
      if (!(members >> from & 1))
        w.fail(i, lane, "it reads lane " + std::to_string(from) + ", which takes no part");
      d[lane] = values[from];
      if (in) inside |= 1u << lane;
    });
    w.define(i.slot[0], members);
    if (a_at == 2) {
      std::uint32_t& p = w.predicate(i.slot[1]);
      p = (p & ~members) | inside;
      w.define(i.slot[1], members);
    }
  });
}

template <unsigned tag>
void decode_shfl(Decoder& decoder) {
  decoder.expect_operands(5, 5);
  const auto& operands = decoder.statement().operands;
  Instruction& i = decoder.instruction();
  i.handler = shfl;
  i.tag = tag;
  if (operands[0].kind == Operand::Kind::pair) {
    decoder.result(operands[0].elements[0], 4);
    decoder.result(operands[0].elements[1], 0);
  } else {
    decoder.result(operands[0], 4);
  }
  for (unsigned s = 1; s < 5; ++s) {
    if (s > 1) decoder.next_must_be_written();
    decoder.source(operands[s], 4);
  }
}

// tag: 0 any, 1 all, 2 uni, 3 ballot. Slots: d, a, members.
void vote(Warp& w, const Instruction& i, std::uint32_t mask) {
  together(w, i, mask, 2, [&](std::uint32_t members) {
    const std::uint32_t a =
        (i.negated ? ~w.predicate(i.slot[1]) : w.predicate(i.slot[1])) & members;
    if (i.tag == 3) {
      auto* const d = w.at<std::uint32_t>(i, 0);
      each(members, [&](unsigned lane) { d[lane] = a; });
    } else {
      const bool holds = i.tag == 0 ? a != 0 : i.tag == 1 ? a == members : a == 0 || a == members;
      std::uint32_t& d = w.predicate(i.slot[0]);
      d = (d & ~members) | (holds ? members : 0);
    }
    w.define(i.slot[0], members);
  });
}

template <unsigned tag>
void decode_vote(Decoder& decoder) {
  decoder.expect_operands(3, 3);
  const auto& operands = decoder.statement().operands;
  Instruction& i = decoder.instruction();
  i.handler = vote;
  i.tag = tag;
  decoder.result(operands[0], tag == 3 ? 4 : 0);
  i.negated = operands[1].negated;
  decoder.source(operands[1], 0);
  decoder.next_must_be_written();
  decoder.source(operands[2], 4);
}

void activemask(Warp& w, const Instruction& i, std::uint32_t mask) {
  auto* const d = w.at<std::uint32_t>(i, 0);
  each(mask, [=](unsigned lane) { d[lane] = mask; });
}

// tag: 0 add, 1 min, 2 max, 3 and, 4 or, 5 xor; signed where negated. Slots: d, a, members.
void redux(Warp& w, const Instruction& i, std::uint32_t mask) {
  together(w, i, mask, 2, [&](std::uint32_t members) {
    const auto* const a = w.at<std::uint32_t>(i, 1);
    const std::uint32_t flip = i.negated ? 0x80000000u : 0;  // makes signed order unsigned
    std::uint32_t result = a[first(members)];
    each(members & (members - 1), [&](unsigned lane) {
      const std::uint32_t x = a[lane];
      const bool less = (x ^ flip) < (result ^ flip);
      switch (i.tag) {
        case 0: result += x; break;
        case 1: result = less ? x : result; break;
        case 2: result = less ? result : x; break;
        case 3: result &= x; break;
        case 4: result |= x; break;
        default: result ^= x;
      }
    });
    auto* const d = w.at<std::uint32_t>(i, 0);
    each(members, [&](unsigned lane) { d[lane] = result; });
    w.define(i.slot[0], members);
  });
}

// The lanes whose value is this lane's.
void match_any(Warp& w, const Instruction& i, std::uint32_t mask) {
  together(w, i, mask, 2, [&](std::uint32_t members) {
    std::uint32_t alike[32];
    each(members, [&](unsigned lane) {
      alike[lane] = 0;
      for (std::uint32_t rest = members; rest; rest &= rest - 1)
        if (w.value(i.slot[1], i.source_width, first(rest)) ==
            w.value(i.slot[1], i.source_width, lane))
          alike[lane] |= rest & -rest;
    });
    auto* const d = w.at<std::uint32_t>(i, 0);
    each(members, [&](unsigned lane) { d[lane] = alike[lane]; });
    w.define(i.slot[0], members);
  });
}

template <unsigned tag, bool is_signed = false>
void decode_redux(Decoder& decoder) {
  decoder.expect_operands(3, 3);
  const auto& operands = decoder.statement().operands;
  Instruction& i = decoder.instruction();
  i.handler = redux;
  i.tag = tag;
  i.negated = is_signed;
  decoder.result(operands[0], 4);
  decoder.source(operands[1], 4);
  decoder.next_must_be_written();
  decoder.source(operands[2], 4);
}

template <unsigned width>
void decode_match(Decoder& decoder) {
  decoder.expect_operands(3, 3);
  const auto& operands = decoder.statement().operands;
  Instruction& i = decoder.instruction();
  i.handler = match_any;
  i.source_width = width;
  decoder.result(operands[0], 4);
  decoder.source(operands[1], width);
  decoder.next_must_be_written();
  decoder.source(operands[2], 4);
}

template <void (*decode)(Decoder&)>
void for_members(Decoder& decoder) {
  decode(decoder);
  decoder.handler_defines_results();
}

void add_exchanges(Opcodes& table) {
  const Class kind = Class::exchange;
  const auto add = [&](const char* name, void (*decode)(Decoder&)) {
    table[name] = {nullptr, nullptr, kind, decode};
  };
  add("shfl.sync.up.b32", for_members<decode_shfl<0>>);
  add("shfl.sync.down.b32", for_members<decode_shfl<1>>);
  add("shfl.sync.bfly.b32", for_members<decode_shfl<2>>);
  add("shfl.sync.idx.b32", for_members<decode_shfl<3>>);
  add("vote.sync.any.pred", for_members<decode_vote<0>>);
  add("vote.sync.all.pred", for_members<decode_vote<1>>);
  add("vote.sync.uni.pred", for_members<decode_vote<2>>);
  add("vote.sync.ballot.b32", for_members<decode_vote<3>>);
  add("vote.ballot.sync.b32", for_members<decode_vote<3>>);
  add("match.any.sync.b32", for_members<decode_match<4>>);
  add("match.any.sync.b64", for_members<decode_match<8>>);
  add("redux.sync.add.s32", for_members<decode_redux<0>>);
  add("redux.sync.add.u32", for_members<decode_redux<0>>);
  add("redux.sync.min.s32", for_members<decode_redux<1, true>>);
  add("redux.sync.min.u32", for_members<decode_redux<1>>);
  add("redux.sync.max.s32", for_members<decode_redux<2, true>>);
  add("redux.sync.max.u32", for_members<decode_redux<2>>);
  add("redux.sync.and.b32", for_members<decode_redux<3>>);
  add("redux.sync.or.b32", for_members<decode_redux<4>>);
  add("redux.sync.xor.b32", for_members<decode_redux<5>>);
  table["activemask.b32"] = {activemask, "w=", kind};
}

}  // namespace

void add_control(Opcodes& table) {
  table["bra"] = table["bra.uni"] = {nullptr, nullptr, Class::branch, decode_bra};
  table["ret"] = table["exit"] = {leave, "=", Class::branch};
  table["trap"] = {trap, "=", Class::other};
  const auto barrier = [&](std::initializer_list<const char*> names, void (*decode)(Decoder&)) {
    for (const char* name : names) table[name] = {nullptr, nullptr, Class::barrier, decode};
  };
  barrier({"bar.sync", "bar.cta.sync", "barrier.sync", "barrier.cta.sync", "barrier.sync.aligned"},
          decode_bar<3>);
  barrier({"bar.arrive", "bar.cta.arrive", "barrier.arrive", "barrier.cta.arrive"}, decode_bar<4>);
  barrier({"bar.red.or.pred", "bar.cta.red.or.pred"}, decode_bar<0>);
  barrier({"bar.red.and.pred", "bar.cta.red.and.pred"}, decode_bar<1>);
  barrier({"bar.red.popc.u32", "bar.cta.red.popc.u32"}, decode_bar<2>);
  for (const char* order : {"", ".release", ".relaxed"})
    for (const char* aligned : {"", ".aligned"})
      table[std::string("barrier.cluster.arrive") + order + aligned] = {cluster_arrive, "=",
                                                                        Class::barrier};
  for (const char* order : {"", ".acquire"})
    for (const char* aligned : {"", ".aligned"})
      table[std::string("barrier.cluster.wait") + order + aligned] = {cluster_wait, "=",
                                                                      Class::barrier};
  table["bar.warp.sync"] = {warp_sync, "=w", Class::barrier};
  // One host thread runs everything: fences have nothing to order.
  for (const char* fence :
       {"membar.cta", "membar.gl", "membar.sys", "fence.acq_rel.cta", "fence.acq_rel.cluster",
        "fence.acq_rel.gpu", "fence.acq_rel.sys", "fence.sc.cta", "fence.sc.cluster",
        "fence.sc.gpu", "fence.sc.sys", "fence.mbarrier_init.release.cluster", "fence.proxy.async",
        "fence.proxy.async.shared::cta", "fence.proxy.async.global"})
    table[fence] = {nothing, "=", Class::barrier};
  table["nanosleep.u32"] = {pause, "=w", Class::other};
  add_exchanges(table);
}

}  // namespace lacuna::ptx
