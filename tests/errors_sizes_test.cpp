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
  const std::vector<std::int64_t> alone{5};
  EXPECT_EQ(with(&B::offsets, alone), "batch.offsets[0]: 5, expected 0");
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
            "parameters: made for a layer other than the plan's: hidden is 5, expected 4");
  lacuna::Gradients<float> other_gradients(others);
  EXPECT_EQ(refusal([&] { plan.backward(parameters, good, {}, tape, other_gradients); },
                    lacuna::Status::mismatch),
            "d_parameters: made for a layer other than the plan's: hidden is 5, expected 4");
  EXPECT_EQ(refusal([&] { (void)other_gradients.c(parameters); }, lacuna::Status::mismatch),
            "gradients: made for a layer other than the parameters': hidden is 5, expected 4");
}

// Whichever field it is, the message names it and both values.
TEST(LayerDifferences, NameTheFirstField) {
  const auto difference = [](auto change) {
    lacuna::Layer changed = lacuna::lstm(3, 4);
    change(changed);
    EXPECT_NE(changed, lacuna::lstm(3, 4));
    return lacuna::detail::difference(changed, lacuna::lstm(3, 4));
  };
  using L = lacuna::Layer;
  EXPECT_EQ(difference([](L& l) { l.cell = lacuna::Cell::gru_reset_before; }),
            "cell is gru_reset_before, expected lstm");
  EXPECT_EQ(difference([](L& l) { l.impute = lacuna::Impute::forward; }),
            "impute is forward, expected none");
  EXPECT_EQ(difference([](L& l) { l.evolve = lacuna::Evolve::decay_step; }),
            "evolve is decay_step, expected none");
  EXPECT_EQ(difference([](L& l) { l.empty_rows = lacuna::EmptyRows::evolve_only; }),
            "empty_rows is evolve_only, expected update");
  EXPECT_EQ(difference([](L& l) { l.features = 9, l.hidden = 9; }), "features is 9, expected 3");
  EXPECT_EQ(difference([](L& l) { l.mask_input = true; }), "mask_input is true, expected false");
  EXPECT_EQ(difference([](L& l) { l.gap_input = true; }), "gap_input is true, expected false");
  EXPECT_EQ(difference([](L& l) { l.reverse = true; }), "reverse is true, expected false");
  EXPECT_EQ(difference([](L& l) { l.type = lacuna::Type::bf16; }), "type is bf16, expected f32");
  EXPECT_EQ(difference([](L& l) { l.zoneout_hidden = 0.25; }),
            "zoneout_hidden is 0.25, expected 0");
  EXPECT_EQ(difference([](L& l) { l.zoneout_cell = 0.5; }), "zoneout_cell is 0.5, expected 0");
  EXPECT_EQ(difference([](L& l) { l.recurrent_dropout = 0.1; }),
            "recurrent_dropout is 0.1, expected 0");
  EXPECT_EQ(difference([](L& l) { l.layer_norm = true; }), "layer_norm is true, expected false");
  EXPECT_EQ(difference([](L& l) { l.projection = 2; }), "projection is 2, expected 0");
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
  const std::int64_t vast = std::int64_t{1} << 40;
  EXPECT_EQ(refusal([&] { lacuna::Linear<float>(vast, vast); }),
            "in: 1099511627776 for out 1099511627776, which do not fit in memory");

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
  EXPECT_EQ(refusal([&] { adam.set_steps(-1); }), "steps: -1, expected >= 0");
}

// As many numbers in all do not make two layers one.
TEST_F(SizeErrors, GradientsOfAnotherLayer) {
  lacuna::Parameters<float> of_narrow(lacuna::rnn(4, 3), 1);
  const lacuna::Gradients<float> of_wide(lacuna::rnn(9, 2));
  ASSERT_EQ(of_narrow.count(), of_wide.count());
  const std::string message =
      "gradients: made for a layer other than the parameters': features is 9, expected 4";
  lacuna::Adam<float> adam(of_narrow.count());
  EXPECT_EQ(refusal([&] { adam.step(context, of_wide, of_narrow); }, lacuna::Status::mismatch),
            message);
  lacuna::AdamArrays<float> arrays;
  EXPECT_EQ(refusal([&] { arrays.add(of_wide, of_narrow); }, lacuna::Status::mismatch), message);
  EXPECT_EQ(arrays.count(), 0u);
}

