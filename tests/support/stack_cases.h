// Stacks for tests: random ones with batches to run them on, everything that a run gives in one place, and the same computed
// layer by layer through the calls on single layers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "kernels/cells/noise.h"
#include "lacuna/lacuna.hpp"
#include "support/backend.h"
#include "support/random.h"

namespace support {

inline lacuna::Context stack_context(int threads = 1) {
  return lacuna::Context(
      {.backend = static_cast<lacuna::Backend>(tested_backend), .threads = on_cpu ? threads : 0});
}

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

// Everything that a forward and a backward run write, all NaN before.
template <class Real>
struct StackResults {
  std::vector<Real> hidden, d_values, d_delta_t;
  std::vector<std::vector<Real>> final_hidden, final_cell, d_initial_hidden, d_initial_cell;
  std::vector<std::vector<Real>> d_parameters;

  StackResults(const lacuna::Stack& stack, const StackData<Real>& data) {
    const auto nan = [](std::int64_t count) {
      return std::vector<Real>(static_cast<std::size_t>(count),
                               std::numeric_limits<Real>::quiet_NaN());
    };
    hidden = nan(data.tokens() * stack.output_width());
    d_values = nan(data.tokens() * stack.layers.front().features);
    d_delta_t = nan(data.tokens());
    for (std::size_t place = 0; place < stack.places(); ++place) {
      const lacuna::Layer& layer = stack.at(place);
      const std::int64_t count = data.sequences() * layer.output_width();
      const std::int64_t cells = layer.has_cell_state() ? data.sequences() * layer.hidden : 0;
      final_hidden.push_back(nan(count));
      final_cell.push_back(nan(cells));
      d_initial_hidden.push_back(nan(count));
      d_initial_cell.push_back(nan(cells));
    }
  }
  void take(const lacuna::StackGradients<Real>& gradients) {
    for (std::size_t place = 0; place < gradients.size(); ++place)
      d_parameters.emplace_back(gradients[place].flat().begin(), gradients[place].flat().end());
  }

