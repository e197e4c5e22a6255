// Where the runs of a call find the caller's arrays: a backend may have to copy them to memory that it can reach, and what
// was written back. Sizes of the arrays that layers and stacks share stand here, and only here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "host/plan/shape.h"
#include "lacuna/lacuna.h"

namespace lacuna {

class Staging {
 public:
  template <class T>
  const T* in(const T* array, std::int64_t count, std::size_t bytes_each = sizeof(T)) {
    return static_cast<const T*>(there(const_cast<T*>(array), count, bytes_each, false));
  }
  const void* in(const void* array, std::int64_t count, std::size_t bytes_each) {
    return there(const_cast<void*>(array), count, bytes_each, false);
  }
  // Written or added to. What a call leaves alone comes back as it was.
  template <class T>
  T* out(T* array, std::int64_t count, std::size_t bytes_each = sizeof(T)) {
    return static_cast<T*>(there(array, count, bytes_each, true));
  }
  void* out(void* array, std::int64_t count, std::size_t bytes_each) {
    return there(array, count, bytes_each, true);
  }

 protected:
  ~Staging() = default;

 private:
  virtual void* there(void* array, std::int64_t count, std::size_t bytes_each, bool out) = 0;
};

inline lacuna_parameters staged(Staging& stage, const lacuna_layer& layer,
                                const lacuna_parameters& from) {
  lacuna_parameters to{};
  for (int kind = 0; kind < LACUNA_PARAMETERS; ++kind)
    to.tensor[kind] = stage.in(from.tensor[kind],
                               parameter_shape(layer, static_cast<lacuna_parameter>(kind)).count(),
                               wide_size_of(layer.type));
  return to;
}

inline lacuna_parameter_gradients staged(Staging& stage, const lacuna_layer& layer,
                                         const lacuna_parameter_gradients& from) {
  lacuna_parameter_gradients to{};
  for (int kind = 0; kind < LACUNA_PARAMETERS; ++kind)
    to.tensor[kind] = stage.out(from.tensor[kind],
                                parameter_shape(layer, static_cast<lacuna_parameter>(kind)).count(),
                                wide_size_of(layer.type));
  return to;
}

inline lacuna_batch staged(Staging& stage, const lacuna_layer& layer, const lacuna_batch& from) {
  const std::int64_t N = from.tokens, B = from.sequences, D = layer.features, H = layer.hidden,
                     R = output_width(layer);
  const std::size_t real = size_of(layer.type), wide = wide_size_of(layer.type);
  lacuna_batch to = from;
  if (from.offsets_on_device) to.offsets = stage.in(from.offsets, B + 1);
  to.values = stage.in(from.values, N * D, real);
  to.mask = stage.in(from.mask, N * D);
  to.fires = stage.in(from.fires, N);
  to.delta_t = stage.in(from.delta_t, N, wide);
  to.times = stage.in(from.times, N);
  to.delta = stage.in(from.delta, N * D, wide);
  to.initial_hidden = stage.in(from.initial_hidden, B * R, real);
  to.initial_cell = stage.in(from.initial_cell, B * H, real);
  // The struct serves outputs, too; these are only read.
  const auto read = [&](void* array, std::int64_t count, std::size_t bytes) {
    return const_cast<void*>(stage.in(static_cast<const void*>(array), count, bytes));
  };
  to.carry_in.last_values = read(from.carry_in.last_values, B * D, real);
  to.carry_in.since = read(from.carry_in.since, B * D, wide);
  to.carry_in.last_time = static_cast<double*>(read(from.carry_in.last_time, B, sizeof(double)));
  to.carry_in.first_gap = read(from.carry_in.first_gap, B, wide);
  to.noise.sequence = stage.in(from.noise.sequence, B);
  to.noise.position = stage.in(from.noise.position, B);
  return to;
}

inline lacuna_carry staged_carry_out(Staging& stage, const lacuna_layer& layer,
                                     std::int64_t sequences, const lacuna_carry& from) {
  const std::int64_t B = sequences, D = layer.features;
  const std::size_t real = size_of(layer.type), wide = wide_size_of(layer.type);
  return {.last_values = stage.out(from.last_values, B * D, real),
          .since = stage.out(from.since, B * D, wide),
          .last_time = stage.out(from.last_time, B),
          .first_gap = stage.out(from.first_gap, B, wide)};
}

}  // namespace lacuna
