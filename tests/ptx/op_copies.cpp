// cp.async: from the copy to the wait the target is poison, and the source may be read at either end.
#include <algorithm>
#include <cstring>

#include "ptx/lanewise.h"

namespace lacuna::ptx {
namespace {

// Slots: shared address, global address, valid bytes. i.bytes: of the target.
void copy(Warp& w, const Instruction& i, std::uint32_t mask) {
  std::byte* targets[32];
  w.translate(i, mask, 0, true, targets);
  Instruction reads = i;
  reads.space = Space::global;
  reads.immediate = i.second_offset;
  reads.address_wide = true;
  const auto* const valid = w.at<std::uint32_t>(i, 2);
  std::uint32_t reading = 0;
  each(mask, [&](unsigned lane) {
    if (valid[lane] > i.bytes)
      w.fail(i, lane, std::to_string(valid[lane]) + " valid bytes of " + std::to_string(i.bytes));
    if (valid[lane] > 0) reading |= 1u << lane;
  });
  std::byte* sources[32] = {};
  // Where only some bytes are valid, only those are read.
  each(reading, [&](unsigned lane) {
    if (valid[lane] < i.bytes) {
      const std::uint64_t from =
          w.at<std::uint64_t>(i, 1)[lane] + static_cast<std::uint64_t>(i.second_offset);
      if (from % i.bytes)
        w.fail(i, lane, "a source that is not aligned to " + std::to_string(i.bytes));
      if (!w.launch.memory.allows(from, valid[lane], false))
        w.fail(i, lane, "a source that no allocation holds");
      sources[lane] = reinterpret_cast<std::byte*>(from);
      reading &= ~(1u << lane);
    }
  });
  if (reading) w.translate(reads, reading, 1, false, sources);
  each(mask, [&](unsigned lane) {
    PendingCopy pending{lane,        targets[lane],      sources[lane], i.bytes,
                        valid[lane], w.copy_group[lane], false,         {}};
    if (pending.valid && w.launch.random.below(2)) {
      pending.taken = true;
      std::memcpy(pending.data, sources[lane], pending.valid);
    }
    std::memset(targets[lane], 0xff, i.bytes);
    w.copies.push_back(pending);
  });
}

void land(const PendingCopy& copy) {
  std::byte data[16] = {};
  if (copy.valid) std::memcpy(data, copy.taken ? copy.data : copy.source, copy.valid);
  std::memcpy(copy.target, data, copy.bytes);
}

void commit(Warp& w, const Instruction&, std::uint32_t mask) {
  each(mask, [&](unsigned lane) { ++w.copy_group[lane]; });
}

// i.immediate groups may go on.
void wait(Warp& w, const Instruction& i, std::uint32_t mask) {
  std::erase_if(w.copies, [&](const PendingCopy& copy) {
    if (!(mask >> copy.lane & 1) || copy.group + i.immediate >= w.copy_group[copy.lane])
      return false;
    land(copy);
    return true;
  });
  ++w.launch.progress;
}

void wait_all(Warp& w, const Instruction& i, std::uint32_t mask) {
  commit(w, i, mask);
  wait(w, i, mask);
}

template <bool only_16>
void decode_copy(Decoder& decoder) {
  decoder.expect_operands(3, 4);
  const auto& operands = decoder.statement().operands;
  Instruction& i = decoder.instruction();
  const std::int64_t bytes = decoder.constant(operands[2]);
  if (bytes != 16 && (only_16 || (bytes != 4 && bytes != 8)))
    decoder.fail("a copy of " + std::to_string(bytes) + " bytes");
  i.bytes = static_cast<std::uint8_t>(bytes);
  decoder.address(operands[0], Space::shared);
  decoder.second_address(operands[1], 8);
  decoder.source(operands.back(), 4);
}

void decode_wait(Decoder& decoder) {
  decoder.expect_operands(1, 1);
  decoder.instruction().immediate = decoder.constant(decoder.statement().operands[0]);
}

}  // namespace

void add_copies(Opcodes& table) {
  for (const char* space : {"shared", "shared::cta"}) {
    table[std::string("cp.async.ca.") + space + ".global"] = {copy, nullptr, Class::copy,
                                                              decode_copy<false>};
    table[std::string("cp.async.cg.") + space + ".global"] = {copy, nullptr, Class::copy,
                                                              decode_copy<true>};
  }
  table["cp.async.commit_group"] = {commit, "=", Class::copy};
  table["cp.async.wait_group"] = {wait, nullptr, Class::copy, decode_wait};
  table["cp.async.wait_all"] = {wait_all, "=", Class::copy};
}

}  // namespace lacuna::ptx
