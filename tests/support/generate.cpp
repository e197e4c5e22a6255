// See generate.h.
#include "support/generate.h"

#include <cmath>
#include <limits>

#include "reference/observe.h"
#include "support/random.h"

namespace support {
namespace {

using reference::Cell;
using reference::Evolve;
using reference::Impute;

constexpr double first_time_stamp = 1.7e9;  // seconds: the year 2023

// Streams of random numbers that do not move when another one's length changes.
enum Stream : std::uint64_t {
  parameters,
  lengths,
  measurements,
  missing,
  gaps,
  states,
  upstream,
  noise
};

Random stream(const Case& c, Stream which) {
  Random mix(c.seed * 64 + which);
  return Random(mix.next());
}

double round_to(Type type, double x) {
  return type == Type::f32 ? static_cast<double>(static_cast<float>(x)) : x;
}

struct Filler {
  const Case& c;
  Random random;

  void fill(std::vector<double>& x, double low, double high) {
    for (double& value : x) value = round_to(c.type, random.uniform(low, high));
  }

  std::vector<double> make(std::int64_t size, double low, double high) {
    std::vector<double> x(static_cast<std::size_t>(size));
    fill(x, low, high);
    return x;
  }

  // A decay's rows of `columns` weights and their biases. One row in four grows without end and is
  // clamped throughout; one in four starts clamped; the others never are.
  void fill_decay(std::vector<double>& weight, std::vector<double>& bias) {
    const std::size_t columns = bias.empty() ? 0 : weight.size() / bias.size();
    for (std::size_t row = 0; row < bias.size(); ++row) {
      const auto kind = random.below(4);
      for (std::size_t k = 0; k < columns; ++k) {
        const double w = std::ldexp(static_cast<double>(1 + random.below(24)), -6);
        weight[row * columns + k] = kind == 0 ? -w : w;
      }
      const double b = std::ldexp(static_cast<double>(2 * random.below(1 << 16) + 1), -18);
      bias[row] = kind <= 1 ? -b : b;
    }
  }
};

std::vector<std::int64_t> make_offsets(const Case& c) {
  Random random = stream(c, lengths);
  std::vector<std::int64_t> offsets = {0};
  for (std::int64_t b = 0; b < c.sequences; ++b) {
    std::int64_t length = c.shortest + random.below(c.longest - c.shortest + 1);
    if (b == c.sequences - 1) length = c.shortest;
    if (b == c.sequences - 2) length = c.longest;
    if (b == 0 && c.first_length >= 0) length = c.first_length;
    offsets.push_back(offsets.back() + length);
  }
  return offsets;
}

std::vector<std::uint8_t> make_mask(const Case& c, std::int64_t tokens) {
  Random random = stream(c, missing);
  const double cells = c.missing_percent / 100.0, rows = cells / 4;
  const double other_cells = (cells - rows) / (1 - rows);  // of the rows that are not empty
  std::vector<std::uint8_t> mask;
  for (std::int64_t s = 0; s < tokens; ++s) {
    const bool row_is_empty = random.chance(rows);
    for (int d = 0; d < c.layer.features; ++d) {
      const bool cell_is_empty = random.chance(other_cells);
      mask.push_back(row_is_empty || cell_is_empty ? 0 : 1);
    }
  }
  return mask;
}

// Of layers that are told at which tokens their cell fires.
std::vector<std::uint8_t> make_fires(const Case& c, std::int64_t tokens) {
  Random random = stream(c, missing);
  std::vector<std::uint8_t> fires;
  for (std::int64_t s = 0; s < tokens; ++s)
    fires.push_back(random.chance(c.missing_percent / 100.0) ? 0 : 1);
  return fires;
}

void poison(const Case& c, const std::vector<std::uint8_t>& mask, std::vector<double>& values) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  std::size_t turn = 0;
  for (std::size_t at = 0; at < values.size(); ++at) {
    if (mask[at]) continue;
    const double in_turn[] = {nan, infinity, -infinity};
    values[at] = c.mask_from_nan ? nan : in_turn[turn++ % 3];
  }
}

// Explicit Euler is stable for small steps only, and so has no long gaps either.
double gap_scale(const Case& c) { return c.layer.cell == Cell::rnn_euler ? 1.0 / 16 : 1; }

double make_gap(const Case& c, Random& random) {
  const double kind = random.uniform(0, 1), u = random.uniform(0, 1);
  double gap = std::floor(u * u * 4 * 64) / 64;
  if (kind < 0.15) gap = 0;
  if (kind > 0.98 && c.layer.cell != Cell::rnn_euler) gap += 200;
  return gap * gap_scale(c);
}

void make_time(const Case& c, reference::Batch& batch) {
  Random random = stream(c, gaps);
  double time = first_time_stamp;
  for (std::int64_t b = 0; b < batch.sequences(); ++b) {
    const auto at = static_cast<std::size_t>(b);
    if (c.carry) batch.context.last_time.push_back(time);
    for (std::int64_t s = batch.offsets[at]; s < batch.offsets[at + 1]; ++s) {
      const double gap = make_gap(c, random);
      time += gap;
      if (c.times) {
        batch.times.push_back(time);
      } else {
        batch.delta_t.push_back(gap);
      }
    }
    // A reversed layer read the later piece first.
    if (c.carry && c.layer.reverse) batch.context.last_time.back() = time + 3 * gap_scale(c);
  }
  if (!c.times) batch.context.last_time.clear();
}

void make_context(const Case& c, Random& random, reference::Batch& batch) {
  auto& context = batch.context;
  for (std::int64_t at = 0; at < c.sequences * c.layer.features; ++at) {
    const double value = round_to(c.type, random.uniform(-1, 1));
    const bool never = random.chance(0.3);
    context.last_value.push_back(never ? std::numeric_limits<double>::quiet_NaN() : value);
    context.since.push_back(static_cast<double>(random.below(4 * 64)) / 64 * gap_scale(c));
  }
}

// Names and positions in no order, beyond 32 bits too; two cases in three have them.
void make_noise(const Case& c, reference::Batch& batch) {
  Random random = stream(c, noise);
  batch.noise.seed = random.next();
  if (c.seed % 3 == 0) return;
  for (std::int64_t b = 0; b < batch.sequences(); ++b) {
    batch.noise.sequence.push_back((batch.sequences() - b) * 0x1'0000'0001 + random.below(2));
    batch.noise.position.push_back(random.below(3) * 0x7fff'ffff + random.below(99));
  }
}

}  // namespace

reference::Parameters make_parameters(const Case& c) {
  Filler filler{c, stream(c, parameters)};
  const double scale = 1 / std::sqrt(c.layer.hidden);
  reference::Parameters p = reference::zero_parameters(c.layer);
  filler.fill(p.weights_x, -scale, scale);
  filler.fill(p.weights_h, -scale, scale);
  filler.fill(p.bias, -scale, scale);
  filler.fill(p.bias_hn, -scale, scale);
  filler.fill(p.x_mean, -0.5, 0.5);
  filler.fill(p.s_inf, -0.5, 0.5);
  filler.fill(p.projection, -scale, scale);
  if (c.layer.impute == Impute::decay) filler.fill_decay(p.impute_weight, p.impute_bias);
  if (c.layer.impute == Impute::relax) filler.fill(p.impute_weight, -3, 0.5);
  if (c.layer.evolve == Evolve::relax) {
    filler.fill(p.evolve_weight, -3, 0.5);
  } else {
    filler.fill_decay(p.evolve_weight, p.evolve_bias);
  }
  if (c.layer.cell == Cell::rnn_euler) {
    const auto H = static_cast<std::size_t>(c.layer.hidden);
    for (std::size_t j = 0; j < H; ++j) {
      double& diagonal = p.weights_h[j * H + j];
      diagonal = round_to(c.type, diagonal - 1.5);
    }
  }
  // A normalised product varies by 1 whatever its weights are; these gains leave its share in the
  // next state, and in an error's, what weights of +-1/sqrt(H) leave it without.
  filler.fill(p.norm_gain_x, 0.5, 1.5);
  filler.fill(p.norm_gain_h, 0.2, 0.6);
  filler.fill(p.norm_gain_c, 0.5, 1.5);
  filler.fill(p.norm_bias_c, -scale, scale);
  return p;
}

reference::Batch make_batch(const Case& c) {
  reference::Batch batch;
  batch.offsets = make_offsets(c);
  make_time(c, batch);

  Filler filler{c, stream(c, measurements)};
  batch.values = filler.make(batch.tokens() * c.layer.features, -1, 1);
  if (c.layer.impute != Impute::none) {
    batch.mask = make_mask(c, batch.tokens());
    poison(c, batch.mask, batch.values);
    if (c.mask_from_nan) batch.mask.clear();
  } else if (c.layer.empty_rows == reference::EmptyRows::evolve_only) {
    batch.fires = make_fires(c, batch.tokens());
  }

  make_noise(c, batch);
  Filler initial{c, stream(c, states)};
  if (c.initial_state) {
    batch.initial_hidden = initial.make(c.sequences * c.layer.output_width(), -0.9, 0.9);
    if (c.layer.has_cell_state())
      batch.initial_cell = initial.make(c.sequences * c.layer.hidden, -0.9, 0.9);
  }
  if (c.carry && c.layer.impute != Impute::none) make_context(c, initial.random, batch);
  if (c.delta) {
    // Told apart from what would be computed by a factor of two.
    batch.delta = reference::observe(c.layer, batch).delta;
    for (double& delta : batch.delta) delta /= 2;
  }
  return batch;
}

reference::Upstream make_upstream(const Case& c) {
  Filler filler{c, stream(c, upstream)};
  const std::int64_t tokens = make_offsets(c).back();
  const std::int64_t R = c.layer.output_width(), C = c.layer.has_cell_state() ? c.layer.hidden : 0;
  reference::Upstream d;
  d.d_hidden = filler.make(tokens * R, -1, 1);
  d.d_cell = filler.make(tokens * C, -1, 1);
  d.d_final_hidden = filler.make(c.sequences * R, -1, 1);
  d.d_final_cell = filler.make(c.sequences * C, -1, 1);
  return d;
}

}  // namespace support
