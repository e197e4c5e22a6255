// What the calls promise beyond numbers: whose memory is used, what may be empty, what adds up,
// what is optional, and that a sequence fed in pieces gives the whole.
#include <cmath>
#include <cstdlib>
#include <memory>

#include "api/example.h"
#include "support/compare.h"
#include "support/expect.h"

namespace {

using api_tests::Context;
using api_tests::Example;
using api_tests::Plan;
using api_tests::Tape;
using support::agrees;
using support::compare_bits;

using Layers = testing::TestWithParam<lacuna_layer>;

lacuna_layer reversed(lacuna_layer layer) {
  layer.reverse = 1;
  return layer;
}
lacuna_layer homeostatic_gru() {
  lacuna_layer layer = api_tests::layer_of(LACUNA_GRU, LACUNA_IMPUTE_RELAX, LACUNA_EVOLVE_RELAX);
  layer.empty_rows = LACUNA_EMPTY_ROWS_EVOLVE_ONLY;
  layer.gap_input = 1;
  return layer;
}

INSTANTIATE_TEST_SUITE_P(
    Each, Layers,
    testing::Values(
        api_tests::gru_d(), api_tests::relaxing_lstm(), api_tests::plain_gru(), homeostatic_gru(),
        api_tests::projected_lstm(), reversed(api_tests::projected_lstm()),
        reversed(api_tests::gru_d()), reversed(api_tests::relaxing_lstm()),
        api_tests::layer_of(LACUNA_RNN_EULER, LACUNA_IMPUTE_FORWARD, LACUNA_EVOLVE_NONE),
        api_tests::layer_of(LACUNA_RNN_TANH, LACUNA_IMPUTE_MEAN, LACUNA_EVOLVE_DECAY_STEP)),
    api_tests::test_name);

// Everything a run writes, forward and backward, as bytes.
template <class Real>
std::string run(Example<Real>& example, lacuna_plan* plan, lacuna_tape* tape) {
  example.poison();
  std::fill(example.d_parameter_values.begin(), example.d_parameter_values.end(), Real(0));
  EXPECT_EQ(example.forward(plan, tape), LACUNA_OK) << lacuna_last_error();
  EXPECT_EQ(example.backward(plan, tape), LACUNA_OK) << lacuna_last_error();
  std::string all = example.bytes();
  all.append(reinterpret_cast<const char*>(example.d_parameter_values.data()),
             example.d_parameter_values.size() * sizeof(Real));
  return all;
}

struct Free {
  void operator()(std::byte* memory) const { std::free(memory); }
};
std::unique_ptr<std::byte, Free> aligned_memory(std::size_t bytes) {
  return std::unique_ptr<std::byte, Free>(
      static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64 + 64)));
}

TEST_P(Layers, TheCallersMemoryServesAsWell) {
  if (!support::on_cpu) GTEST_SKIP() << "a plan's memory is the backend's, and this is the host's";
  Example<float> example(GetParam());
  const Context context(api_tests::with_threads(2));
  std::string expected;
  lacuna_plan_info info{};
  {
    const Plan plan(context, example.layer, example.capacity());
    const Tape tape(plan);
    info = plan.info();
    expected = run(example, plan, tape);
  }
  const Context other(api_tests::with_threads(2));
  lacuna_plan_info measured{};
  const lacuna_capacity capacity = example.capacity();
  ASSERT_EQ(lacuna_plan_measure(other, &example.layer, &capacity, nullptr, &measured), LACUNA_OK);
  EXPECT_EQ(measured.workspace_bytes, info.workspace_bytes);
  EXPECT_EQ(measured.tape_bytes, info.tape_bytes);
  const auto workspace = aligned_memory(info.workspace_bytes),
             tape_memory = aligned_memory(info.tape_bytes);
  std::memset(workspace.get(), 0xff, info.workspace_bytes);  // NaN, whichever type it is read as
  std::memset(tape_memory.get(), 0xff, info.tape_bytes);
  // What lies behind is not the run's.
  std::memset(workspace.get() + info.workspace_bytes, 0x5a, 64);
  std::memset(tape_memory.get() + info.tape_bytes, 0x5a, 64);
  const Plan plan(other, example.layer, capacity, {workspace.get(), info.workspace_bytes, 0});
  lacuna_tape* tape = nullptr;
  ASSERT_EQ(lacuna_tape_create(plan, tape_memory.get(), info.tape_bytes, &tape), LACUNA_OK)
      << lacuna_last_error();
  EXPECT_EQ(run(example, plan, tape), expected);
  lacuna_tape_destroy(tape);
  EXPECT_EQ(other.info().allocations, 0u);
  for (std::size_t i = 0; i < 64; ++i) {
    EXPECT_EQ(workspace.get()[info.workspace_bytes + i], std::byte{0x5a});
    EXPECT_EQ(tape_memory.get()[info.tape_bytes + i], std::byte{0x5a});
  }
}

