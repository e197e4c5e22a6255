// A warp while it runs: its register file, and which of its lanes stand where. Lanes have program counters of
// their own; those at the same instruction execute it together, the ones furthest behind first, which is where
// lanes that parted meet again.
#pragma once
#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "ptx/block.h"
#include "ptx/program.h"

namespace lacuna::ptx {
inline namespace interpreter {

// A cp.async whose bytes have not landed.
struct PendingCopy {
  unsigned lane;
  std::byte *target, *source;
  unsigned bytes, valid;
  unsigned group;  // that it is part of, counted by the lane
  bool taken;      // the bytes were read when the copy began, not when it ends
  std::byte data[16];
};

struct Warp {
  enum class State { ready, at_barrier, at_cluster_barrier, done };

  Warp(Block& block, unsigned index);

  // Executes at most `budget` instructions, or until no lane can go on, or a lane polls.
  void run(unsigned budget);

  template <class T>
  T* lanes(Slot slot) {
    return reinterpret_cast<T*>(file + std::size_t{slot} * slot_bytes);
  }
  std::uint32_t& predicate(Slot slot) { return *lanes<std::uint32_t>(slot); }
  // Register i of the instruction's slots, as T of each lane.
  template <class T>
  T* at(const Instruction& i, unsigned operand) {
    return lanes<T>(i.slot[operand]);
  }
  // The value of a register of `width` bytes, as unsigned.
  std::uint64_t value(Slot slot, unsigned width, unsigned lane);
  void set_value(Slot slot, unsigned width, unsigned lane, std::uint64_t value);
  void define(Slot slot, std::uint32_t lanes) { defined[slot] |= lanes; }

  // Host pointers for the lanes of `mask`, to i.bytes · i.vector bytes at the address in slot `operand`.
  // Faults for what may not be touched.
  void translate(const Instruction& i, std::uint32_t mask, unsigned operand, bool write,
                 std::byte** pointers);
  // Whose shared memory a shared::cluster address points into.
  Block& owner_of(const Instruction& i, unsigned lane, std::uint64_t address);
  std::uint64_t address(const Instruction& i, unsigned operand, unsigned lane);

  // For an instruction that the lanes in `members` execute together. True once all have arrived; else the
  // lanes of `mask` wait, and the handler returns.
  bool gather(const Instruction& i, std::uint32_t mask, std::uint32_t members);
  // The handlers of branches.
  void branch(std::uint32_t taken, std::uint32_t target);
  void leave(std::uint32_t lanes);
  // The warp does not go on before somebody sets its state to ready.
  void block_at(State);
  // Ends the time slice, because a lane looks for something that others do.
  void poll() { polled = stopped = true; }

  [[noreturn]] void fail(const Instruction& i, unsigned lane, const std::string& what) const;
  std::string where(const Instruction& i) const;
  std::string thread(unsigned lane) const;

  Block& block;
  Launch& launch;
  const Program& program;
  const unsigned index;
  std::byte* file;
  std::vector<std::uint32_t>
      defined;  // by slot: lanes whose register was written, and from written ones
  std::vector<std::byte> local;
  std::vector<PendingCopy> copies;
  std::array<unsigned, 32> copy_group{};

  std::uint32_t exists = 0, exited = 0;
  std::uint32_t waiting = 0;  // lanes at a collective instruction, for others
  std::uint32_t active = 0;
  std::uint32_t pc = 0;           // of the active lanes
  std::uint32_t next_stop = ~0u;  // where the nearest of the other lanes stands
  std::array<std::uint32_t, 32> lane_pc{};
  State state = State::ready;
  bool stopped = false, polled = false;
  bool awaits_cluster = false;  // between barrier.cluster.arrive and .wait
  unsigned cluster_phase = 0;   // that it then waits for
  unsigned barrier = 0;         // at which it stands
  std::uint32_t stands = 0;     // its instruction

 private:
  std::uint32_t unwritten_sources(const Instruction& i, std::uint32_t mask);
  void regroup(bool any = false);
  void save();
  std::unique_ptr<std::byte[]> storage_;
};

// f(lane) for each lane of the mask.
template <class F>
inline void each(std::uint32_t mask, F f) {
  if (mask == all_lanes) {
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC ivdep  // a lane's result is no other lane's operand
#endif
    for (unsigned lane = 0; lane < 32; ++lane) f(lane);
  } else {
    for (; mask; mask &= mask - 1) f(static_cast<unsigned>(std::countr_zero(mask)));
  }
}

}  // namespace interpreter
}  // namespace lacuna::ptx
