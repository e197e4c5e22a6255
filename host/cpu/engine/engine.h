// What an instruction set offers for one type: a short list of functions, chosen once per context at run time.
#pragma once

#include "host/cpu/engine/job.h"

namespace lacuna::cpu {

template <class T>
struct Engine {
  std::int64_t (*pack_forward_tasks)(const Job<T>& job);
  void (*pack_forward)(const Job<T>& job, std::int64_t task);
  std::int64_t (*pack_backward_tasks)(const Job<T>& job);
  void (*pack_backward)(const Job<T>& job, std::int64_t task);
  void (*forward_group)(const Job<T>& job, std::int64_t group, T* worker);
  void (*backward_group)(const Job<T>& job, std::int64_t group, T* worker);
  // Weight gradients over all tokens at once, when they are not summed window by window. One task per panel of columns.
  std::int64_t (*weight_tasks)(const Layout& layout);
  void (*weight_task)(const Job<T>& job, std::int64_t task, T* worker);
};

// One definition per (type, instruction set), each in a file of host/cpu/isa compiled for it.
const Engine<float>& engine_f32_baseline();
const Engine<double>& engine_f64_baseline();
#if defined(__x86_64__)
const Engine<float>& engine_f32_avx2();
const Engine<double>& engine_f64_avx2();
const Engine<float>& engine_f32_avx512();
const Engine<double>& engine_f64_avx512();
#endif

}  // namespace lacuna::cpu
