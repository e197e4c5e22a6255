// What the lanes of a warp do together.
#include "emulator/state.h"

namespace lacuna::emulator {
namespace {

std::string place(const Fiber& fiber) {
  return describe(fiber) + " " + fiber.waiting + " at " + fiber.site.file + ":" +
         std::to_string(fiber.site.line);
}

// Everything about a mask that must hold before this lane may wait under it. A lane that gathers
// elsewhere is no fault as long as only one of the two waits for the other: it will come.
void check_mask(const Fiber& self, const Warp& warp, std::uint32_t mask, WarpOperation operation,
                const char* what, Site site) {
  if (!(mask >> self.lane & 1))
    fail(std::string("wrong mask ") + what + ": the calling lane is not in it", site);
  for (std::uint32_t m = mask & ~(1u << self.lane); m; m &= m - 1) {
    const int lane = __builtin_ctz(m);
    if (!(warp.alive >> lane & 1))
      fail(std::string("wrong mask ") + what + ": lane " + std::to_string(lane) +
               " has exited or does not exist",
           site);
    if (warp.lane[lane]->at_block_barrier)
      fail(std::string("wrong mask ") + what + ": it names " + place(*warp.lane[lane]), site);
  }
  for (std::uint32_t m = warp.gathered & mask; m; m &= m - 1) {
    const Fiber& other = *warp.lane[__builtin_ctz(m)];
    if (!(other.mask >> self.lane & 1)) continue;
    const bool same_place =
        other.site.line == site.line && std::string_view(other.site.file) == site.file;
    if (other.mask != mask || other.operation != operation || !same_place)
      fail(std::string("lanes diverge ") + what + ": " + place(other), site);
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
  check_mask(self, warp, mask, operation, what, site);
  self.argument = argument;
  self.operation = operation;
  self.mask = mask;
  self.site = site;  // also before the wait below: an error may name a lane that is still arriving
  self.waiting = what;
  warp.gathered |= 1u << self.lane;
  if ((warp.gathered & mask) == mask) {
    void* arguments[32];
    for (int lane = 0; lane < 32; ++lane)
      arguments[lane] = mask >> lane & 1 ? warp.lane[lane]->argument : nullptr;
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
