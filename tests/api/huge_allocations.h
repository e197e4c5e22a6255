// For tests that ask for more memory than there is: a sanitizer takes that for a defect of the
// program unless told otherwise, in a function that it looks up by name.
#pragma once

extern "C" {
inline const char* lacuna_allow_huge_allocations() { return "allocator_may_return_null=1"; }
const char* __asan_default_options();
const char* __asan_default_options() { return lacuna_allow_huge_allocations(); }
const char* __tsan_default_options();
const char* __tsan_default_options() { return lacuna_allow_huge_allocations(); }
}
