#include "bench/case.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>
#include <utility>

namespace bench {
namespace {

constexpr std::array<std::pair<std::string_view, Cell>, 4> k_cells{{
    {"gru_reset_before", Cell::gru_reset_before},  // before "gru", which it begins with
    {"grud", Cell::gru_d},
    {"gru", Cell::gru},
    {"lstm", Cell::lstm},
}};
constexpr std::string_view k_physionet = "physionet2012";

// A generator of our own, because the standard distributions differ between libraries.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  double unit() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * unit(); }
  Tensor tensor(std::vector<std::int64_t> shape, double low, double high) {
    Tensor result = make_tensor(std::move(shape));
    for (float& value : result.data) value = static_cast<float>(uniform(low, high));
    return result;
  }

 private:
  std::mt19937_64 engine_;
};

// The standard normal distribution's quantile, by bisection of erfc: called once per sequence.
double normal_quantile(double probability) {
  double low = -8, high = 8;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < probability ? low : high) = middle;
  }
  return low;
}

// PhysioNet 2012 set A has a mean length of 73 time stamps, median 70, 5th and 95th percentile 45
// and 114, at most 202. A lognormal with that median and 95th percentile has mean 73.2 and 5th
// percentile 43.
std::int64_t physionet_length(double probability) {
  const double sigma = std::log(114.0 / 70.0) / normal_quantile(0.95);
  const double length = 70.0 * std::exp(sigma * normal_quantile(probability));
  return std::clamp<std::int64_t>(std::llround(length), 1, 202);
}

// Quantiles at equal distances, shuffled: the distribution is met as well as B lengths can, and
// the number of tokens does not depend on luck.
std::vector<std::int64_t> draw_lengths(const Case& what, Random& random) {
  std::vector<std::int64_t> lengths(static_cast<std::size_t>(what.sequences));
  for (std::size_t b = 0; b < lengths.size(); ++b) {
    const double probability = (static_cast<double>(b) + 0.5) / static_cast<double>(lengths.size());
    lengths[b] = what.physionet
                     ? physionet_length(probability)
                     : what.shortest +
                           static_cast<std::int64_t>(
                               probability * static_cast<double>(what.longest - what.shortest + 1));
  }
  for (std::size_t b = lengths.size(); b > 1; --b) {
    std::swap(lengths[b - 1],
              lengths[static_cast<std::size_t>(random.uniform(0, 1) * static_cast<double>(b))]);
  }
  return lengths;
}

// Time since each feature was last measured, as docs/equations.md defines it.
Tensor time_since_measured(const Inputs& inputs) {
  const std::int64_t features = inputs.what.features;
  Tensor delta = make_tensor({inputs.tokens(), features});
  const float* delta_t = inputs["delta_t"];
  for (std::size_t b = 0; b + 1 < inputs.offsets.size(); ++b) {
    for (std::int64_t s = inputs.offsets[b]; s < inputs.offsets[b + 1]; ++s) {
      for (std::int64_t d = 0; d < features; ++d) {
        const auto here = static_cast<std::size_t>(s * features + d);
        const auto before = here - static_cast<std::size_t>(features);
        const bool carries = s > inputs.offsets[b] && inputs.mask[before] == 0;
        delta.data[here] = delta_t[s] + (carries ? delta.data[before] : 0.0f);
      }
    }
  }
  return delta;
}

void add_gaps_and_mask(Inputs& inputs, Random& random) {
  const Case& what = inputs.what;
  Tensor& delta_t = inputs.tensors["delta_t"] = make_tensor({inputs.tokens()});
  for (std::size_t b = 0; b + 1 < inputs.offsets.size(); ++b) {
    for (std::int64_t s = inputs.offsets[b] + 1; s < inputs.offsets[b + 1]; ++s) {
      delta_t.data[static_cast<std::size_t>(s)] = static_cast<float>(-std::log1p(-random.unit()));
    }
  }
  Tensor& values = inputs.tensors["values"];
  inputs.mask.resize(values.data.size());
  for (std::size_t i = 0; i < values.data.size(); ++i) {
    inputs.mask[i] = random.uniform(0, 100) >= what.missing;
    if (!inputs.mask[i]) values.data[i] = std::numeric_limits<float>::quiet_NaN();
  }
  inputs.tensors["delta"] = time_since_measured(inputs);
}

}  // namespace

