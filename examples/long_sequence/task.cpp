#include "examples/long_sequence/task.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "examples/common/random.h"

namespace long_sequence {

// One bit as a sensor would show it. The noise is uniform with a standard deviation of 0.3.
static float reading(bool bit, examples::Random& random) {
  const double noise = 0.3 * std::sqrt(12.0) * (random.uniform() - 0.5);
  return static_cast<float>((bit ? 1 : -1) + noise);
}

static void append(const Task& task, examples::Random& random, Sequences& to) {
  const auto length = static_cast<std::size_t>(task.length - task.length / 10) +
                      random.below(2 * static_cast<std::size_t>(task.length / 10) + 1);
  const auto code =
      static_cast<std::int32_t>(random.below(static_cast<std::size_t>(task.classes())));
  double time = 0;
  for (std::size_t s = 0; s < length; ++s) {
    const bool in_cue = s < static_cast<std::size_t>(task.cue);
    // Exponential gaps, 1 on average: tokens come when they come.
    if (s > 0) time -= std::log(1 - random.uniform());
    to.times.push_back(time);
    const auto measured = [&](float value) {
      const bool hidden = random.uniform() < task.missing && !in_cue;
      to.values.push_back(hidden ? std::numeric_limits<float>::quiet_NaN() : value);
    };
    // After the cue the bits are somebody else's: every token draws its own.
    for (int bit = 0; bit < task.bits; ++bit)
      measured(reading(in_cue ? (code >> bit & 1) != 0 : random.below(2) == 1, random));
    measured(in_cue ? 1.0f : 0.0f);
  }
  to.codes.push_back(code);
  to.offsets.push_back(static_cast<std::int64_t>(to.times.size()));
}

Sequences draw(const Task& task, std::size_t count, std::uint64_t seed) {
  examples::Random random(examples::mix_seed(seed, 0x10C6));
  Sequences sequences;
  for (std::size_t b = 0; b < count; ++b) append(task, random, sequences);
  return sequences;
}

double accuracy(const std::vector<float>& logits, const std::vector<std::int32_t>& codes) {
  if (codes.empty() || logits.size() % codes.size() != 0)
    throw std::invalid_argument("accuracy: logits are not [sequences, classes]");
  const std::size_t classes = logits.size() / codes.size();
  std::size_t right = 0;
  for (std::size_t b = 0; b < codes.size(); ++b) {
    const auto* const row = logits.data() + b * classes;
    right += std::max_element(row, row + classes) - row == codes[b];
  }
  return static_cast<double>(right) / static_cast<double>(codes.size());
}

}  // namespace long_sequence
