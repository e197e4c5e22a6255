// What the C++ layer checks before it calls the library: sizes of spans, types, and layers that
// belong together.
#include <gtest/gtest.h>

#include "lacuna/lacuna.hpp"
#include "support/refusal.h"

namespace {

using support::refusal;

// Three tokens in two sequences, three features, four hidden units.
class SizeErrors : public testing::Test {
 protected:
  using Arrays = std::vector<float>;

  std::string forward(const lacuna::Batch<float>& batch, const lacuna::Outputs<float>& outputs) {
    return refusal([&] { plan.forward(parameters, batch, outputs, tape); });
  }
  std::string forward(const lacuna::Batch<float>& batch) { return forward(batch, {}); }
  std::string output(const lacuna::Outputs<float>& outputs) { return forward(good, outputs); }
  std::string backward(const lacuna::OutputGradients<float>& d_outputs,
                       const lacuna::InputGradients<float>& d_inputs = {}) {
    return refusal([&] { plan.backward(parameters, good, d_outputs, tape, gradients, d_inputs); });
  }
  // The good batch with one member changed.
  template <class Member, class Array>
  std::string with(Member lacuna::Batch<float>::*member, const Array& array) {
    lacuna::Batch<float> batch = good;
    batch.*member = array;
    return forward(batch);
  }