TEST_P(Layers, APlanServesEveryBatchThatFits) {
  const Context context(api_tests::with_threads(2));
  const lacuna_capacity capacity{100, 20, 0};
  Example<double> first(GetParam()), second(GetParam(), {5, 5, 0, 0, 0, 2, 30, 1}, 2),
      none(GetParam(), {}), empty(GetParam(), {0, 0, 0});
  const Plan plan(context, first.layer, capacity);
  const Tape tape(plan);
  std::vector<std::string> alone;
  for (auto* example : {&first, &second, &none, &empty}) {
    const Plan own(context, first.layer, capacity);
    const Tape own_tape(own);
    alone.push_back(run(*example, own, own_tape));
  }
  for (int round = 0; round < 2; ++round) {
    std::size_t at = 0;
    for (auto* example : {&first, &second, &none, &empty})
      EXPECT_EQ(run(*example, plan, tape), alone[at++]);
  }
}

TEST_P(Layers, NothingToDoIsDone) {
  const Context context;
  Example<float> empty(GetParam(), {0, 0, 0});
  const Plan plan(context, empty.layer, {0, 3});
  const Tape tape(plan);
  empty.initial_hidden = empty.numbers(empty.initial_hidden.size(), -1, 1);
  run(empty, plan, tape);
  EXPECT_TRUE(
      agrees("final_hidden", compare_bits<float>(empty.final_hidden, empty.initial_hidden)));
  EXPECT_TRUE(agrees("d_initial_hidden",
                     compare_bits<float>(empty.d_initial_hidden, empty.d_final_hidden)));
  for (const float gradient : empty.d_parameter_values) EXPECT_EQ(gradient, 0);

  Example<float> none(GetParam(), {});
  const Plan nothing(context, none.layer, {0, 0});
  const Tape nothing_tape(nothing);
  EXPECT_EQ(none.forward(nothing, nothing_tape), LACUNA_OK) << lacuna_last_error();
  EXPECT_EQ(none.backward(nothing, nothing_tape), LACUNA_OK) << lacuna_last_error();
  // Without any array at all.
  const auto parameters = none.parameters();
  const lacuna_batch batch{};
  const lacuna_outputs outputs{};
  EXPECT_EQ(lacuna_forward(nothing, &parameters, &batch, &outputs, nullptr, nullptr), LACUNA_OK)
      << lacuna_last_error();
}

TEST_P(Layers, BackwardRunsAgainAndAddsUp) {
  Example<double> example(GetParam());
  const Context context;
  const Plan plan(context, example.layer, example.capacity());
  const Tape tape(plan);
  run(example, plan, tape);
  const auto once = example.d_parameter_values;
  const std::string inputs = example.bytes();
  ASSERT_EQ(example.backward(plan, tape), LACUNA_OK);
  EXPECT_EQ(example.bytes(), inputs) << "gradients of inputs are written, not added to";
  for (std::size_t i = 0; i < once.size(); ++i)
    EXPECT_NEAR(example.d_parameter_values[i], 2 * once[i], 1e-13 + 1e-13 * std::abs(once[i]));
}

