// One recurrence by groups of blocks, forward or backward, over arrays of its own: for tests of the kernels by themselves.
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
    std::fill(arrivals_.begin(), arrivals_.end(), 0u);
    std::vector<T> hidden(static_cast<std::size_t>(tokens_ * hidden_));
    lacuna::SplitForward<T> args;
    set(args);
    args.gx = gx_.data();
    args.bias = bias_.data();
    args.hidden_out = hidden.data();
    lacuna::split::launch_forward<Cell, E, Exchange>(nullptr, args);
    return hidden;
  }
  // The gates' gradients.
  template <class Exchange>
  std::vector<T> backward() {
    std::fill(arrivals_.begin(), arrivals_.end(), 0u);
    std::vector<T> d_gates(static_cast<std::size_t>(tokens_ * Cell::gradient_gates * units_));
    std::vector<T> reset(static_cast<std::size_t>(tokens_ * units_));
    lacuna::SplitBackward<T> args;
    set(args);
    args.tape_h = states_.data();
    args.tape_c = cells_.data();
    args.gates = gates_.data();
    args.d_hidden_out = states_.data();
    args.d_gates = d_gates.data();
    args.reset_operand = reset.data();
    using Operand = lacuna::resident::GradientOperand<E>;
    lacuna::split::launch_backward<Cell, Operand, Exchange>(nullptr, args);
    return d_gates;
  }

 private:
  template <class Args>
  void set(Args& args) {
    args.sequences = {offsets_.data(), order_.data(), static_cast<std::int64_t>(order_.size()),
                      false};
    args.hidden = hidden_;
    args.units = units_;
    args.weights = weights_.data();
    args.lanes = 16;
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
