// One worker's part of the workspace, carved into the rows its lanes need. host/plan/layout.cpp sizes it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "host/cpu/engine/job.h"
#include "host/cpu/engine/observe.h"

namespace lacuna::cpu {

template <class T>
class Carver {
 public:
  explicit Carver(T* at) : at_(at) {}
  T* take(std::int64_t elements) {
    T* const part = at_;
    at_ += elements;
    return part;
  }

 private:
  T* at_;
};

template <class T>
ObserveScratch<T> take_observe_scratch(Carver<T>& carver, std::int64_t channels) {
  const ObserveScratch<T> scratch{carver.take(channels), carver.take(channels),
                                  carver.take(channels)};
  // The padding is read with the rest of its register, and must hold numbers.
  std::fill_n(scratch.measured, 3 * channels, T(0));
  return scratch;
}

template <class T>
struct ForwardScratch {
  T* h;  // [lanes, output_units]
  T* c;  // [lanes, units]
  // [lanes, units]: gru_reset_before, between its two products; reset_h also for what is to be projected, candidate for a
  // c' that is normalised
  T *reset_h, *update, *candidate;
  T *last, *since;  // [lanes, channels]
  T* products;      // [lanes, 2, norm_gates units]: W_x x and W_h h
  T *row = nullptr, *cell_in = nullptr,
    *decay = nullptr;                        // stand-ins for the tape's rows in inference
  T *drawn_h = nullptr, *drawn_c = nullptr;  // [lanes, units]: zoneout of a step
  T* factors = nullptr;  // [lanes, units]: recurrent dropout of each lane's sequence
  ObserveScratch<T> observe;

  ForwardScratch(const Job<T>& job, T* memory) {
    const Layout& lay = *job.layout;
    const std::int64_t lanes = lay.max_lanes;
    Carver<T> carver(memory);
    h = carver.take(lanes * lay.output_units);
    c = carver.take(lanes * lay.units);
    reset_h = carver.take(lanes * lay.units);
    update = carver.take(lanes * lay.units);
    candidate = carver.take(lanes * lay.units);
    last = carver.take(lanes * lay.channels);
    since = carver.take(lanes * lay.channels);
    products = carver.take(lanes * 2 * lay.norm_gates * lay.units);
    observe = take_observe_scratch(carver, lay.channels);
    if (job.operands == nullptr) {
      row = carver.take(lanes * lay.operand_stride);
      cell_in = carver.take(lanes * lay.units);
      decay = carver.take(lanes * lay.output_units);
    }
    if (lay.zones_out) {
      drawn_h = carver.take(lanes * lay.output_units);
      drawn_c = carver.take(lanes * lay.units);
    }
    if (lay.drops_state) factors = carver.take(lanes * lay.output_units);
  }
};

template <class T>
struct BackwardScratch {
  T* d_h;                       // [lanes, output_units]
  T *d_c, *d_reset;             // [lanes, units]; d_reset also for what is to be projected
  T* d_x;                       // [lanes, d_input + channels of slack]: rows d_x_stride apart
  T *d_delta, *d_last, *d_age;  // [lanes, channels]
  ObserveScratch<T> observe;
  T* gradient_rows;      // [window, gradient_stride]
  T* panel;              // [window, widest_panel]
  T* factors = nullptr;  // as in ForwardScratch
  T *passed_h = nullptr,
    *passed_c = nullptr;   // [lanes, units]: gradients that zoneout takes past the update
  T* d_operand = nullptr;  // [lanes, units]: with dropout, dL/d(h as W_h reads it)

  BackwardScratch(const Job<T>& job, T* memory) {
    const Layout& lay = *job.layout;
    const std::int64_t lanes = lay.max_lanes;
    Carver<T> carver(memory);
    d_h = carver.take(lanes * lay.output_units);
    d_c = carver.take(lanes * lay.units);
    d_reset = carver.take(lanes * lay.units);
    d_x = carver.take(lanes * lay.d_input);
    d_delta = carver.take(lanes * lay.channels);
    d_last = carver.take(lanes * lay.channels);
    d_age = carver.take(lanes * lay.channels);
    observe = take_observe_scratch(carver, lay.channels);
    panel = carver.take(lay.window * widest_panel);
    gradient_rows = lay.windowed ? carver.take(lay.window * lay.gradient_stride) : nullptr;
    if (lay.zones_out) {
      passed_h = carver.take(lanes * lay.output_units);
      passed_c = carver.take(lanes * lay.units);
    }
    if (lay.drops_state) {
      factors = carver.take(lanes * lay.output_units);
      d_operand = carver.take(lanes * lay.output_units);
    }
  }
};

}  // namespace lacuna::cpu