TEST_P(Layers, EveryOutputAndGradientIsOptional) {
  Example<float> example(GetParam());
  const Context context;
  const Plan plan(context, example.layer, example.capacity());
  const Tape tape(plan);
  const auto everything = [&] { return run(example, plan, tape); };
  const std::string expected = everything();

  const auto parameters = example.parameters();
  const auto batch = example.batch();
  const lacuna_outputs no_outputs{};
  const auto d_outputs = example.d_outputs();
  ASSERT_EQ(lacuna_forward(plan, &parameters, &batch, &no_outputs, tape, nullptr), LACUNA_OK)
      << lacuna_last_error();
  ASSERT_EQ(lacuna_backward(plan, &parameters, &batch, &d_outputs, tape, nullptr, nullptr, nullptr),
            LACUNA_OK);
  // One gradient alone is what it is among all.
  const auto all = example.d_parameter_values;
  for (int kind = 0; kind < LACUNA_PARAMETERS; ++kind) {
    lacuna_parameter_info info{};
    ASSERT_EQ(lacuna_layer_parameter(&example.layer, static_cast<lacuna_parameter>(kind), &info),
              LACUNA_OK);
    if (info.rows == 0) continue;
    std::vector<float> alone(static_cast<std::size_t>(info.rows * info.columns));
    lacuna_parameter_gradients wanted{};
    wanted.tensor[kind] = alone.data();
    ASSERT_EQ(
        lacuna_backward(plan, &parameters, &batch, &d_outputs, tape, &wanted, nullptr, nullptr),
        LACUNA_OK);
    EXPECT_TRUE(agrees(
        info.name,
        compare_bits<float>(alone, std::span<const float>(all).subspan(
                                       static_cast<std::size_t>(info.offset), alone.size()))));
  }
  // No gradient comes in: none goes out.
  const lacuna_output_gradients no_gradients{};
  const auto d_inputs = example.d_inputs();
  ASSERT_EQ(
      lacuna_backward(plan, &parameters, &batch, &no_gradients, tape, nullptr, &d_inputs, nullptr),
      LACUNA_OK);
  for (const auto* array : {&example.d_values, &example.d_delta_t, &example.d_initial_hidden})
    for (const float gradient : *array) EXPECT_EQ(gradient, 0);
  EXPECT_EQ(everything(), expected);
}

TEST_P(Layers, InferenceGivesTheSameBitsInNoMoreMemory) {
  Example<float> example(GetParam());
  const Context context;
  const Plan plan(context, example.layer, example.capacity());
  const Tape tape(plan);
  example.poison();
  ASSERT_EQ(example.forward(plan, tape), LACUNA_OK);
  const std::string expected = example.bytes();
  example.poison();
  ASSERT_EQ(example.forward(plan, nullptr), LACUNA_OK);
  EXPECT_EQ(example.bytes(), expected);
  const Plan inference(context, example.layer, example.capacity(), {nullptr, 0, 1});
  EXPECT_LE(inference.info().workspace_bytes, plan.info().workspace_bytes);
  example.poison();
  ASSERT_EQ(example.forward(inference, nullptr), LACUNA_OK);
  EXPECT_EQ(example.bytes(), expected);
}

TEST_P(Layers, NanMarksWhatTheMaskWould) {
  Example<float> example(GetParam());
  if (!example.has_mask()) return;
  const Context context;
  const Plan plan(context, example.layer, example.capacity());
  const auto parameters = example.parameters();
  auto batch = example.batch();
  const auto outputs = example.outputs();
  example.poison();
  ASSERT_EQ(lacuna_forward(plan, &parameters, &batch, &outputs, nullptr, nullptr), LACUNA_OK);
  const std::string expected = example.bytes();
  batch.mask = nullptr;
  example.poison();
  ASSERT_EQ(lacuna_forward(plan, &parameters, &batch, &outputs, nullptr, nullptr), LACUNA_OK);
  EXPECT_EQ(example.bytes(), expected);
}

// ---- Pieces ----

// Two sequences, cut into pieces of which one is empty, in the order in which the layer reads them.
class Pieces {
 public:
  Pieces(const lacuna_layer& layer, bool times) : whole_(layer, {9, 6}, 3), times_(times) {}

