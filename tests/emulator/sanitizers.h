// Talks to AddressSanitizer and ThreadSanitizer if the program was linked with them. Found through
// weak symbols, so the emulator itself is the same object code in every build.
#pragma once
#include <cstddef>

extern "C" {
#define EMULATOR_WEAK __attribute__((weak))
EMULATOR_WEAK void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom,
                                                  std::size_t size);
EMULATOR_WEAK void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom,
                                                   std::size_t* size);
EMULATOR_WEAK void __asan_poison_memory_region(const volatile void* at, std::size_t size);
EMULATOR_WEAK void __asan_unpoison_memory_region(const volatile void* at, std::size_t size);
EMULATOR_WEAK void* __asan_region_is_poisoned(void* at, std::size_t size);
EMULATOR_WEAK void* __tsan_get_current_fiber(void);
EMULATOR_WEAK void* __tsan_create_fiber(unsigned flags);
EMULATOR_WEAK void __tsan_destroy_fiber(void* fiber);
EMULATOR_WEAK void __tsan_switch_to_fiber(void* fiber, unsigned flags);
EMULATOR_WEAK void __tsan_acquire(void* tag);
EMULATOR_WEAK void __tsan_release(void* tag);
EMULATOR_WEAK void __tsan_read_range(void* at, unsigned long size);
EMULATOR_WEAK void __tsan_write_range(void* at, unsigned long size);
EMULATOR_WEAK void AnnotateIgnoreReadsBegin(const char* file, int line);
EMULATOR_WEAK void AnnotateIgnoreReadsEnd(const char* file, int line);
EMULATOR_WEAK void AnnotateIgnoreWritesBegin(const char* file, int line);
EMULATOR_WEAK void AnnotateIgnoreWritesEnd(const char* file, int line);
#undef EMULATOR_WEAK
}

namespace lacuna::emulator::sanitizers {

inline bool has_tsan() { return __tsan_create_fiber != nullptr; }

// What the current thread did before release(tag) happens before what follows acquire(tag).
inline void release(void* tag) {
  if (__tsan_release) __tsan_release(tag);
}
inline void acquire(void* tag) {
  if (__tsan_acquire) __tsan_acquire(tag);
}

// An access that the kernel makes through the emulator.
inline void note_read(const void* at, std::size_t bytes) {
  if (__tsan_read_range && bytes) __tsan_read_range(const_cast<void*>(at), bytes);
}
inline void note_write(void* at, std::size_t bytes) {
  if (__tsan_write_range && bytes) __tsan_write_range(at, bytes);
}

// How many Quiets live on the current fiber. A fiber's ignores must not outlast its turn, so a
// switch suspends them.
inline constinit thread_local int quiet_depth = 0;

inline void set_quiet(bool quiet) {
  if (!has_tsan()) return;
  if (quiet) {
    AnnotateIgnoreReadsBegin("", 0);
    AnnotateIgnoreWritesBegin("", 0);
  } else {
    AnnotateIgnoreWritesEnd("", 0);
    AnnotateIgnoreReadsEnd("", 0);
  }
}

// While it lives, accesses are the emulator's own and no race of the kernel's.
class Quiet {
 public:
  Quiet() {
    if (quiet_depth++ == 0) set_quiet(true);
  }
  ~Quiet() {
    if (--quiet_depth == 0) set_quiet(false);
  }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
};

inline void poison(const void* at, std::size_t bytes) {
  if (__asan_poison_memory_region) __asan_poison_memory_region(at, bytes);
}
inline void unpoison(const void* at, std::size_t bytes) {
  if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(at, bytes);
}
inline bool is_poisoned(const void* at, std::size_t bytes) {
  return __asan_region_is_poisoned && bytes &&
         __asan_region_is_poisoned(const_cast<void*>(at), bytes);
}

}  // namespace lacuna::emulator::sanitizers
