#include "emulator/fiber_stacks.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <new>

namespace lacuna::emulator {
namespace {

constexpr std::uint64_t end_mark = 0x5ac1f1ed5ac1f1ed;

struct Mapping {
  char* base = nullptr;
  std::size_t bytes = 0;
  ~Mapping() {
    if (base) munmap(base, bytes);
  }
};
thread_local Mapping mapping;

}  // namespace

FiberStacks::FiberStacks(std::size_t count) {
  if (mapping.bytes < count * bytes) {
    if (mapping.base) munmap(mapping.base, mapping.bytes);
    void* base = mmap(nullptr, count * bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    mapping.base = nullptr;
    if (base == MAP_FAILED) throw std::bad_alloc();
    mapping.base = static_cast<char*>(base);
    mapping.bytes = count * bytes;
  }
  base_ = mapping.base;
}

void FiberStacks::mark_end(char* low) { std::memcpy(low, &end_mark, sizeof end_mark); }

bool FiberStacks::overflowed(const char* low) {
  return std::memcmp(low, &end_mark, sizeof end_mark) != 0;
}

}  // namespace lacuna::emulator
