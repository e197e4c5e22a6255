// The walk of resident/forward_walk.h with one lane.
#pragma once

#include "kernels/recurrence/lone/tile.h"
#include "kernels/recurrence/resident/forward_walk.h"
#include "kernels/simt/launch.h"
#include "kernels/simt/sync.h"

namespace lacuna {
namespace lone {

// A block's arrays of shared memory, added up in the order in which the kernel takes them.
template <class Cell, class T, class Form>
struct ForwardMemory {
  Division division;

  SIMT_BOTH std::size_t states() const {
    return static_cast<std::size_t>(resident::channels<Cell> * Vector::size(division.slice));
  }
  SIMT_BOTH std::size_t weights() const {
    return weights_beyond(resident::weight_blocks<Cell>, division.slice, Form::units > 0);
  }
  std::size_t bytes() const {
    simt::SharedLayout layout;
    resident::UnitNumbers::add_to(layout, division);
    resident::UnitNumbers::add_to(layout, division);
    layout.add<float>(states());
    layout.add<T>(weights());
    return layout.bytes;
  }
};

// A Product of ForwardWalk.
template <class Cell, class T, class Form>
class ForwardProduct {
 public:
  using Own = lone::Own;
  static constexpr bool in_group = false;
  template <class>
  static constexpr bool forgets_thread = false;

  SIMT_DEVICE ForwardProduct(const ResidentForward<T>& args, int units, const Own& own,
                             const Division& division, float* states, T* shared)
      : units_(division.slice),
        states_(states),
        weights_(units_, shared, [&](int block, int column) {
          const int unit = own.unit(0), from = own.half() * columns_of(units_) + column;
          // Aligned to four, as units is: all are inside, or none.
          return unit < units && from < units
                     ? simt::load<4>(args.weights + std::int64_t{block * units + unit} * units +
                                     from)
                     : simt::Vec<T, 4>{};
        }) {}

  SIMT_DEVICE void publish(const Own& own, int channel, const float (&values)[1]) const {
    if (own.stores()) state(channel).set(own.place(0), values[0]);
  }

  // to: W_h, of the gates from `first` to `end`, times what has come by the channel.
  // meanwhile(): what does not wait for it.
  template <int first, int end, class F>
  SIMT_DEVICE void multiply(const Own& own, float (&to)[end - first][1], int channel,
                            F&& meanwhile) const {
    simt::sync_block();
    float sums[end - first] = {};
    const float* const half = state(channel).half(own.half());
    weights_.template multiply<first, end>(sums, [&](int) { return half; });
    meanwhile();
    SIMT_UNROLL
    for (int g = 0; g < end - first; ++g) to[g][0] = of_both(sums[g]);
  }

 private:
  SIMT_DEVICE Vector state(int channel) const {
    return {states_ + channel * Vector::size(units_), units_};
  }

  int units_;
  float* states_;
  Weights<T, resident::weight_blocks<Cell>, false, (Form::units > 0)> weights_;
};

template <class Cell, class T, class Form>
SIMT_KERNEL(most_threads, 1)
void forward(ResidentForward<T> args) {
  const Division division = resident::whole_division<Form>(args.hidden);
  const ForwardMemory<Cell, T, Form> memory{division};
  simt::SharedCarver shared;
  const resident::UnitNumbers biases(shared, division), evolve(shared, division);
  auto* const states = shared.take<float>(memory.states());
  auto* const weights = shared.take<T>(memory.weights());
  resident::ForwardWalk<Cell, T, ForwardProduct<Cell, T, Form>, Form>(args, Own(), biases, evolve,
                                                                      division, states, weights)
      .run();
}

}  // namespace lone

template <class T>
void lone_forward(simt::Stream stream, const ResidentForward<T>& args) {
  if (args.sequences.count == 0) return;
  const auto start = [&]<class Cell, class Form>(Cell, Form) {
    const lone::Division division{.slice = resident::padded_units(args.hidden)};
    const lone::ForwardMemory<Cell, T, Form> memory{division};
    simt::launch(lone::launch_of_lanes(args.lanes, division, memory.bytes()), stream,
                 lone::forward<Cell, T, Form>, args);
  };
  lone::with_kernel(args.cell, resident::is_usual<lone::Own>(args), args.hidden, start);
}

}  // namespace lacuna
