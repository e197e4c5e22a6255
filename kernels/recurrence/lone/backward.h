// The walk of resident/backward_walk.h with one lane.
#pragma once

#include "kernels/recurrence/lone/tile.h"
#include "kernels/recurrence/resident/backward_walk.h"
#include "kernels/simt/launch.h"
#include "kernels/simt/sync.h"

namespace lacuna {
namespace lone {

// A block's arrays of shared memory, added up in the order in which the kernel takes them.
template <class Cell, class T, class Form>
struct BackwardMemory {
  static constexpr int blocks = resident::weight_blocks<Cell>;
  Division division;

  // Of a step; there are two in turn.
  SIMT_BOTH int gradients() const { return blocks * Vector::size(division.slice); }
  SIMT_BOTH std::size_t weights() const {
    return weights_beyond(blocks, division.slice, Form::units > 0);
  }
  std::size_t bytes() const {
    simt::SharedLayout layout;
    resident::UnitNumbers::add_to(layout, division);
    layout.add<float>(static_cast<std::size_t>(2 * gradients()));
    layout.add<T>(weights());
    return layout.bytes;
  }
};

// A Product of BackwardWalk.
template <class Cell, class T, class Form>
class BackwardProduct {
  static constexpr int blocks = resident::weight_blocks<Cell>;

 public:
  using Own = lone::Own;
  static constexpr bool in_group = false;
  template <class>
  static constexpr bool fetches_h = true;
  template <class>
  static constexpr bool fetches_exponent = true;

  SIMT_DEVICE BackwardProduct(const ResidentBackward<T>& args, int units, const Own& own,
                              const Division& division, float* gradients, T* shared)
      : units_(division.slice),
        gradients_(gradients),
        weights_(units_, shared, [&](int block, int column) {
          const int to = own.unit(0), gate_unit = own.half() * columns_of(units_) + column;
          simt::Vec<T, 4> four = {};
          if (to >= units || gate_unit >= units) return four;
          const T* from = args.weights + std::int64_t{block * units + gate_unit} * units + to;
          SIMT_UNROLL
          for (int i = 0; i < 4; ++i) four[i] = from[i * units];
          return four;
        }) {}

  // What a gate of the products is multiplied by: 0 where the unit is not present.
  SIMT_DEVICE void publish(const Own& own, std::int32_t step, int gate,
                           const float (&values)[1]) const {
    if (own.stores()) gradient(step, gate).set(own.place(0), values[0]);
  }
  // What this block has published is there.
  SIMT_DEVICE void meet() const { simt::sync_block(); }

  // to += W_h transposed, of the gates from `first` to `end`, times what has been published of them.
  // meanwhile(): what does not wait for it.
  template <int first, int end, class F>
  SIMT_DEVICE void add(const Own& own, std::int32_t step, float (&to)[1], F&& meanwhile) const {
    float sums[end - first] = {};
    weights_.template multiply<first, end>(
        sums, [&](int gate) { return gradient(step, gate).half(own.half()); });
    meanwhile();
    float all = sums[0];
    SIMT_UNROLL
    for (int g = 1; g < end - first; ++g) all += sums[g];
    to[0] += of_both(all);
  }

 private:
  SIMT_DEVICE Vector gradient(std::int32_t step, int gate) const {
    return {gradients_ + (step % 2 * blocks + gate) * Vector::size(units_), units_};
  }

  int units_;
  float* gradients_;
  Weights<T, blocks, true, (Form::units > 0)> weights_;
};

template <class Cell, class T, class Form>
SIMT_KERNEL(most_threads, 1)
void backward(ResidentBackward<T> args) {
  const Division division = resident::whole_division<Form>(args.hidden);
  const BackwardMemory<Cell, T, Form> memory{division};
  simt::SharedCarver shared;
  const resident::UnitNumbers evolve(shared, division);
  auto* const gradients = shared.take<float>(static_cast<std::size_t>(2 * memory.gradients()));
  auto* const weights = shared.take<T>(memory.weights());
  resident::BackwardWalk<Cell, T, BackwardProduct<Cell, T, Form>, Form>(
      args, Own(), evolve, division, gradients, weights)
      .run();
}

}  // namespace lone

template <class T>
void lone_backward(simt::Stream stream, const ResidentBackward<T>& args) {
  if (args.sequences.count == 0) return;
  const auto start = [&]<class Cell, class Form>(Cell, Form) {
    const lone::Division division{.slice = resident::padded_units(args.hidden)};
    const lone::BackwardMemory<Cell, T, Form> memory{division};
    simt::launch(lone::launch_of_lanes(args.lanes, division, memory.bytes()), stream,
                 lone::backward<Cell, T, Form>, args);
  };
  lone::with_kernel(args.cell, resident::is_usual<lone::Own>(args), args.hidden, start);
}

}  // namespace lacuna
