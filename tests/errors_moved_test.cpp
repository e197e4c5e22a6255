// Objects of the C++ layer that have been moved from, and a stack without layers: each throws, and none is taken for
// something else.
#include <gtest/gtest.h>

#include <utility>

#include "lacuna/lacuna.hpp"
#include "support/refusal.h"

namespace {

using support::refusal;

// The object that `from` was, moved away and gone.
template <class Object>
void move_away(Object& from) {
  [[maybe_unused]] const Object gone = std::move(from);
}

class MovedErrors : public testing::Test {
 protected:
  std::string forward() {
    return refusal([&] { plan.forward(parameters, batch, {.hidden = hidden}, tape); });
  }
  std::string backward() {
    return refusal(
        [&] { plan.backward(parameters, batch, {.d_hidden = hidden}, tape, gradients); });
  }
  std::string stack_forward() {
    return refusal([&] { stack_plan.forward<float>(stack_parameters, batch, {.hidden = hidden}); });
  }
  std::string stack_backward(lacuna::Status status = lacuna::Status::invalid_argument) {
    return refusal(
        [&] {
          stack_plan.backward<float>(stack_parameters, batch, {.d_hidden = hidden},
                                     stack_gradients);
        },
        status);
  }

  lacuna::Context context = lacuna::Context::cpu({.threads = 1});
  lacuna::Layer layer = lacuna::gru(2, 4);
  const lacuna::Capacity capacity{.tokens = 3, .sequences = 2};
  lacuna::Plan plan{context, layer, capacity};
  lacuna::Tape tape{plan};
  lacuna::Parameters<float> parameters{layer, 1};
  lacuna::Gradients<float> gradients{parameters};
  lacuna::Stack stack = lacuna::stacked(layer, {.depth = 2});
  lacuna::StackPlan stack_plan{context, stack, capacity};
  lacuna::StackParameters<float> stack_parameters{stack, 1};
  lacuna::StackGradients<float> stack_gradients{stack_parameters};
  const std::vector<std::int64_t> offsets{0, 1, 3};
  const std::vector<float> values = std::vector<float>(6, 1);
  std::vector<float> hidden = std::vector<float>(12);
  const lacuna::Batch<float> batch{.offsets = offsets, .values = values};
};

TEST_F(MovedErrors, Contexts) {
  move_away(context);
  EXPECT_EQ(refusal([&] { lacuna::Plan(context, layer, capacity); }), "context: null");
}

TEST_F(MovedErrors, Plans) {
  move_away(plan);
  EXPECT_EQ(forward(), "plan: null");
  EXPECT_EQ(refusal([&] { (void)lacuna::Tape(plan); }), "plan: null");
}

// Without a tape a run is inference: it may not become one by mistake.
TEST_F(MovedErrors, Tapes) {
  ASSERT_EQ(forward(), "nothing was thrown");
  move_away(tape);
  EXPECT_EQ(forward(), "tape: null, expected one that has not been moved from");
  EXPECT_EQ(backward(), "tape: null");
}

TEST_F(MovedErrors, Parameters) {
  ASSERT_EQ(forward(), "nothing was thrown");
  move_away(parameters);
  const std::string message = "parameters: 0 elements, expected such as have not been moved from";
  EXPECT_EQ(forward(), message);
  EXPECT_EQ(backward(), message);
  EXPECT_TRUE(parameters[lacuna::Parameter::weights_h].empty());
  lacuna::AdamArrays<float> arrays;
  EXPECT_EQ(refusal([&] { arrays.add(gradients, parameters); }), message);
}

TEST_F(MovedErrors, Gradients) {
  ASSERT_EQ(forward(), "nothing was thrown");
  move_away(gradients);
  EXPECT_EQ(backward(), "d_parameters: 0 elements, expected such as have not been moved from");
  lacuna::Adam<float> adam(parameters.count());
  EXPECT_EQ(refusal([&] { adam.step(context, gradients, parameters); }),
            "gradients: 0 elements, expected such as have not been moved from");
  EXPECT_EQ(adam.steps(), 0);
}

TEST_F(MovedErrors, Heads) {
  lacuna::Linear<float> head(4, 1);
  const std::vector<float> x(8), d_y(2);
  std::vector<float> y(2), d_head(5);
  move_away(head);
  const std::string message = "weights: 0 elements, expected a Linear that has not been moved from";
  EXPECT_EQ(refusal([&] { head.forward(context, x, y); }), message);
  EXPECT_EQ(refusal([&] { head.backward(context, x, d_y, {}, d_head); }), message);
  EXPECT_TRUE(head.weights().empty());
  EXPECT_TRUE(head.bias().empty());
}

TEST_F(MovedErrors, Optimisers) {
  lacuna::Adam<float> adam(parameters.count());
  move_away(adam);
  EXPECT_EQ(refusal([&] { adam.step(context, gradients, parameters); }),
            "gradients: " + std::to_string(gradients.count()) + " elements, expected count 0");
}

TEST_F(MovedErrors, PlansOfStacks) {
  move_away(stack_plan);
  const std::string message = "plan: null, expected one that has not been moved from";
  EXPECT_EQ(stack_forward(), message);
  EXPECT_EQ(stack_backward(), message);
}

TEST_F(MovedErrors, ArraysOfStacks) {
  ASSERT_EQ(stack_forward(), "nothing was thrown");
  lacuna::Gradients<float> kept = std::move(stack_gradients[1]);
  EXPECT_EQ(stack_backward(),
            "d_parameters[1]: 0 elements, expected such as have not been moved from");
  stack_gradients[1] = std::move(kept);
  move_away(stack_gradients);
  EXPECT_EQ(stack_backward(lacuna::Status::mismatch),
            "d_parameters: made for a stack other than the plan's: it has 0 layers, expected 2");
  const lacuna::Parameters<float> first = std::move(stack_parameters[0]);
  EXPECT_EQ(stack_forward(),
            "parameters[0]: 0 elements, expected such as have not been moved from");
}

TEST_F(MovedErrors, AStackWithoutLayers) {
  const lacuna::Stack none;
  const std::string message = "stack.count: 0, expected 1 to 64";
  EXPECT_EQ(refusal([&] { (void)none.output_width(); }),
            "stack.layers: 0 layers, expected 1 or more");
  EXPECT_EQ(refusal([&] { (void)none.at(0); }), "place: 0, expected less than 0");
  EXPECT_EQ(refusal([&] { none.check(); }), message);
  EXPECT_EQ(refusal([&] { lacuna::StackPlan(context, none, capacity); }), message);
  for (const int depth : {0, -3})
    EXPECT_EQ(refusal([&] { (void)lacuna::stacked(layer, {.depth = depth}); }),
              "shape.depth: " + std::to_string(depth) + ", expected >= 1");
}

// ---- Of another stack ----

TEST_F(MovedErrors, ArraysOfAnotherStack) {
  ASSERT_EQ(stack_forward(), "nothing was thrown");
  const lacuna::Stack wider = lacuna::stacked(lacuna::gru(2, 8), {.depth = 2}),
                      deeper = lacuna::stacked(layer, {.depth = 3}),
                      residual = lacuna::stacked(layer, {.depth = 2, .residual = true}),
                      dropping = lacuna::stacked(layer, {.depth = 2, .dropout = 0.5}),
                      both = lacuna::stacked(layer, {.depth = 1, .bidirectional = true});
  const auto with = [&](const lacuna::Stack& other) {
    lacuna::StackParameters<float> others(other, 1);
    lacuna::StackGradients<float> gradients_of(others);
    const std::string of_gradients = refusal(
        [&] {
          stack_plan.backward<float>(stack_parameters, batch, {.d_hidden = hidden}, gradients_of);
        },
        lacuna::Status::mismatch);
    const std::string of_parameters =
        refusal([&] { stack_plan.forward<float>(others, batch, {.hidden = hidden}); },
                lacuna::Status::mismatch);
    EXPECT_EQ("d_" + of_parameters, of_gradients);
    lacuna::AdamArrays<float> arrays;
    EXPECT_EQ("d_" + refusal([&] { arrays.add(gradients_of, stack_parameters); },
                             lacuna::Status::mismatch),
              "d_gradients: made for a stack other than the parameters': " +
                  lacuna::detail::difference(other, stack));
    return of_parameters;
  };
  const std::string start = "parameters: made for a stack other than the plan's: ";
  EXPECT_EQ(with(wider), start + "layers[0].hidden is 8, expected 4");
  EXPECT_EQ(with(deeper), start + "it has 3 layers, expected 2");
  EXPECT_EQ(with(both), start + "it has 1 layers, expected 2");
  EXPECT_EQ(with(residual), start + "residual is true, expected false");
  EXPECT_EQ(with(dropping), start + "dropout is 0.5, expected 0");
  // One place of it.
  stack_gradients[1] = lacuna::Gradients<float>(lacuna::gru(4, 5));
  EXPECT_EQ(stack_backward(lacuna::Status::mismatch),
            "d_parameters[1]: made for a layer other than the plan's: hidden is 5, expected 4");
}

}  // namespace
