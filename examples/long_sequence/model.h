// A stack of layers with one answer per sequence on top, and one step of training within a memory
// budget: what a user of Lacuna writes around a StackPlan.
#pragma once

#include <vector>

#include "examples/long_sequence/task.h"
#include "lacuna/lacuna.hpp"

namespace long_sequence {

inline constexpr int depth = 2;

struct ModelOptions {
  double learning_rate = 1e-2;
  double clip_norm = 1;
  std::uint64_t seed = 1;
};

lacuna::Capacity capacity_of(const Task& task, std::size_t batch_size);

// States of a stack, or their gradients, of which only the last layer's `hidden` [B, H] is wanted.
// Asking for no hidden [N, H] keeps a plan free to forget it.
template <class Element>
std::vector<lacuna::State<Element>> at_the_top(const lacuna::Stack& stack,
                                               std::span<Element> hidden) {
  std::vector<lacuna::State<Element>> states(stack.places());
  states.back().hidden = hidden;
  return states;
}

class Model {
 public:
  // `stack` has `depth` layers in one direction. `plan` says what training may use.
  Model(const lacuna::Context& context, const lacuna::Stack& stack,
        const lacuna::Capacity& capacity, int classes, const lacuna::StackOptions& plan,
        const ModelOptions& options);

  // Forward, backward and one step of Adam. Returns the mean loss before the step. A gradient that has
  // exploded beyond what a float can hold has no direction left: such a step is skipped.
  double train(const Sequences& batch);
  // [B, classes]
  const std::vector<float>& answer(const Sequences& batch);
  // Those that the last train() or answer() was about.
  const std::vector<float>& logits() const { return logits_; }

  int skipped_steps() const { return skipped_steps_; }

  void set_learning_rate(double rate);
  const lacuna::StackPlan& plan() const { return plan_; }
  lacuna::StackParameters<float>& parameters() { return parameters_; }
  const lacuna::StackParameters<float>& parameters() const { return parameters_; }
  const lacuna::Linear<float>& head() const { return head_; }

 private:
  void resize(std::size_t sequences);
  // What a step changes.
  lacuna::AdamArrays<float> arrays() {
    return lacuna::AdamArrays<float>()
        .add(gradients_, parameters_)
        .add(head_gradients_, head_.flat());
  }

  const lacuna::Context& context_;
  ModelOptions options_;
  lacuna::StackPlan plan_, answering_;
  lacuna::StackParameters<float> parameters_;
  lacuna::StackGradients<float> gradients_;
  lacuna::Linear<float> head_;
  std::vector<float> head_gradients_;
  lacuna::Adam<float> adam_;
  std::vector<float> state_, d_state_, logits_, d_logits_;
  int skipped_steps_ = 0;
};

}  // namespace long_sequence