Case parse_case(std::string_view name) {
  const std::string whole(name);
  const auto fail = [&](const std::string& why) {
    return std::invalid_argument("case '" + whole + "': " + why);
  };
  Case what;
  const auto cell = std::find_if(k_cells.begin(), k_cells.end(), [&](const auto& known) {
    return name.substr(0, known.first.size() + 1) == std::string(known.first) + "_";
  });
  if (cell == k_cells.end()) throw fail("begins with no cell that is known here");
  what.cell = cell->second;
  name.remove_prefix(cell->first.size());
  while (!name.empty()) {
    name.remove_prefix(1);
    const std::string part(name.substr(0, name.find('_')));
    name.remove_prefix(part.size());
    const std::size_t letters = std::min(part.find_first_of("0123456789"), part.size());
    const std::string key = part.substr(0, letters), value = part.substr(letters);
    const auto number = [&](std::string_view digits) {
      std::int64_t result = 0;
      const char* end = digits.data() + digits.size();
      const auto [stop, error] = std::from_chars(digits.data(), end, result);
      if (error != std::errc{} || stop != end) throw fail("no whole number in '" + part + "'");
      return result;
    };
    if (part == "len" + std::string(k_physionet)) {
      what.physionet = true;
      what.shortest = 1;
      what.longest = 202;
    } else if (part == "f32") {  // the only type so far
    } else if (key == "n") {
      what.sequences = number(value);
    } else if (key == "t") {
      what.shortest = what.longest = number(value);
    } else if (key == "len" && value.find('-') != std::string::npos) {
      what.shortest = number(value.substr(0, value.find('-')));
      what.longest = number(value.substr(value.find('-') + 1));
    } else if (key == "d") {
      what.features = number(value);
    } else if (key == "h") {
      what.hidden = number(value);
    } else if (key == "miss") {
      what.missing = static_cast<int>(number(value));
    } else {
      throw fail("unknown part '" + part + "'");
    }
  }
  if (what.sequences < 1 || what.longest < what.shortest || what.shortest < 1 ||
      what.features < 1 || what.hidden < 1 || what.missing < 0 || what.missing > 100) {
    throw fail("needs n, t or len, d and h, all at least 1");
  }
  return what;
}

std::string case_name(const Case& what) {
  std::string name;
  for (const auto& [text, cell] : k_cells) {
    if (cell == what.cell) name = text;
  }
  name += "_f32_n" + std::to_string(what.sequences);
  if (what.physionet) {
    name += "_len" + std::string(k_physionet);
  } else if (what.ragged()) {
    name += "_len" + std::to_string(what.shortest) + "-" + std::to_string(what.longest);
  } else {
    name += "_t" + std::to_string(what.longest);
  }
  name += "_d" + std::to_string(what.features) + "_h" + std::to_string(what.hidden);
  if (what.missing > 0) name += "_miss" + std::to_string(what.missing);
  return name;
}

const std::vector<std::string>& standard_cases() {
  static const std::vector<std::string> cases = [] {
    std::vector<std::string> names;
    for (const char* shape : {"n64_t49_d41_h64", "n64_t200_d41_h64", "n128_t100_d76_h128",
                              "n64_t100_d128_h256", "n16_t50_d512_h512", "n64_t25_d1024_h1024"}) {
      for (const char* cell : {"lstm", "gru", "gru_reset_before"}) {
        names.push_back(std::string(cell) + "_f32_" + shape);
      }
    }
    for (const char* shape :
         {"n64_len13-49_d41_h64", "n64_len50-200_d41_h64", "n128_len25-100_d76_h128"}) {
      for (const char* cell : {"lstm", "gru"}) names.push_back(std::string(cell) + "_f32_" + shape);
    }
    names.emplace_back("grud_f32_n64_t200_d41_h64_miss85");
    names.emplace_back("grud_f32_n64_lenphysionet2012_d37_h64_miss85");
    names.emplace_back("grud_f32_n256_lenphysionet2012_d37_h64_miss85");
    return names;
  }();
  return cases;
}

