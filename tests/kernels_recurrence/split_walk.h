// One recurrence by groups of blocks, or by blocks that hold W_h whole, forward or backward, over arrays of its own: for tests
// of the kernels by themselves.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "emulator/emulator.h"
#include "kernels/recurrence/split/backward.h"
#include "kernels/recurrence/split/forward.h"

namespace split_walk {

// A few sequences, some without tokens, and what one recurrence over them reads and writes.
template <class Cell, class T, class E>
class Walk {
 public:
  Walk(std::int64_t hidden, int blocks)
      : hidden_(hidden),
        units_((hidden + 7) / 8 * 8),
        division_(lacuna::split::division_of(hidden, blocks)) {
    for (const std::int64_t length : {5, 4, 4, 3, 3, 2, 2, 2, 1, 0})
      offsets_.push_back(offsets_.back() + length);
    order_.resize(offsets_.size() - 1);
    std::iota(order_.begin(), order_.end(), 0);
    tokens_ = offsets_.back();
    const std::int64_t gates = std::max(Cell::saved_gates, Cell::input_gates);
    weights_ = numbers(4 * units_ * units_, 0.3);
    gates_ = numbers(tokens_ * gates * units_, 0.4);
    states_ = numbers(tokens_ * units_, 0.5);
    gx_ = wide(tokens_ * gates * units_, 0.8);
    bias_ = wide(gates * hidden_, 0.1);
    cells_ = wide(tokens_ * units_, 0.7);
    const std::size_t groups = 2;
    room_.resize(groups * std::max(lacuna::split::GridOperands<E>::room(division_, 3),
                                   lacuna::split::GridSums::room(division_)));
    arrivals_.resize(groups * lacuna::split::arrival_stride);
  }

  // h after each token.
  template <class Exchange>
  std::vector<T> forward() {
    lacuna::SplitForward<T> args;
    set_group(args);
    return forward_by(args,
                      [&] { lacuna::split::launch_forward<Cell, E, Exchange>(nullptr, args); });
  }
  // The gates' gradients.
  template <class Exchange>
  std::vector<T> backward() {
    lacuna::SplitBackward<T> args;
    set_group(args);
    return backward_by(args, [&] {
      using Operand = lacuna::resident::GradientOperand<E, true>;
      lacuna::split::launch_backward<Cell, Operand, Exchange>(nullptr, args);
    });
  }
  // The same by blocks that hold W_h whole, of so many lanes together: launch(arguments).
  template <class Launch>
  std::vector<T> whole_forward(std::int32_t lanes, Launch&& launch) {
    lacuna::ResidentForward<T> args;
    set(args, lanes);
    return forward_by(args, [&] { launch(args); });
  }
  template <class Launch>
  std::vector<T> whole_backward(std::int32_t lanes, Launch&& launch) {
    lacuna::ResidentBackward<T> args;
    set(args, lanes);
    return backward_by(args, [&] { launch(args); });
  }

 private:
  template <class Run>
  std::vector<T> forward_by(lacuna::ResidentForward<T>& args, Run&& run) {
    std::vector<T> hidden(static_cast<std::size_t>(tokens_ * hidden_));
    std::vector<T> gates(gates_.size()), states(states_.size());
    std::vector<float> cells(cells_.size());
    args.gx = gx_.data();
    args.bias = bias_.data();
    if constexpr (Cell::hidden_bias) args.bias_hn = bias_.data();
    args.hidden_out = hidden.data();
    args.tape_h = states.data();
    args.tape_c = cells.data();
    args.gates = gates.data();
    run();
    return hidden;
  }
  template <class Run>
  std::vector<T> backward_by(lacuna::ResidentBackward<T>& args, Run&& run) {
    std::vector<T> d_gates(static_cast<std::size_t>(tokens_ * Cell::gradient_gates * units_));
    std::vector<T> reset(states_.size());
    args.tape_h = states_.data();
    args.tape_c = cells_.data();
    args.gates = gates_.data();
    args.d_hidden_out = states_.data();
    args.d_gates = d_gates.data();
    args.reset_operand = reset.data();
    run();
    return d_gates;
  }
  template <class Args>
  void set(Args& args, std::int32_t lanes) {
    args.sequences = {offsets_.data(), order_.data(), static_cast<std::int64_t>(order_.size()),
                      false};
    args.hidden = hidden_;
    args.units = units_;
    args.weights = weights_.data();
    args.lanes = lanes;
  }
  template <class Args>
  void set_group(Args& args) {
    set(args, 16);
    std::fill(arrivals_.begin(), arrivals_.end(), 0u);
    args.division = division_;
    args.room = {room_.data(), arrivals_.data()};
  }
  static std::vector<float> wide(std::int64_t count, double size) {
    std::vector<float> all(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < all.size(); ++i)
      all[i] = static_cast<float>(size * std::sin(1.7 * static_cast<double>(i) + 0.3));
    return all;
  }
  static std::vector<T> numbers(std::int64_t count, double size) {
    const std::vector<float> from = wide(count, size);
    std::vector<T> all;
    all.reserve(from.size());
    for (const float value : from) all.push_back(lacuna::simt::from_float<T>(value));
    return all;
  }

  std::int64_t hidden_, units_, tokens_ = 0;
  lacuna::split::Division division_;
  std::vector<std::int64_t> offsets_{0};
  std::vector<std::int32_t> order_;
  std::vector<T> weights_, gates_, states_;
  std::vector<float> gx_, bias_, cells_;
  std::vector<std::byte> room_;
  std::vector<unsigned> arrivals_;
};

inline lacuna::emulator::Settings random_order(std::uint64_t seed) {
  lacuna::emulator::Settings settings;
  settings.order = lacuna::emulator::Order::random;
  settings.seed = seed;
  return settings;
}

}  // namespace split_walk
