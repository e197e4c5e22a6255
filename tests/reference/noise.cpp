// See noise.h.
#include "reference/noise.h"

#include "kernels/cells/philox.h"

namespace reference {
namespace {

enum Use : std::uint32_t { of_hidden = 0, of_cell = 1, of_operand = 2 };

std::int64_t entry(const std::vector<std::int64_t>& given, std::int64_t sequence,
                   std::int64_t absent) {
  return given.empty() ? absent : given[static_cast<std::size_t>(sequence)];
}

// Uniform in [0, 1), from 32 bits.
double uniform(const Noise& noise, Use use, std::int64_t sequence, std::int64_t position,
               int unit) {
  const auto s = static_cast<std::uint64_t>(entry(noise.sequence, sequence, sequence));
  const auto p = static_cast<std::uint64_t>(position);
  const std::uint64_t high = (s >> 32) + ((p >> 32) << 16);
  const std::uint32_t place =
      (std::uint32_t{1} << 31) + (use << 22) + static_cast<std::uint32_t>(unit) / 4;
  const auto numbers =
      lacuna::philox(noise.seed, static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(p),
                     static_cast<std::uint32_t>(high), place);
  return numbers.word[unit % 4] / 4294967296.0;
}

// As a whole number of 2^-32, which is as fine as numbers are.
double rounded_down(double probability) {
  return static_cast<double>(static_cast<std::uint64_t>(probability * 4294967296.0)) / 4294967296.0;
}

}  // namespace

std::vector<double> zoned_share(const Layer& layer, const Noise& noise, std::int64_t sequence,
                                std::int64_t step) {
  const std::int64_t position = entry(noise.position, sequence, 0) + step;
  std::vector<double> share;
  const auto add = [&](Use use, int percent, int units) {
    const double probability = percent / 100.0;
    for (int j = 0; j < units; ++j) {
      const bool is_drawn = percent > 0 && noise.drawn &&
                            uniform(noise, use, sequence, position, j) < rounded_down(probability);
      share.push_back(noise.drawn ? (is_drawn ? 1 : 0) : probability);
    }
  };
  add(of_hidden, layer.zoneout_hidden_percent, layer.output_width());
  if (layer.has_cell_state()) add(of_cell, layer.zoneout_cell_percent, layer.hidden);
  return share;
}

std::vector<double> operand_factors(const Layer& layer, const Noise& noise, std::int64_t sequence) {
  const double probability = layer.recurrent_dropout_percent / 100.0;
  std::vector<double> factors(static_cast<std::size_t>(layer.output_width()), 1);
  if (probability == 0 || !noise.drawn) return factors;
  for (int j = 0; j < layer.output_width(); ++j) {
    const bool dropped = uniform(noise, of_operand, sequence, 0, j) < rounded_down(probability);
    factors[static_cast<std::size_t>(j)] = dropped ? 0 : 1 / (1 - probability);
  }
  return factors;
}

}  // namespace reference
