// What the lanes of a warp do together.
#include "emulator/state.h"

namespace lacuna::emulator {
namespace {

std::string place(const Fiber& fiber) {
  return describe(fiber) + " " + fiber.waiting + " at " + fiber.site.file + ":" +
         std::to_string(fiber.site.line);
}

// Two lanes that each wait for the other must wait for the same thing. Where only one of them waits
// for the other there is no fault: the other will come.
void check_agreement(const Fiber& self, const Fiber& other, const char* what) {
  if (other.mask != self.mask || other.operation != self.operation || !(other.site == self.site))
    fail(std::string("lanes diverge ") + what + ": " + place(other), self.site);
}

// What must hold before this lane may wait under its mask.
void check_mask(const Fiber& self, const Warp& warp, const char* what) {
  if (!(self.mask >> self.lane & 1))
    fail(std::string("wrong mask ") + what + ": the calling lane is not in it", self.site);
  if (const std::uint32_t gone = self.mask & ~warp.alive)
    fail(std::string("wrong mask ") + what + ": lane " + std::to_string(__builtin_ctz(gone)) +
             " has exited or does not exist",
         self.site);
  for (std::uint32_t m = self.mask & ~warp.gathered & ~(1u << self.lane); m; m &= m - 1) {
    const Fiber& other = *warp.lane[__builtin_ctz(m)];
    if (other.at_block_barrier)
      fail(std::string("wrong mask ") + what + ": it names " + place(other), self.site);
  }
  for (std::uint32_t m = warp.gathered & self.mask; m; m &= m - 1) {
    const Fiber& other = *warp.lane[__builtin_ctz(m)];
    if (!(other.mask >> self.lane & 1)) continue;
    check_agreement(self, other, what);
    break;  // those of one opinion have been compared with each other as they came
  }
}

// Runs over the lanes' tags: what each did before comes before what any does after.
void join_memory(void* const* lanes, std::uint32_t mask) {
  Warp& warp = *Run::active().self().warp;
  for (std::uint32_t m = mask; m; m &= m - 1) sanitizers::acquire(lanes[__builtin_ctz(m)]);
  sanitizers::release(&warp.joined_tag[warp.generation & 3]);
}

}  // namespace

void warp_collective(std::uint32_t mask, void* argument, WarpOperation operation, const char* what,
                     Site site) {
  const sanitizers::Quiet quiet;
  Run& run = Run::active();
  Fiber& self = run.self();
  Warp& warp = *self.warp;
  self.argument = argument;
  self.operation = operation;
  self.mask = mask;
  self.site = site;
  self.waiting = what;
  check_mask(self, warp, what);
  warp.gathered |= 1u << self.lane;
  if ((warp.gathered & mask) == mask) {
    void* arguments[32] = {};
    for (std::uint32_t m = mask; m; m &= m - 1) {
      const int lane = __builtin_ctz(m);
      check_agreement(self, *warp.lane[lane], what);
      arguments[lane] = warp.lane[lane]->argument;
    }
    operation(arguments, mask);
    warp.gathered &= ~mask;
    for (std::uint32_t m = mask; m; m &= m - 1) run.make_ready(*warp.lane[__builtin_ctz(m)]);
  }
  run.wait(what, site);
}

void sync_warp(std::uint32_t mask, Site site) {
  const sanitizers::Quiet quiet;
  Fiber& self = Run::active().self();
  Warp& warp = *self.warp;
  sanitizers::release(&self.arrival_tag);
  warp_collective(mask, &self.arrival_tag, join_memory, "in sync_warp", site);
  // All tags of the ring, not only this round's: lanes of disjoint masks advance it in any order.
  for (char& tag : warp.joined_tag) sanitizers::acquire(&tag);
}

}  // namespace lacuna::emulator