TEST(LossScalers, RefuseWhatAStepWouldRefuse) {
  using lacuna::LossScaler;
  EXPECT_EQ(refusal([] { LossScaler({.growth = 0.5}); }),
            "options.growth: 0.5, expected a finite number > 1");
  EXPECT_EQ(refusal([] { LossScaler({.backoff = 1}); }),
            "options.backoff: 1, expected 0 < backoff < 1");
  EXPECT_EQ(refusal([] { LossScaler({.interval = 0}); }), "options.interval: 0, expected >= 1");
  EXPECT_EQ(refusal([] { LossScaler({.initial_scale = 0}); }),
            "scale: 0, expected 2^-126 to 2^126");
  EXPECT_EQ(refusal([] {
              LossScaler(lacuna_loss_scale{-2, 0, 0});
            }),
            "scale: -2, expected 2^-126 to 2^126");
  EXPECT_EQ(refusal([] {
              LossScaler(lacuna_loss_scale{2, -1, 0});
            }),
            "state.finite_steps: -1, expected >= 0");
  EXPECT_EQ(refusal([] {
              LossScaler(lacuna_loss_scale{2, 0, -1});
            }),
            "state.steps: -1, expected >= 0");
}

TEST_F(SizeErrors, PaddedBatches) {
  const std::vector<std::int64_t> lengths{2, 1}, negative{2, -1}, long_one{2, 4};
  std::vector<float> padded(18, 1), packed(9);
  EXPECT_EQ(refusal([&] { lacuna::pack<float>(context, 3, 3, negative, padded, packed); }),
            "lengths[1]: -1, expected 0 to max_length = 3");
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
  const std::vector<std::int64_t> alone{5};
  EXPECT_EQ(refusal([&] { lacuna::unpack<float>(context, 3, 3, alone, packed, padded); }),
            "offsets[0]: 5, expected 0");
}

// Of a whole batch: every message names the member.
TEST_F(SizeErrors, PaddedBatchesByMember) {
  const std::vector<std::int64_t> lengths{2, 1};
  const std::vector<float> all(18, 1), of_rows(6, 1);
  const auto pack = [&](auto change) {
    lacuna::PaddedBatch<float> padded{
        .lengths = lengths, .max_length = 3, .features = 3, .values = all, .delta_t = of_rows};
    change(padded);
    return refusal([&] { (void)lacuna::pack<float>(context, padded); });
  };
  using P = lacuna::PaddedBatch<float>;
  EXPECT_EQ(pack([](P&) {}), "nothing was thrown");
  const std::string shape = " elements, expected sequences * max_length 6 x features 3";
  EXPECT_EQ(pack([&](P& p) { p.values = wrong; }), "padded.values: 7" + shape);
  EXPECT_EQ(pack([&](P& p) { p.mask = wrong_mask; }), "padded.mask: 8" + shape);
  EXPECT_EQ(pack([&](P& p) { p.delta = wrong; }), "padded.delta: 7" + shape);
  const std::string row = " elements, expected sequences * max_length 6";
  EXPECT_EQ(pack([&](P& p) { p.fires = wrong_mask; }), "padded.fires: 8" + row);
  EXPECT_EQ(pack([&](P& p) { p.delta_t = wrong; }), "padded.delta_t: 7" + row);
  EXPECT_EQ(pack([&](P& p) { p.times = wrong_times; }), "padded.times: 4" + row);
  EXPECT_EQ(pack([](P& p) { p.features = 0; }),
            "padded.values: 18 elements, expected sequences * max_length 6 x features 0");
  EXPECT_EQ(pack([](P& p) { p.max_length = 0; }),
            "padded.lengths[0]: 2, expected 0 to max_length = 0");
  EXPECT_EQ(pack([](P& p) { p.max_length = -1; }), "padded.max_length: -1, expected >= 0");
  const std::vector<std::int64_t> long_one{2, 4}, negative{2, -5},
      vast(2, std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(pack([&](P& p) { p.lengths = long_one; }),
            "padded.lengths[1]: 4, expected 0 to max_length = 3");
  EXPECT_EQ(pack([&](P& p) { p.lengths = negative; }),
            "padded.lengths[1]: -5, expected 0 to max_length = 3");
  EXPECT_EQ(pack([&](P& p) { p.lengths = vast, p.max_length = vast[0]; }),
            "padded.max_length: 9223372036854775807 of 2 sequences, which do not fit in memory");
  EXPECT_EQ(refusal([&] { (void)lacuna::offsets_of(vast); }),
            "lengths[1]: 9223372036854775807 more tokens than the 9223372036854775807 before do "
            "not fit in memory");
}

}  // namespace