std::int64_t Inputs::max_length() const {
  std::int64_t longest = 0;
  for (std::size_t b = 0; b + 1 < offsets.size(); ++b) {
    longest = std::max(longest, offsets[b + 1] - offsets[b]);
  }
  return longest;
}

double Inputs::operations() const {
  const auto n = static_cast<double>(tokens()), d = static_cast<double>(what.features),
             h = static_cast<double>(what.hidden), k = static_cast<double>(what.input_width()),
             g = static_cast<double>(what.gates());
  const double update = 2 * n * g * h * (k + h);  // and as much again for dX, and for dW
  const double evolve = what.cell == Cell::gru_d ? 2 * n * h * d : 0;  // W_g delta; again for dW_g
  return 3 * update + 2 * evolve;
}

double Inputs::tolerance() const {
  const auto accumulated = static_cast<double>(tokens() + what.input_width() + what.hidden);
  return 2 * 0x1p-24 * std::log2(accumulated) * static_cast<double>(max_length());
}

Inputs make_inputs(const Case& what, const std::vector<std::int64_t>& lengths) {
  Random random(20120);
  Inputs inputs;
  inputs.what = what;
  std::vector<std::int64_t> chosen = draw_lengths(what, random);
  if (!lengths.empty()) {
    if (lengths.size() != chosen.size()) {
      throw std::invalid_argument(case_name(what) + " needs " + std::to_string(chosen.size()) +
                                  " lengths, got " + std::to_string(lengths.size()));
    }
    chosen = lengths;
  }
  inputs.offsets.assign(1, 0);
  for (const std::int64_t length : chosen) inputs.offsets.push_back(inputs.offsets.back() + length);

  const std::int64_t d = what.features, h = what.hidden, gh = what.gates() * h;
  const double bound = 1 / std::sqrt(static_cast<double>(h));
  Tensors& tensors = inputs.tensors;
  tensors["values"] = random.tensor({inputs.tokens(), d}, -1.7, 1.7);  // of variance 1
  tensors["d_hidden"] = random.tensor({inputs.tokens(), h}, -1, 1);
  tensors["weights_x"] = random.tensor({gh, what.input_width()}, -bound, bound);
  tensors["weights_h"] = random.tensor({gh, h}, -bound, bound);
  tensors["bias"] = random.tensor({gh}, -bound, bound);
  if (what.cell == Cell::gru) tensors["bias_hn"] = random.tensor({h}, -bound, bound);
  if (what.cell == Cell::gru_d) {
    add_gaps_and_mask(inputs, random);
    // All positive: at the kink of max(0, .) two correct gradients may differ.
    tensors["x_mean"] = random.tensor({d}, -0.5, 0.5);
    tensors["impute_weight"] = random.tensor({d}, 0.01, 1);
    tensors["impute_bias"] = random.tensor({d}, 0.01, 0.1);
    tensors["evolve_weight"] = random.tensor({h, d}, 0.001, 0.1 * bound);
    tensors["evolve_bias"] = random.tensor({h}, 0.01, 0.1);
  }
  return inputs;
}

std::vector<std::string> gradient_names(const Case& what) {
  std::vector<std::string> names{"weights_x", "weights_h", "bias"};
  if (what.cell == Cell::gru) names.emplace_back("bias_hn");
  if (what.cell == Cell::gru_d) {
    for (const char* name : {"impute_weight", "impute_bias", "evolve_weight", "evolve_bias"}) {
      names.emplace_back(name);
    }
  }
  return names;
}

}  // namespace bench