  void check() {
    const auto H = static_cast<std::size_t>(whole_.layer.hidden),
               R = static_cast<std::size_t>(whole_.output_width());
    const Context context;
    const Plan plan(context, whole_.layer, whole_.capacity());
    lacuna_batch batch = batch_of(whole_);
    batch.initial_hidden = batch.initial_cell = nullptr;
    batch.carry_in = {};
    // A first gap that nothing precedes: the whole must have none either.
    whole_.delta_t[0] = whole_.delta_t[9] = 0;
    const auto parameters = whole_.parameters();
    lacuna_outputs outputs{};
    outputs.hidden = whole_.hidden.data();
    ASSERT_EQ(lacuna_forward(plan, &parameters, &batch, &outputs, nullptr, nullptr), LACUNA_OK)
        << lacuna_last_error();

    // [from, to) of each sequence, in time.
    const std::vector<std::vector<std::pair<std::size_t, std::size_t>>> cuts = {
        {{0, 4}, {0, 0}}, {{4, 4}, {0, 3}}, {{4, 5}, {3, 6}}, {{5, 9}, {6, 6}}};
    std::vector<double> hidden(whole_.hidden.size(), std::nan(""));
    State state(2, H, static_cast<std::size_t>(whole_.layer.features));
    for (std::size_t step = 0; step < cuts.size(); ++step) {
      const auto& cut = cuts[whole_.layer.reverse ? cuts.size() - 1 - step : step];
      run_piece(plan, cut, state, step == 0, hidden);
    }
    const double bound =
        support::rounding_tolerance<double>(whole_.layer.features + whole_.layer.hidden, 9);
    EXPECT_TRUE(agrees("hidden", support::compare<double>(hidden, whole_.hidden, bound, R)));
  }

 private:
  struct State {
    State(std::size_t B, std::size_t H, std::size_t D)
        : hidden(B * H),  // as much as it may be
          cell(B * H),
          last_values(B * D),
          since(B * D),
          first_gap(B),
          last_time(B) {}
    std::vector<double> hidden, cell, last_values, since, first_gap, last_time;
  };

  lacuna_batch batch_of(Example<double>& example) const {
    lacuna_batch batch = example.batch();
    batch.delta_t = times_ ? nullptr : example.delta_t.data();
    batch.times = times_ ? example.times.data() : nullptr;
    return batch;
  }

  void run_piece(lacuna_plan* plan, const std::vector<std::pair<std::size_t, std::size_t>>& cut,
                 State& state, bool first, std::vector<double>& hidden) {
    const auto D = static_cast<std::size_t>(whole_.layer.features),
               H = static_cast<std::size_t>(whole_.layer.hidden),
               R = static_cast<std::size_t>(whole_.output_width());
    const bool lstm = whole_.is_lstm(), mask = whole_.has_mask(),
               gap = whole_.layer.reverse && !times_;
    std::vector<std::int64_t> lengths;
    for (const auto& [from, to] : cut) lengths.push_back(static_cast<std::int64_t>(to - from));
    Example<double> piece(whole_.layer, lengths, 3);
    std::vector<std::size_t> rows;  // of the whole
    for (std::size_t b = 0; b < cut.size(); ++b)
      for (std::size_t s = cut[b].first; s < cut[b].second; ++s)
        rows.push_back(static_cast<std::size_t>(whole_.offsets[b]) + s);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::copy_n(whole_.values.begin() + rows[i] * D, D, piece.values.begin() + i * D);
      std::copy_n(whole_.mask.begin() + rows[i] * D, D, piece.mask.begin() + i * D);
      piece.delta_t[i] = whole_.delta_t[rows[i]];
      piece.times[i] = whole_.times[rows[i]];
    }