  // Every array with its name.
  template <class Visit>
  void each(Visit&& visit) const {
    visit("hidden", hidden);
    visit("d_values", d_values);
    visit("d_delta_t", d_delta_t);
    const auto per_place = [&](const char* name, const auto& arrays) {
      for (std::size_t place = 0; place < arrays.size(); ++place)
        visit(std::string(name) + "[" + std::to_string(place) + "]", arrays[place]);
    };
    per_place("final_hidden", final_hidden);
    per_place("final_cell", final_cell);
    per_place("d_initial_hidden", d_initial_hidden);
    per_place("d_initial_cell", d_initial_cell);
    per_place("d_parameters", d_parameters);
  }
};

template <class Real>
std::vector<lacuna::State<Real>> states(std::vector<std::vector<Real>>& hidden,
                                        std::vector<std::vector<Real>>& cell) {
  std::vector<lacuna::State<Real>> out;
  for (std::size_t place = 0; place < hidden.size(); ++place)
    out.push_back({hidden[place], cell[place]});
  return out;
}
template <class Real>
std::vector<lacuna::State<const Real>> states(const std::vector<std::vector<Real>>& hidden,
                                              const std::vector<std::vector<Real>>& cell) {
  std::vector<lacuna::State<const Real>> out;
  for (std::size_t place = 0; place < hidden.size(); ++place)
    out.push_back({hidden[place], cell[place]});
  return out;
}

template <class Real>
lacuna::Capacity capacity_of(const StackData<Real>& data) {
  return {data.tokens(), data.sequences(), data.longest()};
}

// Forward and backward by one plan.
template <class Real>
StackResults<Real> run_stack(lacuna::StackPlan& plan, const lacuna::StackParameters<Real>& weights,
                             const StackData<Real>& data, std::uint64_t seed = 0) {
  StackResults<Real> results(plan.stack(), data);
  plan.forward<Real>(
      weights, data.batch(),
      {.hidden = results.hidden, .final_states = states(results.final_hidden, results.final_cell)},
      seed, data.initial());
  lacuna::StackGradients<Real> gradients(weights);
  plan.backward<Real>(
      weights, data.batch(),
      {.d_hidden = data.d_hidden, .d_final_states = states(data.d_final_hidden, data.d_final_cell)},
      gradients,
      {.d_values = results.d_values,
       .d_delta_t = results.d_delta_t,
       .d_initial_states = states(results.d_initial_hidden, results.d_initial_cell)},
      data.initial());
  results.take(gradients);
  return results;
}

// The same layer by layer: every layer and direction by a plan of its own over the whole batch, the rest by plain loops.
template <class Real>
StackResults<Real> run_by_layers(const lacuna::Context& context, const lacuna::Stack& stack,
                                 const lacuna::StackParameters<Real>& weights,
                                 const StackData<Real>& data, std::uint64_t seed = 0) {
  using Rows = std::vector<Real>;
  StackResults<Real> results(stack, data);
  const int directions = stack.directions();
  const std::int64_t n = data.tokens();
  struct Pass {
    std::unique_ptr<lacuna::Plan> plan;
    std::unique_ptr<lacuna::Tape> tape;
  };
  std::vector<Pass> passes(stack.places());
  std::vector<Rows> inputs{data.values};
  // At which tokens the first layer measures anything, or what the caller says.
  std::vector<std::uint8_t> fires = data.fires;
  const bool masked = stack.layers.front().impute != lacuna::Impute::none;
  for (std::size_t s = 0; masked && s < static_cast<std::size_t>(n); ++s) {
    bool any = false;
    const auto columns = static_cast<std::size_t>(stack.layers.front().features);
    for (std::size_t i = s * columns; i < (s + 1) * columns; ++i)
      any = any || (data.mask.empty() ? !std::isnan(data.values[i]) : data.mask[i] != 0);
    fires.push_back(any ? 1 : 0);
  }
  const auto batch_of = [&](std::size_t layer, std::size_t place) {
    lacuna::Batch<Real> batch = data.batch();
    batch.values = inputs[layer];
    if (layer > 0) {
      batch.mask = {};
      batch.delta = {};
    }
    batch.fires = {};
    if (evolves_only(stack.layers[layer]) && (layer > 0 || !masked)) batch.fires = fires;
    batch.noise.seed = lacuna::seed_of_place(seed, static_cast<std::uint32_t>(place));
    if (!data.initial_hidden.empty()) {
      batch.initial_hidden = data.initial_hidden[place];
      batch.initial_cell = data.initial_cell[place];
    }
    return batch;
  };
  // rows[:, first .. first+width) of an array of `stride` columns, moved (= or +=).
  const auto move = [&](const Rows& from, std::int64_t from_stride, std::int64_t from_first,
                        Rows& to, std::int64_t to_stride, std::int64_t to_first, std::int64_t width,
                        bool add) {
    for (std::int64_t s = 0; s < n; ++s)
      for (std::int64_t c = 0; c < width; ++c) {
        const Real value = from[static_cast<std::size_t>(s * from_stride + from_first + c)];
        Real& out = to[static_cast<std::size_t>(s * to_stride + to_first + c)];
        out = add ? out + value : value;
      }
  };

  // As docs/equations.md has it.
  const auto draws_below = [&](std::int64_t name, std::int64_t position, std::size_t layer,
                               std::int64_t column) {
    const auto low = [](std::int64_t number) { return static_cast<std::uint32_t>(number); };
    const auto numbers =
        lacuna::philox(seed, low(name), low(position), low(name >> 32) | low(position >> 32) << 16,
                       low(column / 4) + (static_cast<std::uint32_t>(layer) << 22) + (1u << 29));
    return numbers.word[column % 4] < std::floor(stack.dropout * 4294967296.0);
  };
  // What a layer hands to the next, or the gradient of it.
  const auto drop = [&](std::size_t layer, Rows& rows) {
    if (stack.dropout == 0 || layer + 1 == stack.layers.size()) return;
    const std::int64_t h = stack.layers[layer].output_width(), width = h * directions;
    for (std::int64_t b = 0; b < data.sequences(); ++b) {
      const auto at = static_cast<std::size_t>(b);
      const std::int64_t name = data.noise_sequence.empty() ? b : data.noise_sequence[at];
      const std::int64_t before = data.noise_position.empty() ? 0 : data.noise_position[at];
      const std::int64_t begin = data.offsets[at], end = data.offsets[at + 1];
      for (std::int64_t s = begin; s < end; ++s)
        for (std::int64_t c = 0; c < width; ++c) {
          const bool from_end = stack.layers[layer].reverse || c >= h;
          const std::int64_t position = before + (from_end ? end - 1 - s : s - begin);
          Real& number = rows[static_cast<std::size_t>(s * width + c)];
          number = draws_below(name, position, layer, c)
                       ? Real(0)
                       : number * static_cast<Real>(1 / (1 - stack.dropout));
        }
    }
  };

  for (std::size_t l = 0; l < stack.layers.size(); ++l) {
    const std::int64_t h = stack.layers[l].output_width(), width = h * directions;
    Rows out(static_cast<std::size_t>(n * width));
    for (int d = 0; d < directions; ++d) {
      const std::size_t place =
          l * static_cast<std::size_t>(directions) + static_cast<std::size_t>(d);
      lacuna::Layer layer = stack.layers[l];
      layer.reverse = layer.reverse || d == 1;
      Pass& pass = passes[place];
      pass.plan = std::make_unique<lacuna::Plan>(context, layer, capacity_of(data));
      pass.tape = std::make_unique<lacuna::Tape>(*pass.plan);
      Rows own(static_cast<std::size_t>(n * h));
      lacuna::Parameters<Real> parameters(layer);
      std::copy(weights[place].flat().begin(), weights[place].flat().end(),
                parameters.flat().begin());
      pass.plan->template forward<Real>(parameters, batch_of(l, place),
                                        {.hidden = own,
                                         .final_hidden = results.final_hidden[place],
                                         .final_cell = results.final_cell[place]},
                                        *pass.tape);
      move(own, h, 0, out, width, d * h, h, false);
      if (stack.residual && l > 0) move(inputs[l], width, d * h, out, width, d * h, h, true);
    }
    drop(l, out);
    inputs.push_back(out);
  }
  results.hidden = inputs.back();

  std::fill(results.d_delta_t.begin(), results.d_delta_t.end(), Real(0));
  Rows d_out = data.d_hidden;
  results.d_parameters.resize(stack.places());
  std::vector<Rows> d_gaps(static_cast<std::size_t>(directions),
                           Rows(static_cast<std::size_t>(n), Real(0)));
  for (std::size_t l = stack.layers.size(); l-- > 0;) {
    const std::int64_t h = stack.layers[l].output_width(), width = h * directions;
    const std::int64_t below = stack.layers[l].features;
    drop(l, d_out);
    Rows d_in(static_cast<std::size_t>(n * below), Real(0));
    for (int d = 0; d < directions; ++d) {
      const std::size_t place =
          l * static_cast<std::size_t>(directions) + static_cast<std::size_t>(d);
      lacuna::Layer layer = stack.layers[l];
      layer.reverse = layer.reverse || d == 1;
      lacuna::Parameters<Real> parameters(layer);
      std::copy(weights[place].flat().begin(), weights[place].flat().end(),
                parameters.flat().begin());
      lacuna::Gradients<Real> gradients(layer);
      Rows d_own(static_cast<std::size_t>(n * h)), d_values(static_cast<std::size_t>(n * below)),
          d_dt(static_cast<std::size_t>(n));
      move(d_out, width, d * h, d_own, h, 0, h, false);
      passes[place].plan->template backward<Real>(
          parameters, batch_of(l, place),
          {.d_hidden = d_own,
           .d_final_hidden = data.d_final_hidden[place],
           .d_final_cell = data.d_final_cell[place]},
          *passes[place].tape, gradients,
          {.d_values = d_values,
           .d_delta_t = d_dt,
           .d_initial_hidden = results.d_initial_hidden[place],
           .d_initial_cell = results.d_initial_cell[place]});
      results.d_parameters[place].assign(gradients.flat().begin(), gradients.flat().end());
      if (stack.residual && l > 0) move(d_own, h, 0, d_values, below, d * h, h, true);
      move(d_values, below, 0, d_in, below, 0, below, d > 0);
      move(d_dt, 1, 0, d_gaps[static_cast<std::size_t>(d)], 1, 0, 1, l + 1 < stack.layers.size());
    }
    d_out = d_in;
  }
  results.d_values = d_out;
  results.d_delta_t = d_gaps[0];
  if (directions == 2) move(d_gaps[1], 1, 0, results.d_delta_t, 1, 0, 1, true);
  return results;
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
