#include "examples/long_sequence/contest.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>

#include "examples/common/random.h"
#include "examples/long_sequence/gradient_flow.h"
#include "examples/long_sequence/start.h"

namespace long_sequence {

// What a batch is for, so that no two purposes share sequences.
enum Purpose : std::uint64_t { training = 1, testing = 2, looking = 3 };

Sequences Rules::training_batch(int step) const {
  return draw(task, batch_size,
              examples::mix_seed(seed, training, static_cast<std::uint64_t>(step)));
}

Sequences Rules::test_batch(std::size_t index, std::size_t count) const {
  return draw(task, count, examples::mix_seed(seed, testing, index));
}

Sequences Rules::batch_to_look_into() const {
  return draw(task, 8, examples::mix_seed(seed, looking));
}

std::vector<Contestant> make_contestants() {
  using lacuna::Cell;
  namespace palette = examples::palette;
  return {
      {"GRU, chrono start", Cell::gru, Start::chrono, 0.02, {}, {.color = palette::blue}},
      {"LSTM, chrono start", Cell::lstm, Start::chrono, 0.03, {}, {.color = palette::green}},
      {"GRU, chrono start, truncated (50, 50)",
       Cell::gru,
       Start::chrono,
       0.02,
       {.every = 50, .reach = 50},
       {.color = palette::blue, .dash = "2 3"}},
      {"GRU, customary start", Cell::gru, Start::customary, 0.02, {}, {.color = palette::pink}},
      {"RNN (tanh), customary start",
       Cell::rnn_tanh,
       Start::customary,
       0.003,
       {},
       {.color = palette::grey}},
      {"RNN (tanh), large recurrent weights",
       Cell::rnn_tanh,
       Start::large_weights,
       0.003,
       {},
       {.color = palette::orange}},
  };
}

lacuna::Stack stack_of(const Rules& rules, lacuna::Cell cell) {
  // Values that are missing read as a learned mean, and not as the last one measured: carried forward,
  // they would be a memory that no cell had to learn.
  return lacuna::stacked({.cell = cell,
                          .impute = lacuna::Impute::mean,
                          .features = rules.task.features(),
                          .hidden = rules.hidden,
                          .mask_input = true,
                          .gap_input = true},
                         {.depth = depth});
}

Model make_model(const lacuna::Context& context, const Rules& rules, const Contestant& contestant,
                 int fraction) {
  const lacuna::Stack stack = stack_of(rules, contestant.cell);
  lacuna::StackOptions plan{.truncation = contestant.truncation};
  // Truncated, a window is what lies between two gradients.
  if (contestant.truncation.every == 0) plan.segment = rules.segment;
  if (fraction != no_budget) {
    const auto all = lacuna::measure(context, stack, rules.capacity(), plan);
    plan.memory_budget =
        std::max(all.memory_without_budget / static_cast<std::size_t>(fraction), all.memory_least);
  }
  Model model(context, stack, rules.capacity(), rules.task.classes(), plan,
              {.learning_rate = contestant.learning_rate, .seed = rules.seed});
  if (contestant.start == Start::chrono)
    chrono_start(model.parameters(), rules.task.longest(), rules.seed);
  if (contestant.start == Start::large_weights)
    recurrent_gain(model.parameters(), 1.75, rules.seed);
  return model;
}

static double test(const Rules& rules, Model& model) {
  double right = 0;
  for (std::size_t done = 0; done < rules.tested; done += rules.batch_size) {
    const std::size_t count = std::min(rules.batch_size, rules.tested - done);
    const Sequences batch = rules.test_batch(done, count);
    right += accuracy(model.answer(batch), batch.codes) * static_cast<double>(count);
  }
  return right / static_cast<double>(rules.tested);
}

Outcome train(const lacuna::Context& context, const Rules& rules, const Contestant& contestant,
              int fraction, const std::function<void()>& after_step) {
  Model model = make_model(context, rules, contestant, fraction);
  Outcome outcome;
  outcome.memory_bytes = model.plan().info().memory_bytes;
  outcome.flow_before = gradient_flow(context, model, rules.batch_to_look_into());
  std::vector<double> seconds;
  for (int step = 0; step < rules.steps; ++step) {
    // Falls to a tenth along half a cosine.
    const double progress = static_cast<double>(step) / rules.steps;
    model.set_learning_rate(contestant.learning_rate *
                            (0.1 + 0.9 * 0.5 * (1 + std::cos(std::numbers::pi * progress))));
    const Sequences batch = rules.training_batch(step);
    const auto begin = std::chrono::steady_clock::now();
    outcome.losses.push_back(model.train(batch));
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    outcome.accuracies.push_back(accuracy(model.logits(), batch.codes));
    after_step();
  }
  outcome.skipped_steps = model.skipped_steps();
  outcome.seconds_per_step = median(seconds);
  outcome.test_accuracy = test(rules, model);
  outcome.flow_after = gradient_flow(context, model, rules.batch_to_look_into());
  return outcome;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace long_sequence