  lacuna::Context context = lacuna::Context::cpu({.threads = 1});
  lacuna::Layer layer{.cell = lacuna::Cell::lstm,
                      .impute = lacuna::Impute::decay,
                      .evolve = lacuna::Evolve::decay,
                      .features = 3,
                      .hidden = 4};
  lacuna::Plan plan{context, layer, {.tokens = 3, .sequences = 2}};
  lacuna::Tape tape{plan};
  lacuna::Parameters<float> parameters{layer, 1};
  lacuna::Gradients<float> gradients{parameters};
  const std::vector<std::int64_t> offsets{0, 1, 3};
  const Arrays values = Arrays(9, 1), gaps = Arrays(3, 1);
  const lacuna::Batch<float> good{.offsets = offsets, .values = values, .delta_t = gaps};
  Arrays wrong = Arrays(7);
  const std::vector<std::uint8_t> wrong_mask = std::vector<std::uint8_t>(8);
  std::vector<double> wrong_times = std::vector<double>(4);
};

TEST_F(SizeErrors, Batch) {
  using B = lacuna::Batch<float>;
  EXPECT_EQ(with(&B::values, wrong), "batch.values: 7 elements, expected tokens 3 x features 3");
  EXPECT_EQ(with(&B::mask, wrong_mask), "batch.mask: 8 elements, expected tokens 3 x features 3");
  EXPECT_EQ(with(&B::delta_t, wrong), "batch.delta_t: 7 elements, expected tokens 3");
  EXPECT_EQ(with(&B::times, wrong_times), "batch.times: 4 elements, expected tokens 3");
  EXPECT_EQ(with(&B::delta, wrong), "batch.delta: 7 elements, expected tokens 3 x features 3");
  EXPECT_EQ(with(&B::initial_hidden, wrong),
            "batch.initial_hidden: 7 elements, expected sequences 2 x hidden 4");
  EXPECT_EQ(with(&B::initial_cell, wrong),
            "batch.initial_cell: 7 elements, expected sequences 2 x hidden 4");
  EXPECT_EQ(with(&B::carry_in, lacuna::CarryIn<float>{.last_values = wrong}),
            "batch.carry_in.last_values: 7 elements, expected sequences 2 x features 3");
  EXPECT_EQ(with(&B::carry_in, lacuna::CarryIn<float>{.since = wrong}),
            "batch.carry_in.since: 7 elements, expected sequences 2 x features 3");
  EXPECT_EQ(with(&B::carry_in, lacuna::CarryIn<float>{.last_time = wrong_times}),
            "batch.carry_in.last_time: 4 elements, expected sequences 2");
  EXPECT_EQ(with(&B::carry_in, lacuna::CarryIn<float>{.first_gap = wrong}),
            "batch.carry_in.first_gap: 7 elements, expected sequences 2");
  const std::vector<std::int64_t> falling{0, 1, -3};
  EXPECT_EQ(with(&B::offsets, falling), "batch.offsets: ends in -3, expected >= 0");
}

TEST_F(SizeErrors, Outputs) {
  EXPECT_EQ(output({.hidden = wrong}), "outputs.hidden: 7 elements, expected tokens 3 x hidden 4");
  EXPECT_EQ(output({.cell = wrong}), "outputs.cell: 7 elements, expected tokens 3 x hidden 4");
  EXPECT_EQ(output({.evolved_hidden = wrong}),
            "outputs.evolved_hidden: 7 elements, expected tokens 3 x hidden 4");
  EXPECT_EQ(output({.imputed = wrong}),
            "outputs.imputed: 7 elements, expected tokens 3 x features 3");
  EXPECT_EQ(output({.final_hidden = wrong}),
            "outputs.final_hidden: 7 elements, expected sequences 2 x hidden 4");
  EXPECT_EQ(output({.final_cell = wrong}),
            "outputs.final_cell: 7 elements, expected sequences 2 x hidden 4");
  EXPECT_EQ(output({.carry_out = {.last_values = wrong}}),
            "outputs.carry_out.last_values: 7 elements, expected sequences 2 x features 3");
  EXPECT_EQ(output({.carry_out = {.since = wrong}}),
            "outputs.carry_out.since: 7 elements, expected sequences 2 x features 3");
  EXPECT_EQ(output({.carry_out = {.last_time = wrong_times}}),
            "outputs.carry_out.last_time: 4 elements, expected sequences 2");
  EXPECT_EQ(output({.carry_out = {.first_gap = wrong}}),
            "outputs.carry_out.first_gap: 7 elements, expected sequences 2");
}

TEST_F(SizeErrors, Gradients) {
  EXPECT_EQ(backward({.d_hidden = wrong}),
            "d_outputs.d_hidden: 7 elements, expected tokens 3 x hidden 4");
  EXPECT_EQ(backward({.d_cell = wrong}),
            "d_outputs.d_cell: 7 elements, expected tokens 3 x hidden 4");
  EXPECT_EQ(backward({.d_final_hidden = wrong}),
            "d_outputs.d_final_hidden: 7 elements, expected sequences 2 x hidden 4");
  EXPECT_EQ(backward({.d_final_cell = wrong}),
            "d_outputs.d_final_cell: 7 elements, expected sequences 2 x hidden 4");
  EXPECT_EQ(backward({}, {.d_values = wrong}),
            "d_inputs.d_values: 7 elements, expected tokens 3 x features 3");
  EXPECT_EQ(backward({}, {.d_delta_t = wrong}),
            "d_inputs.d_delta_t: 7 elements, expected tokens 3");
  EXPECT_EQ(backward({}, {.d_initial_hidden = wrong}),
            "d_inputs.d_initial_hidden: 7 elements, expected sequences 2 x hidden 4");
  EXPECT_EQ(backward({}, {.d_initial_cell = wrong}),
            "d_inputs.d_initial_cell: 7 elements, expected sequences 2 x hidden 4");
}

// h has as many numbers as it is projected to, c as many as there are units.
TEST(ProjectedSizeErrors, NameTheirOwnWidths) {
  const auto context = lacuna::Context::cpu({.threads = 1});
  lacuna::Layer layer = lacuna::lstm(3, 4);
  layer.projection = 2;
  lacuna::Plan plan(context, layer, {.tokens = 3, .sequences = 2});
  lacuna::Tape tape(plan);
  const lacuna::Parameters<float> parameters(layer, 1);
  lacuna::Gradients<float> gradients(parameters);
  const std::vector<std::int64_t> offsets{0, 1, 3};
  const std::vector<float> values(9, 1), of_h(4), of_c(8);
  std::vector<float> wrong(7);
  const lacuna::Batch<float> good{
      .offsets = offsets, .values = values, .initial_hidden = of_h, .initial_cell = of_c};
  const auto forward = [&](const lacuna::Batch<float>& batch,
                           const lacuna::Outputs<float>& outputs) {
    return refusal([&] { plan.forward(parameters, batch, outputs, tape); });
  };
  lacuna::Batch<float> bad = good;
  bad.initial_hidden = of_c;
  EXPECT_EQ(forward(bad, {}),
            "batch.initial_hidden: 8 elements, expected sequences 2 x projection 2");
  EXPECT_EQ(forward(good, {.hidden = wrong}),
            "outputs.hidden: 7 elements, expected tokens 3 x projection 2");
  EXPECT_EQ(forward(good, {.cell = wrong}),
            "outputs.cell: 7 elements, expected tokens 3 x hidden 4");
  EXPECT_EQ(forward(good, {.evolved_hidden = wrong}),
            "outputs.evolved_hidden: 7 elements, expected tokens 3 x projection 2");
  EXPECT_EQ(forward(good, {.final_hidden = wrong}),
            "outputs.final_hidden: 7 elements, expected sequences 2 x projection 2");
  const auto backward = [&](const lacuna::OutputGradients<float>& d_outputs,
                            const lacuna::InputGradients<float>& d_inputs) {
    return refusal([&] { plan.backward(parameters, good, d_outputs, tape, gradients, d_inputs); });
  };
  EXPECT_EQ(backward({.d_hidden = wrong}, {}),
            "d_outputs.d_hidden: 7 elements, expected tokens 3 x projection 2");
  EXPECT_EQ(backward({.d_final_hidden = wrong}, {}),
            "d_outputs.d_final_hidden: 7 elements, expected sequences 2 x projection 2");
  EXPECT_EQ(backward({}, {.d_initial_hidden = wrong}),
            "d_inputs.d_initial_hidden: 7 elements, expected sequences 2 x projection 2");
  EXPECT_EQ(backward({}, {.d_initial_cell = wrong}),
            "d_inputs.d_initial_cell: 7 elements, expected sequences 2 x hidden 4");
  std::vector<float> hidden(6), cell(12);
  EXPECT_NO_THROW(plan.forward(parameters, good, {.hidden = hidden, .cell = cell}, tape));

  lacuna::Layer other = layer;
  other.projection = 3;
  const lacuna::Plan others(context, other, {.tokens = 3, .sequences = 2});
  lacuna::Tape others_tape(others);
  EXPECT_NE(
      refusal([&] { plan.forward(parameters, good, {}, others_tape); }, lacuna::Status::mismatch)
          .find("tape: made for a plan of another layer"),
      std::string::npos);
}

TEST_F(SizeErrors, LayersThatDoNotBelongTogether) {
  lacuna::Layer other = layer;
  other.hidden = 5;
  const lacuna::Parameters<float> others(other, 1);
  EXPECT_EQ(refusal([&] { plan.forward(others, good, {}); }, lacuna::Status::mismatch),
            "parameters: made for a layer other than the plan's");
  lacuna::Gradients<float> other_gradients(others);
  EXPECT_EQ(refusal([&] { plan.backward(parameters, good, {}, tape, other_gradients); },
                    lacuna::Status::mismatch),
            "d_parameters: made for a layer other than the plan's");
}

TEST_F(SizeErrors, TheLibrarysOwnChecksComeThroughAsExceptions) {
  lacuna::Batch<float> batch = good;
  const Arrays bad{1, -0.25f, 1};
  batch.delta_t = bad;
  EXPECT_EQ(forward(batch), "batch.delta_t[1]: -0.25, expected a finite number >= 0");
  EXPECT_EQ(refusal([&] { plan.backward(parameters, good, {}, tape, gradients); },
                    lacuna::Status::mismatch),
            "tape: empty, expected one that a forward run has filled");
  Arrays final_hidden(8);
  EXPECT_NO_THROW(plan.forward(parameters, good, {.final_hidden = final_hidden}, tape));
}

TEST_F(SizeErrors, Training) {
  const lacuna::Linear<float> head(4, 2);
  Arrays x(12), y(6), seven(7), gradient(head.count());
  EXPECT_EQ(refusal([&] { head.forward(context, seven, y); }),
            "x: 7 elements, expected rows x in 4");
  EXPECT_EQ(refusal([&] { head.forward(context, x, seven); }),
            "y: 7 elements, expected rows 3 x out 2");
  EXPECT_EQ(refusal([&] { head.backward(context, x, seven, {}, gradient); }),
            "d_y: 7 elements, expected rows 3 x out 2");
  EXPECT_EQ(refusal([&] { head.backward(context, x, y, {}, seven); }),
            "gradients: 7 elements, expected count 10");
  EXPECT_EQ(refusal([&] { head.backward(context, x, y, seven, gradient); }),
            "d_x: 7 elements, expected rows 3 x in 4");
  EXPECT_EQ(refusal([&] { lacuna::Linear<float>(0, 2); }), "in: 0, expected >= 1");
  EXPECT_EQ(refusal([&] { lacuna::Linear<float>(4, -2); }), "out: -2, expected >= 1");

  EXPECT_EQ(refusal([&] { lacuna::squared_error(context, x, seven); }),
            "targets: 7 elements, expected rows 12 x columns 1");
  EXPECT_EQ(refusal([&] { lacuna::squared_error(context, seven, seven, {.mask = wrong_mask}); }),
            "mask: 8 elements, expected rows 7 x columns 1");
  EXPECT_EQ(refusal([&] { lacuna::absolute_error(context, seven, seven, {.d_predictions = x}); }),
            "d_predictions: 12 elements, expected rows 7 x columns 1");
  const std::vector<std::int32_t> classes(3);
  EXPECT_EQ(refusal([&] { lacuna::cross_entropy(context, 5, x, classes); }),
            "predictions: 12 elements, expected rows 3 x columns 5");

  lacuna::Adam<float> adam(8);
  Arrays eight(8);
  EXPECT_EQ(refusal([&] { adam.step(context, seven, eight); }),
            "gradients: 7 elements, expected count 8");
  EXPECT_EQ(refusal([&] { adam.step(context, eight, seven); }),
            "parameters: 7 elements, expected count 8");
  EXPECT_EQ(adam.steps(), 0);
  adam.options.learning_rate = -1;
  EXPECT_EQ(refusal([&] { adam.step(context, eight, x); }),
            "parameters: 12 elements, expected count 8");
}

TEST_F(SizeErrors, PaddedBatches) {
  const std::vector<std::int64_t> lengths{2, 1}, negative{2, -1}, long_one{2, 4};
  std::vector<float> padded(18, 1), packed(9);
  EXPECT_EQ(refusal([&] { lacuna::pack<float>(context, 3, 3, negative, padded, packed); }),
            "lengths[1]: -1, expected >= 0");
  EXPECT_EQ(refusal([&] { lacuna::pack<float>(context, 3, 3, lengths, wrong, packed); }),
            "padded: 7 elements, expected sequences * max_length 6 x columns 3");
  EXPECT_EQ(refusal([&] { lacuna::pack<float>(context, 3, 3, lengths, padded, wrong); }),
            "packed: 7 elements, expected tokens 3 x columns 3");
  std::vector<float> for_six(18);
  EXPECT_EQ(refusal([&] { lacuna::pack<float>(context, 3, 3, long_one, padded, for_six); }),
            "lengths[1]: 4, expected 0 to max_length = 3");
  EXPECT_EQ(refusal([&] { lacuna::unpack<float>(context, 3, 3, {}, packed, padded); }),
            "offsets: 0 elements, expected sequences + 1");
  EXPECT_EQ(refusal([&] { lacuna::unpack<float>(context, 3, 3, offsets, wrong, padded); }),
            "packed: 7 elements, expected tokens 3 x columns 3");
  EXPECT_EQ(refusal([&] { lacuna::unpack<float>(context, 3, 3, offsets, packed, wrong); }),
            "padded: 7 elements, expected sequences * max_length 6 x columns 3");
}

}  // namespace