    State next(2, H, D);
    lacuna_batch batch = batch_of(piece);
    batch.initial_hidden = batch.initial_cell = nullptr;
    batch.carry_in = {};
    if (!first) {
      batch.initial_hidden = state.hidden.data();
      batch.initial_cell = lstm ? state.cell.data() : nullptr;
      batch.carry_in = {
          mask ? state.last_values.data() : nullptr, mask ? state.since.data() : nullptr,
          times_ ? state.last_time.data() : nullptr, gap ? state.first_gap.data() : nullptr};
    }
    lacuna_outputs outputs{};
    outputs.hidden = piece.hidden.data();
    outputs.final_hidden = next.hidden.data();
    outputs.final_cell = lstm ? next.cell.data() : nullptr;
    outputs.carry_out = {
        mask ? next.last_values.data() : nullptr, mask ? next.since.data() : nullptr,
        times_ ? next.last_time.data() : nullptr, gap ? next.first_gap.data() : nullptr};
    const auto parameters = whole_.parameters();
    ASSERT_EQ(lacuna_forward(plan, &parameters, &batch, &outputs, nullptr, nullptr), LACUNA_OK)
        << lacuna_last_error();
    for (std::size_t i = 0; i < rows.size(); ++i)
      std::copy_n(piece.hidden.begin() + i * R, R, hidden.begin() + rows[i] * R);
    state = next;
  }

  Example<double> whole_;
  bool times_;
};

TEST_P(Layers, PiecesWithTimesEqualTheWhole) { Pieces(GetParam(), true).check(); }
TEST_P(Layers, PiecesWithGapsEqualTheWhole) { Pieces(GetParam(), false).check(); }

// ---- Words ----

TEST(ExplainApi, SaysWhatWillRun) {
  const Context context;
  const Plan plan(context, api_tests::gru_d(), {1000, 10});
  std::size_t length = 0;
  ASSERT_EQ(lacuna_plan_explain(plan, nullptr, &length), LACUNA_OK);
  ASSERT_GT(length, 50u);
  std::string text(length + 1, '#');
  std::size_t room = text.size();
  ASSERT_EQ(lacuna_plan_explain(plan, text.data(), &room), LACUNA_OK);
  EXPECT_EQ(room, length);
  EXPECT_EQ(text.back(), '\0');
  for (const char* word : {"1000 tokens", "10 sequences"})
    EXPECT_NE(text.find(word), std::string::npos) << text;
}

std::string explained_batch(const Plan& plan, const std::vector<std::int64_t>& offsets) {
  const auto sequences = static_cast<std::int64_t>(offsets.size()) - 1;
  std::size_t length = 0;
  EXPECT_EQ(lacuna_plan_explain_batch(plan, offsets.data(), sequences, nullptr, &length),
            LACUNA_OK);
  std::string text(length + 1, '#');
  std::size_t room = text.size();
  EXPECT_EQ(lacuna_plan_explain_batch(plan, offsets.data(), sequences, text.data(), &room),
            LACUNA_OK);
  text.resize(length);
  return text;
}

TEST(ExplainApi, SaysWhatBecomesOfABatch) {
  const Context context;
  const Plan plan(context, api_tests::gru_d(), {1000, 10});
  const std::string text = explained_batch(plan, {0, 5, 5, 25, 28});
  for (const char* words : {"1000 tokens in 10 sequences",
                            "28 tokens in 4 sequences, 1 of them empty, the longest of 20 tokens",
                            "lanes ", "idle are "})
    EXPECT_NE(text.find(words), std::string::npos) << words << " in\n" << text;
  EXPECT_NE(explained_batch(plan, {0}).find("0 tokens in 0 sequences"), std::string::npos);
  std::size_t length = 0;
  EXPECT_EQ(lacuna_plan_explain_batch(plan, nullptr, 0, nullptr, &length), LACUNA_OK);
}

TEST(ExplainApi, OfOneLengthNoLaneIsIdle) {
  if (!support::on_cpu) GTEST_SKIP() << "a tile of the GPU has eight lanes, however few are used";
  const Context context;
  const Plan plan(context, api_tests::gru_d(), {1000, 10});
  EXPECT_NE(explained_batch(plan, {0, 7, 14, 21}).find("idle are 0 % of 21 steps"),
            std::string::npos)
      << explained_batch(plan, {0, 7, 14, 21});
}

}  // namespace
