// What cmake/check_isa_symbols.cmake must report when a file of a wider instruction set and another file
// use it, and what it must let pass. LacunaPackageTests.cmake makes the files, two for each case.
#pragma once

[[gnu::noinline]] inline float planted_inline(const float* x, int n) {
  float sum = 0;
  for (int i = 0; i < n; ++i) sum += x[i] * x[i];
  return sum;
}

template <class T>
[[gnu::noinline]] T planted_template(const T* x, int n) {
  T sum = 0;
  for (int i = 0; i < n; ++i) sum += x[i] * x[n - 1 - i];
  return sum;
}

// As the engine's functions are: each file has one of its own, by name.
template <class Isa>
[[gnu::noinline]] float named_by_isa(const float* x, int n) {
  float sum = 0;
  for (int i = 0; i < n; ++i) sum += x[i] * x[i];
  return sum;
}
