// Stacks for tests, random ones among them, and batches to run them on.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "lacuna/lacuna.hpp"
#include "support/backend.h"
#include "support/random.h"

namespace support {

template <class Real>
struct StackData {
  std::vector<std::int64_t> offsets{0};
  std::vector<Real> values, delta_t, delta;
  std::vector<double> times;
  std::vector<std::uint8_t> mask,
      fires;  // fires: where the first layer has no mask, if any wants it
  std::vector<std::vector<Real>> initial_hidden, initial_cell;  // per place; or none
  std::vector<Real> d_hidden;
  std::vector<std::vector<Real>> d_final_hidden, d_final_cell;
  std::vector<std::int64_t> noise_sequence, noise_position;  // or none

  std::int64_t tokens() const { return offsets.back(); }
  std::int64_t sequences() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  std::int64_t longest() const {
    std::int64_t most = 0;
    for (std::size_t b = 1; b < offsets.size(); ++b)
      most = std::max(most, offsets[b] - offsets[b - 1]);
    return most;
  }
  lacuna::Batch<Real> batch() const {
    lacuna::Batch<Real> batch{.offsets = offsets, .values = values, .mask = mask};
    batch.fires = fires;
    batch.delta_t = delta_t;
    batch.times = times;
    batch.delta = delta;
    batch.noise.sequence = noise_sequence;
    batch.noise.position = noise_position;
    return batch;
  }
  std::vector<lacuna::State<const Real>> initial() const {
    std::vector<lacuna::State<const Real>> states;
    for (std::size_t p = 0; p < initial_hidden.size(); ++p)
      states.push_back({initial_hidden[p], initial_cell[p]});
    return states;
  }
};

struct StackCase {
  lacuna::Stack stack;
  std::vector<std::int64_t> lengths;
  int missing_percent = 40;
  bool times = false, mask_from_nan = true, initial = true, delta = false;
  std::uint64_t seed = 1;
};

inline bool evolves_only(const lacuna::Layer& layer) {
  return layer.empty_rows == lacuna::EmptyRows::evolve_only;
}

template <class Real>
StackData<Real> generate(const StackCase& c) {
  Random random(c.seed);
  const auto real = [&] { return static_cast<Real>(random.uniform(-1, 1)); };
  const auto filled = [&](std::int64_t count) {
    std::vector<Real> numbers(static_cast<std::size_t>(count));
    for (Real& number : numbers) number = real();
    return numbers;
  };
  StackData<Real> data;
  for (const std::int64_t length : c.lengths) data.offsets.push_back(data.offsets.back() + length);
  const lacuna::Layer& first = c.stack.layers.front();
  const std::int64_t n = data.tokens(), d = first.features;
  data.values = filled(n * d);
  if (first.impute != lacuna::Impute::none) {
    if (!c.mask_from_nan) data.mask.assign(data.values.size(), 1);
    for (std::size_t i = 0; i < data.values.size(); ++i) {
      if (random.below(100) >= c.missing_percent) continue;
      data.values[i] = std::numeric_limits<Real>::quiet_NaN();
      if (!c.mask_from_nan) data.mask[i] = 0;
    }
  } else if (std::any_of(c.stack.layers.begin(), c.stack.layers.end(), evolves_only)) {
    Random empty(c.seed + (std::uint64_t{1} << 34));
    for (std::int64_t s = 0; s < n; ++s)
      data.fires.push_back(empty.below(100) < c.missing_percent ? 0 : 1);
  }
  if (c.times) {
    double now = 1.6e9;
    for (std::int64_t s = 0; s < n; ++s) data.times.push_back(now += random.uniform(0, 2));
  } else {
    for (std::int64_t s = 0; s < n; ++s)
      data.delta_t.push_back(static_cast<Real>(random.uniform(0, 2)));
  }
  if (c.delta)
    for (std::int64_t i = 0; i < n * d; ++i)
      data.delta.push_back(static_cast<Real>(random.uniform(0, 3)));
  data.d_hidden = filled(n * c.stack.output_width());
  for (std::size_t place = 0; place < c.stack.places(); ++place) {
    const lacuna::Layer& layer = c.stack.at(place);
    const std::int64_t count = data.sequences() * layer.output_width();
    const std::int64_t cells = layer.has_cell_state() ? data.sequences() * layer.hidden : 0;
    if (c.initial) {
      data.initial_hidden.push_back(filled(count));
      data.initial_cell.push_back(filled(cells));
    }
    data.d_final_hidden.push_back(filled(count));
    data.d_final_cell.push_back(filled(cells));
  }
  if (c.seed % 2 == 1)
    for (std::int64_t b = 0; b < data.sequences(); ++b) {
      data.noise_sequence.push_back(1'000'000'007 * (data.sequences() - b));
      data.noise_position.push_back((std::int64_t{1} << 33) * (b % 2) + 5 * b);
    }
  return data;
}

template <class Real>
lacuna::Capacity capacity_of(const StackData<Real>& data) {
  return {data.tokens(), data.sequences(), data.longest()};
}

// Zoneout and recurrent dropout for some of the layers.
inline void draw_noise(std::uint64_t seed, lacuna::Stack& stack) {
  Random random(seed + (std::uint64_t{1} << 32));
  if (random.chance(0.4)) return;
  for (lacuna::Layer& layer : stack.layers) {
    if (random.chance(0.4)) layer.zoneout_hidden = random.uniform(0.05, 0.6);
    if (layer.has_cell_state() && random.chance(0.5))
      layer.zoneout_cell = random.uniform(0.05, 0.6);
    if (random.chance(0.4)) layer.recurrent_dropout = random.uniform(0.05, 0.6);
  }
}

// Some of the layers beyond the first with a mask let their state evolve only where a row is empty.
inline void draw_empty_rows(std::uint64_t seed, lacuna::Stack& stack) {
  Random random(seed + (std::uint64_t{1} << 33));
  if (random.chance(0.4)) return;
  for (lacuna::Layer& layer : stack.layers)
    if (layer.impute == lacuna::Impute::none && random.chance(0.6))
      layer.empty_rows = lacuna::EmptyRows::evolve_only;
}

inline StackCase draw_stack(std::uint64_t seed) {
  using namespace lacuna;
  Random random(seed);
  const auto flag = [&](double chance) { return random.chance(chance); };
  Layer first{.cell = static_cast<Cell>(random.below(6)),
              .impute = static_cast<Impute>(random.below(5)),
              .evolve = static_cast<Evolve>(random.below(4)),
              .features = 1 + random.below(9),
              .hidden = 1 + random.below(18)};
  first.gap_input = flag(0.3);
  if (first.impute != Impute::none) {
    first.mask_input = flag(0.5);
    if (flag(0.4)) first.empty_rows = EmptyRows::evolve_only;
  }
  StackCase c;
  const int depth = 1 + random.below(3);
  c.stack = stacked(first, {.depth = depth, .bidirectional = flag(0.4), .residual = flag(0.4)});
  for (std::size_t l = 1; l < c.stack.layers.size(); ++l) {
    Layer& layer = c.stack.layers[l];
    layer.cell = static_cast<Cell>(random.below(6));
    layer.evolve = static_cast<Evolve>(random.below(4));
    layer.empty_rows = EmptyRows::update;
    layer.gap_input = flag(0.2);
    layer.features = c.stack.layers[l - 1].hidden * c.stack.directions();
    if (!c.stack.residual) layer.hidden = 1 + random.below(18);
  }
  if (!c.stack.bidirectional && flag(0.3))
    for (Layer& layer : c.stack.layers) layer.reverse = true;
  for (int b = random.below(9); b >= 0; --b) c.lengths.push_back(random.below(flag(0.2) ? 90 : 25));
  c.lengths.push_back(30 + random.below(30));
  // Enough for ten windows of three tokens, six of five: more of the same only takes the emulator longer.
  if (on_emulator)
    for (std::int64_t& length : c.lengths) length = std::min<std::int64_t>(length, 30);
  if (flag(0.3)) c.stack.dropout = random.uniform(0.1, 0.6);
  draw_noise(seed, c.stack);
  draw_empty_rows(seed, c.stack);
  c.missing_percent = random.below(101);
  c.times = flag(0.4);
  c.mask_from_nan = flag(0.5);
  c.initial = flag(0.6);
  c.delta = flag(0.2) && !c.stack.bidirectional;
  c.seed = seed;
  // A projection keeps the widths between layers, and with them what has been drawn.
  for (Layer& layer : c.stack.layers)
    if (layer.cell == Cell::lstm && flag(0.5)) {
      layer.projection = layer.hidden;
      layer.hidden += random.below(12);
    }
  for (Layer& layer : c.stack.layers) layer.layer_norm = flag(0.25);
  return c;
}

template <class Real>
lacuna::Stack of_type(lacuna::Stack stack) {
  for (lacuna::Layer& layer : stack.layers) layer.type = lacuna::type_of<Real>;
  return stack;
}

}  // namespace support
