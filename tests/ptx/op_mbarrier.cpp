// mbarrier objects, mapa, and the copies that report to them: st.async and cp.async.bulk. Their target is poison
// from the start, and their bytes land at some later time, in any order.
#include <algorithm>
#include <cstring>

#include "ptx/lanewise.h"

namespace lacuna::ptx {
namespace {

constexpr std::int64_t most_bytes = (1 << 20) - 1;  // also of arrivals

// A place in some block's shared memory.
struct Place {
  Block* block;
  std::uint32_t offset;
};

Place place_at(Warp& w, const Instruction& i, unsigned lane, std::uint64_t address, Space space,
               std::size_t bytes, std::size_t alignment) {
  if (address % alignment)
    w.fail(i, lane, "an address that is not aligned to " + std::to_string(alignment));
  if (space != Space::cluster && address >> cluster_shift)
    w.fail(i, lane, "an address of another state space where one of .shared::cta is expected");
  Block& owner = w.owner_of(i, lane, address);
  const std::uint64_t within = address & ((1u << cluster_shift) - 1);
  if (within < shared_base || within - shared_base + bytes > owner.shared.size())
    w.fail(i, lane,
           "an address outside of the block's " + std::to_string(owner.shared.size()) +
               " bytes of shared memory");
  return {&owner, static_cast<std::uint32_t>(within - shared_base)};
}

Mbarrier& mbarrier_at(Warp& w, const Instruction& i, unsigned lane, const Place& place) {
  const auto found = place.block->mbarriers.find(place.offset);
  if (found == place.block->mbarriers.end())
    w.fail(i, lane, "there is no mbarrier at its address: none was initialised");
  return found->second;
}

Mbarrier& mbarrier_of(Warp& w, const Instruction& i, unsigned lane, unsigned operand) {
  return mbarrier_at(w, i, lane, place_at(w, i, lane, w.address(i, operand, lane), i.space, 8, 8));
}

void expect_bytes(Warp& w, const Instruction& i, unsigned lane, Mbarrier& barrier,
                  std::uint32_t bytes) {
  if (bytes > most_bytes || (barrier.bytes += bytes) > most_bytes)
    w.fail(i, lane,
           "an mbarrier that waits for more than " + std::to_string(most_bytes) + " bytes");
}

void arrive(Warp& w, const Instruction& i, unsigned lane, Mbarrier& barrier, std::uint32_t count) {
  if (count == 0 || count > barrier.pending)
    w.fail(i, lane,
           std::to_string(count) + " arrivals at an mbarrier that waits for " +
               std::to_string(barrier.pending) + " of " + std::to_string(barrier.expected));
  barrier.pending -= count;
  barrier.complete_if_done();
}

void init(Warp& w, const Instruction& i, std::uint32_t mask) {
  each(mask, [&](unsigned lane) {
    const Place place = place_at(w, i, lane, w.address(i, 0, lane), i.space, 8, 8);
    const std::uint32_t count = w.at<std::uint32_t>(i, 1)[lane];
    if (count == 0 || count > most_bytes)
      w.fail(i, lane, "an mbarrier for " + std::to_string(count) + " arrivals");
    if (!place.block->mbarriers.emplace(place.offset, Mbarrier{count, count}).second)
      w.fail(i, lane, "the mbarrier is live already");
  });
  ++w.launch.progress;
}

void invalidate(Warp& w, const Instruction& i, std::uint32_t mask) {
  each(mask, [&](unsigned lane) {
    mbarrier_of(w, i, lane, 0);
    const Place place = place_at(w, i, lane, w.address(i, 0, lane), i.space, 8, 8);
    place.block->mbarriers.erase(place.offset);
    std::memset(place.block->shared.data() + place.offset, 0xff, 8);
  });
}

// Slots: [state,] address [, count or bytes]. tag: 0 arrive, 1 arrive.expect_tx, 2 expect_tx.
void arrive_or_expect(Warp& w, const Instruction& i, std::uint32_t mask) {
  const unsigned at = i.first_source;
  each(mask, [&](unsigned lane) {
    Mbarrier& barrier = mbarrier_of(w, i, lane, at);
    const std::uint32_t number = i.sources > 1 ? w.at<std::uint32_t>(i, at + 1)[lane] : 1;
    if (i.results) w.at<std::uint64_t>(i, 0)[lane] = barrier.phase;
    if (i.tag != 0) expect_bytes(w, i, lane, barrier, number);
    if (i.tag != 2) arrive(w, i, lane, barrier, i.tag == 0 ? number : 1);
  });
  ++w.launch.progress;
}

// Slots: done, address, parity. True once the phase of that parity, the current or the one before, is complete.
void wait_parity(Warp& w, const Instruction& i, std::uint32_t mask) {
  std::uint32_t done = 0;
  each(mask, [&](unsigned lane) {
    const std::uint32_t parity = w.at<std::uint32_t>(i, 2)[lane];
    if (parity > 1) w.fail(i, lane, "a parity of " + std::to_string(parity));
    if ((mbarrier_of(w, i, lane, 1).phase & 1) != parity) done |= 1u << lane;
  });
  std::uint32_t& p = w.predicate(i.slot[0]);
  p = (p & ~mask) | done;
  if (done != mask) w.poll();
}

void decode_init(Decoder& decoder) {
  decoder.expect_operands(2, 2);
  decoder.address(decoder.statement().operands[0], Space::shared);
  decoder.source(decoder.statement().operands[1], 4);
}

void decode_invalidate(Decoder& decoder) {
  decoder.expect_operands(1, 1);
  decoder.address(decoder.statement().operands[0], Space::shared);
}

template <Space space>
void decode_arrive(Decoder& decoder) {
  decoder.expect_operands(2, 3);
  const auto& operands = decoder.statement().operands;
  const bool sink = operands[0].kind == Operand::Kind::sink;
  if (space == Space::cluster && !sink)
    decoder.fail("a remote arrival has no state: '_' is expected");
  if (!sink) decoder.result(operands[0], 8);
  decoder.address(operands[1], space);
  if (operands.size() == 3)
    decoder.source(operands[2], 4);
  else if (decoder.instruction().tag == 1)
    decoder.fail("it needs the bytes to expect");
}

template <Space space>
void decode_expect(Decoder& decoder) {
  decoder.expect_operands(2, 2);
  decoder.address(decoder.statement().operands[0], space);
  decoder.source(decoder.statement().operands[1], 4);
}

void decode_wait(Decoder& decoder) {
  decoder.expect_operands(3, 3);
  const auto& operands = decoder.statement().operands;
  decoder.result(operands[0], 0);
  decoder.address(operands[1], Space::shared);
  decoder.source(operands[2], 4);
}

// The same place in another block of the cluster. tag: 0 shared::cluster addresses of 32 bits, 1 of 64, 2 generic.
void mapa(Warp& w, const Instruction& i, std::uint32_t mask) {
  each(mask, [&](unsigned lane) {
    std::uint64_t a = w.value(i.slot[1], i.source_width, lane);
    const std::uint32_t rank = w.at<std::uint32_t>(i, 2)[lane];
    if (rank >= w.block.cluster->blocks.size())
      w.fail(i, lane,
             "rank " + std::to_string(rank) + " in a cluster of " +
                 std::to_string(w.block.cluster->blocks.size()));
    if (i.tag == 2) {
      if ((a & window_mask) != shared_window)
        w.fail(i, lane, "its address is none of shared memory");
      a &= ~window_mask;
    }
    place_at(w, i, lane, a, Space::shared, 1, 1);
    const std::uint64_t theirs = std::uint64_t{rank + 1} << cluster_shift | a;
    w.set_value(i.slot[0], i.source_width, lane, i.tag == 2 ? theirs | shared_window : theirs);
  });
}

template <unsigned width>
void decode_mapa(Decoder& decoder) {
  decoder.expect_operands(3, 3);
  const auto& operands = decoder.statement().operands;
  decoder.instruction().source_width = width;
  decoder.result(operands[0], width);
  decoder.source(operands[1], width);
  decoder.source(operands[2], 4);
}

// Slots: address, values …, mbarrier's address.
void store_async(Warp& w, const Instruction& i, std::uint32_t mask) {
  const unsigned bytes = unsigned{i.bytes} * i.vector;
  each(mask, [&](unsigned lane) {
    const Place target = place_at(w, i, lane, w.address(i, 0, lane), Space::cluster, bytes, bytes);
    const std::uint64_t report = w.value(i.slot[1u + i.vector], i.source_width, lane) +
                                 static_cast<std::uint64_t>(i.second_offset);
    const Place barrier = place_at(w, i, lane, report, Space::cluster, 8, 8);
    if (barrier.block != target.block)
      w.fail(i, lane, "the mbarrier is in another block than the target");
    mbarrier_at(w, i, lane, barrier);
    Arrival arrival{target.block, target.offset, barrier.offset, std::vector<std::byte>(bytes)};
    for (unsigned e = 0; e < i.vector; ++e) {
      const std::uint64_t value = w.value(i.slot[1 + e], i.bytes, lane);
      std::memcpy(arrival.data.data() + e * i.bytes, &value, i.bytes);
    }
    std::memset(target.block->shared.data() + target.offset, 0xff, bytes);
    w.launch.arrivals.push_back(std::move(arrival));
  });
  ++w.launch.progress;
}

template <unsigned vector, unsigned bytes>
void decode_store_async(Decoder& decoder) {
  decoder.expect_operands(3, 3);
  const auto& operands = decoder.statement().operands;
  Instruction& i = decoder.instruction();
  i.handler = store_async;
  i.bytes = bytes;
  i.vector = vector;
  decoder.address(operands[0], Space::cluster);
  const std::vector<Operand> values = operands[1].kind == Operand::Kind::vector
                                          ? operands[1].elements
                                          : std::vector<Operand>{operands[1]};
  if (values.size() != vector) decoder.fail("as many registers as elements are expected");
  for (const Operand& value : values) decoder.source(value, bytes);
  i.source_width = i.address_wide ? 8 : 4;
  decoder.second_address(operands[2], i.source_width);
}

// Slots: shared address, global address, bytes, mbarrier's address.
void copy_bulk(Warp& w, const Instruction& i, std::uint32_t mask) {
  each(mask, [&](unsigned lane) {
    const std::uint32_t bytes = w.at<std::uint32_t>(i, 2)[lane];
    if (bytes == 0 || bytes % 16)
      w.fail(i, lane,
             "a bulk copy of " + std::to_string(bytes) + " bytes; a multiple of 16 is expected");
    const Place target = place_at(w, i, lane, w.address(i, 0, lane), Space::cluster, bytes, 16);
    const std::uint64_t source = w.at<std::uint64_t>(i, 1)[lane];
    if (source % 16) w.fail(i, lane, "a bulk copy from an address that is not aligned to 16");
    if (!w.launch.memory.allows(source, bytes, false))
      w.fail(i, lane, "a bulk copy from where no allocation is");
    const Place barrier = place_at(
        w, i, lane, w.at<std::uint32_t>(i, 3)[lane] + static_cast<std::uint64_t>(i.second_offset),
        Space::cluster, 8, 8);
    if (barrier.block != target.block)
      w.fail(i, lane, "the mbarrier is in another block than the target");
    mbarrier_at(w, i, lane, barrier);
    Arrival arrival{target.block, target.offset, barrier.offset, std::vector<std::byte>(bytes)};
    std::memcpy(arrival.data.data(), reinterpret_cast<const std::byte*>(source), bytes);
    if (w.launch.random.below(2)) arrival.source = source;
    std::memset(target.block->shared.data() + target.offset, 0xff, bytes);
    w.launch.arrivals.push_back(std::move(arrival));
  });
  ++w.launch.progress;
}

void decode_copy_bulk(Decoder& decoder) {
  decoder.expect_operands(4, 4);
  const auto& operands = decoder.statement().operands;
  decoder.address(operands[0], Space::cluster);
  if (decoder.instruction().address_wide)
    decoder.fail("a 64-bit address of shared memory is not implemented");
  decoder.second_address(operands[1], 8);
  if (decoder.instruction().second_offset)
    decoder.fail("an offset to the source is not implemented");
  decoder.source(operands[2], 4);
  decoder.second_address(operands[3], 4);
}

}  // namespace

bool Mbarrier::complete_if_done() {
  if (pending > 0 || bytes != 0) return false;
  ++phase;
  pending = expected;
  return true;
}

void Launch::land(std::size_t which) {
  std::swap(arrivals[which], arrivals.back());
  Arrival arrival = std::move(arrivals.back());
  arrivals.pop_back();
  const auto fail = [&](const std::string& why) {
    throw Fault(kernel.facts.name + ": bytes arrive at offset " + std::to_string(arrival.target) +
                " of the shared memory of block " + std::to_string(arrival.block->index.x) + ", " +
                why);
  };
  if (arrival.block->finished) fail("which has ended");
  const auto found = arrival.block->mbarriers.find(arrival.mbarrier);
  if (found == arrival.block->mbarriers.end()) fail("and their mbarrier is not there any more");
  if (arrival.source)
    std::memcpy(arrival.data.data(), reinterpret_cast<const std::byte*>(arrival.source),
                arrival.data.size());
  std::memcpy(arrival.block->shared.data() + arrival.target, arrival.data.data(),
              arrival.data.size());
  found->second.bytes -= static_cast<std::int64_t>(arrival.data.size());
  if (found->second.bytes < -most_bytes) fail("and their mbarrier expects none of so many");
  found->second.complete_if_done();
  ++progress;
}

void add_mbarrier(Opcodes& table) {
  const Class barrier = Class::barrier;
  for (const char* space : {"shared", "shared::cta"}) {
    table[std::string("mbarrier.init.") + space + ".b64"] = {init, nullptr, barrier, decode_init};
    table[std::string("mbarrier.inval.") + space + ".b64"] = {invalidate, nullptr, barrier,
                                                              decode_invalidate};
  }
  for (const char* scope : {"", ".cta", ".cluster"}) {
    const std::string release = *scope ? std::string(".release") + scope : "",
                      acquire = *scope ? std::string(".acquire") + scope : "";
    const std::string relaxed = *scope ? std::string(".relaxed") + scope : "";
    for (const std::string space : {".shared::cta.b64", ".shared.b64"}) {
      table["mbarrier.arrive" + release + space] = {arrive_or_expect, nullptr, barrier,
                                                    decode_arrive<Space::shared>, 0};
      table["mbarrier.arrive.expect_tx" + release + space] = {arrive_or_expect, nullptr, barrier,
                                                              decode_arrive<Space::shared>, 1};
      table["mbarrier.expect_tx" + relaxed + space] = {arrive_or_expect, nullptr, barrier,
                                                       decode_expect<Space::shared>, 2};
      table["mbarrier.try_wait.parity" + acquire + space] = {wait_parity, nullptr, barrier,
                                                             decode_wait};
      table["mbarrier.test_wait.parity" + acquire + space] = {wait_parity, nullptr, barrier,
                                                              decode_wait};
    }
    const std::string remote = ".shared::cluster.b64";
    table["mbarrier.arrive" + release + remote] = {arrive_or_expect, nullptr, barrier,
                                                   decode_arrive<Space::cluster>, 0};
    table["mbarrier.arrive.expect_tx" + release + remote] = {arrive_or_expect, nullptr, barrier,
                                                             decode_arrive<Space::cluster>, 1};
    table["mbarrier.expect_tx" + relaxed + remote] = {arrive_or_expect, nullptr, barrier,
                                                      decode_expect<Space::cluster>, 2};
  }
  table["mapa.shared::cluster.u32"] = {mapa, nullptr, Class::move, decode_mapa<4>, 0};
  table["mapa.shared::cluster.u64"] = {mapa, nullptr, Class::move, decode_mapa<8>, 1};
  table["mapa.u64"] = {mapa, nullptr, Class::move, decode_mapa<8>, 2};
  for (const std::string weak : {"", ".weak"}) {
    const std::string name = "st.async" + weak + ".shared::cluster.mbarrier::complete_tx::bytes";
    table[name + ".b32"] =
        table[name + ".u32"] = {nullptr, nullptr, Class::copy, decode_store_async<1, 4>};
    table[name + ".b64"] = {nullptr, nullptr, Class::copy, decode_store_async<1, 8>};
    table[name + ".v2.b32"] = {nullptr, nullptr, Class::copy, decode_store_async<2, 4>};
    table[name + ".v2.b64"] = {nullptr, nullptr, Class::copy, decode_store_async<2, 8>};
    table[name + ".v4.b32"] = {nullptr, nullptr, Class::copy, decode_store_async<4, 4>};
  }
  table["cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes"] = {
      copy_bulk, nullptr, Class::copy, decode_copy_bulk};
}

}  // namespace lacuna::ptx
