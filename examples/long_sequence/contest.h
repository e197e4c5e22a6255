// The contestants: the same two layers with other cells, other starts, and gradients cut short; and what
// each of them did.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "examples/common/plot.h"
#include "examples/long_sequence/model.h"

namespace long_sequence {

enum class Start { customary, chrono, large_weights };

struct Contestant {
  std::string name;
  lacuna::Cell cell;
  Start start;
  double learning_rate;
  lacuna::Truncation truncation;
  examples::LineStyle style;
};

// What every contestant is given.
struct Rules {
  Task task;
  std::size_t batch_size = 32;
  std::int64_t hidden = 32;
  std::int64_t segment = 8;  // tokens in a window
  int steps = 300;
  std::size_t tested = 512;  // sequences that nobody was trained on
  std::uint64_t seed = 1;

  lacuna::Capacity capacity() const { return capacity_of(task, batch_size); }
  Sequences training_batch(int step) const;
  Sequences test_batch(std::size_t index, std::size_t count) const;
  Sequences batch_to_look_into() const;
};

struct Outcome {
  std::vector<double> losses, accuracies;  // per step, on sequences seen for the first time
  double test_accuracy = 0;
  double seconds_per_step = 0;  // median
  std::size_t memory_bytes = 0;
  int skipped_steps = 0;                        // for their gradients were not finite
  std::vector<double> flow_before, flow_after;  // gradient_flow
};

std::vector<Contestant> make_contestants();

lacuna::Stack stack_of(const Rules& rules, lacuna::Cell cell);
// `fraction` 20: may use a twentieth of the memory that it would use without a budget, or the least that
// its plan can do with, where that is more.
inline constexpr int no_budget = 0;
Model make_model(const lacuna::Context& context, const Rules& rules, const Contestant& contestant,
                 int fraction);

Outcome train(const lacuna::Context& context, const Rules& rules, const Contestant& contestant,
              int fraction, const std::function<void()>& after_step);

double median(std::vector<double> values);

}  // namespace long_sequence
