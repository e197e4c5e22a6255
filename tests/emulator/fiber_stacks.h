// The stacks of all fibers: one mapping, kept by the host thread from launch to launch, because
// fresh pages cost far more than a switch.
#pragma once
#include <cstddef>

namespace lacuna::emulator {

class FiberStacks {
 public:
  static constexpr std::size_t bytes = 128 * 1024;

  explicit FiberStacks(std::size_t count);
  // Low end of stack i.
  char* low(std::size_t i) const { return base_ + i * bytes; }
  // A fiber that outgrew its stack wrote here first.
  static void mark_end(char* low);
  static bool overflowed(const char* low);

 private:
  char* base_;
};

}  // namespace lacuna::emulator
