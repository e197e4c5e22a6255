// Stacks against the same layers run one by one, and against themselves: cutting time into windows, keeping less than
// everything and running windows again change nothing but where sums are cut.
#include <gtest/gtest.h>

#include "support/compare.h"
#include "support/refusal.h"
#include "support/stack_by_layers.h"
#include "support/stack_expect.h"

namespace {

using support::capacity_of;
using support::compare_bits;
using support::draw_stack;
using support::expect_close;
using support::expect_same_bits;
using support::generate;
using support::run_by_layers;
using support::run_stack;
using support::StackCase;

class DrawnStack : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Stacks, DrawnStack, testing::Range(0, support::on_cpu ? 60 : 24));

TEST_P(DrawnStack, OneWindowHasTheBitsOfLayersRunOneByOne) {
  StackCase c = draw_stack(static_cast<std::uint64_t>(GetParam()));
  c.stack = support::of_type<double>(c.stack);
  const auto data = generate<double>(c);
  const auto context = support::stack_context();
  const lacuna::StackParameters<double> weights(c.stack, c.seed);
  lacuna::StackPlan plan(context, c.stack, capacity_of(data), {.segment = data.longest()});
  ASSERT_EQ(plan.info().windows, 1);
  expect_same_bits(run_stack(plan, weights, data, c.seed),
                   run_by_layers(context, c.stack, weights, data, c.seed), "one window");
}

TEST_P(DrawnStack, WindowsChangeGradientsByRoundingAlone) {
  StackCase c = draw_stack(static_cast<std::uint64_t>(GetParam()));
  c.stack = support::of_type<double>(c.stack);
  const auto data = generate<double>(c);
  const auto context = support::stack_context();
  const lacuna::StackParameters<double> weights(c.stack, c.seed);
  const auto whole = run_by_layers(context, c.stack, weights, data, c.seed);
  for (const std::int64_t segment : {7, 16}) {
    lacuna::StackPlan plan(context, c.stack, capacity_of(data), {.segment = segment});
    ASSERT_GT(plan.info().windows, 1);
    const auto cut = run_stack(plan, weights, data, c.seed);
    // States are the same bits; gradients of parameters are summed window by window. On CUDA a window's products over all
    // tokens have another shape, for which another algorithm may be chosen, and elapsed time is summed in other chunks.
    if (support::on_cpu)
      compare_bits("hidden", cut.hidden.data(), whole.hidden.data(),
                   whole.hidden.size() * sizeof(double));
    expect_close(cut, whole, 1e-11);
    if (HasFailure()) FAIL() << "segment " << segment;
  }
}

template <class Real>
void budgets_keep_bits(int number) {
  StackCase c = draw_stack(static_cast<std::uint64_t>(number));
  c.stack = support::of_type<Real>(c.stack);
  const auto data = generate<Real>(c);
  const auto context = support::stack_context();
  const lacuna::StackParameters<Real> weights(c.stack, c.seed);
  lacuna::StackOptions options{.segment = 3};
  lacuna::StackPlan unlimited(context, c.stack, capacity_of(data), options);
  const auto expected = run_stack(unlimited, weights, data, c.seed);
  const lacuna::StackInfo most = unlimited.info();
  ASSERT_LT(most.memory_least, most.memory_bytes);
  std::int64_t again = 0;
  for (const double share : {1.0, 0.7, 0.4, 0.2, 0.1, 0.0}) {
    options.memory_budget =
        most.memory_least + static_cast<std::size_t>(
                                share * static_cast<double>(most.memory_bytes - most.memory_least));
    lacuna::StackPlan plan(context, c.stack, capacity_of(data), options);
    const lacuna::StackInfo info = plan.info();
    EXPECT_LE(info.memory_bytes, options.memory_budget);
    EXPECT_LE(static_cast<double>(info.memory_bytes), 1.1 * static_cast<double>(info.memory_floor));
    EXPECT_GE(info.windows_again, again);
    again = info.windows_again;
    // The emulator takes seconds for a run: once with some states kept, once with the fewest.
    if (!support::on_emulator || share == 0.4 || share == 0.0)
      expect_same_bits(run_stack(plan, weights, data, c.seed), expected,
                       "budget " + std::to_string(share));
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(again, most.windows);  // some windows more than once
  options.memory_budget = most.memory_least - 1;
  EXPECT_NE(support::refusal([&] {
              const lacuna::StackPlan plan(context, c.stack, capacity_of(data), options);
            }).find("options.memory_budget"),
            std::string::npos);
}

TEST_P(DrawnStack, ABudgetChangesNoBit) {
  if (GetParam() % 2 == 0)
    budgets_keep_bits<float>(GetParam());
  else
    budgets_keep_bits<double>(GetParam());
}

TEST(StackDropout, DrawsAnewForEachSeedAndNotInInference) {
  StackCase c;
  c.stack = lacuna::stacked(lacuna::gru(5, 16), {.depth = 2, .dropout = 0.5});
  c.lengths = {12, 30, 1};
  const auto data = generate<float>(c);
  const auto context = support::stack_context();
  const lacuna::StackParameters<float> weights(c.stack, 1);
  const auto hidden = [&](const lacuna::Stack& stack, bool inference, std::uint64_t seed) {
    lacuna::StackParameters<float> own(stack, 1);
    lacuna::StackPlan plan(context, stack, capacity_of(data), {.inference = inference});
    std::vector<float> out(static_cast<std::size_t>(data.tokens() * 16));
    plan.forward<float>(own, data.batch(), {.hidden = out}, seed, data.initial());
    return out;
  };
  EXPECT_EQ(hidden(c.stack, false, 1), hidden(c.stack, false, 1));
  EXPECT_NE(hidden(c.stack, false, 1), hidden(c.stack, false, 2));
  lacuna::Stack whole = c.stack;
  whole.dropout = 0;
  EXPECT_EQ(hidden(c.stack, true, 1), hidden(whole, false, 1));
}

// With zoneout and dropout in every layer and direction, either kind of window runs again as it ran before.
TEST(StackNoise, IsOfTheSeedAndTheLayerAndNotOfInference) {
  StackCase c;
  lacuna::Layer first = lacuna::lstm(5, 16);
  first.zoneout_hidden = 0.3;
  first.zoneout_cell = 0.4;
  first.recurrent_dropout = 0.5;
  c.stack = lacuna::stacked(first, {.depth = 2, .bidirectional = true});
  c.lengths = {12, 30, 1};
  const auto data = generate<float>(c);
  const auto context = support::stack_context();
  const lacuna::StackParameters<float> weights(c.stack, 1);
  const auto hidden = [&](bool inference, std::uint64_t seed, std::uint64_t unused = 0) {
    lacuna::StackPlan plan(context, c.stack, capacity_of(data),
                           {.inference = inference, .segment = 8});
    std::vector<float> out(static_cast<std::size_t>(data.tokens() * 32));
    lacuna::Batch<float> batch = data.batch();
    batch.noise.seed = unused;
    plan.forward<float>(weights, batch, {.hidden = out}, seed, data.initial());
    return out;
  };
  EXPECT_EQ(hidden(false, 1), hidden(false, 1, 9));
  EXPECT_NE(hidden(false, 1), hidden(false, 2));
  EXPECT_NE(hidden(false, 1), hidden(true, 1));
  EXPECT_EQ(hidden(true, 1), hidden(true, 2));
}

// Sequences that have names draw the same wherever they stand in the batch: within layers and between them, in both
// directions, in one window and in many.
TEST(StackNoise, IsOfTheNamesAndNotOfTheOrder) {
  StackCase c;
  lacuna::Layer first = lacuna::gru(5, 7);
  first.zoneout_hidden = 0.3;
  c.stack = support::of_type<double>(
      lacuna::stacked(first, {.depth = 3, .bidirectional = true, .dropout = 0.4}));
  c.lengths = {12, 30, 1, 0, 17};
  c.initial = false;
  auto data = generate<double>(c);
  const std::size_t sequences = c.lengths.size();
  ASSERT_EQ(data.noise_sequence.size(), sequences);
  data.d_final_hidden.assign(6, std::vector<double>(sequences * 7));

  // The same from the last sequence to the first.
  auto turned = data;
  std::reverse(turned.noise_sequence.begin(), turned.noise_sequence.end());
  std::reverse(turned.noise_position.begin(), turned.noise_position.end());
  for (std::size_t b = 0; b < sequences; ++b)
    turned.offsets[b + 1] = turned.offsets[b] + c.lengths[sequences - 1 - b];
  const auto turn = [&](const std::vector<double>& rows, std::int64_t columns) {
    std::vector<double> out;
    for (std::size_t b = sequences; b-- > 0;)
      out.insert(out.end(), rows.begin() + data.offsets[b] * columns,
                 rows.begin() + data.offsets[b + 1] * columns);
    return out;
  };
  turned.values = turn(data.values, 5);
  turned.delta_t = turn(data.delta_t, 1);
  turned.d_hidden = turn(data.d_hidden, 14);

  const auto context = support::stack_context();
  const lacuna::StackParameters<double> weights(c.stack, 1);
  for (const std::int64_t segment : {30, 8}) {
    lacuna::StackPlan plan(context, c.stack, capacity_of(data), {.segment = segment});
    const auto one = run_stack(plan, weights, data, 3), other = run_stack(plan, weights, turned, 3);
    EXPECT_EQ(turn(one.hidden, 14), other.hidden) << "segment " << segment;
    EXPECT_EQ(turn(one.d_values, 5), other.d_values) << "segment " << segment;
  }
}

TEST(StackWidths, AreThoseOfProjections) {
  lacuna::Layer layer = lacuna::lstm(5, 16);
  layer.projection = 6;
  const auto stack = lacuna::stacked(layer, {.depth = 2, .bidirectional = true});
  stack.check();
  EXPECT_EQ(stack.layers[1].features, 12);
  EXPECT_EQ(stack.output_width(), 12);
}

TEST(StackPieces, SequencesFedInPiecesGiveTheBitsOfOneCall) {
  for (const bool times : {false, true})
    for (const bool reverse : {false, true}) {
      StackCase c;
      // Once with layers that all evolve only where a row is empty.
      c.stack = support::of_type<double>(
          lacuna::stacked(times ? lacuna::gru_d_homeostatic(4, 9) : lacuna::gru_d(4, 9),
                          {.depth = 3, .residual = true, .dropout = 0.4}));
      for (lacuna::Layer& layer : c.stack.layers) {
        layer.reverse = reverse;
        layer.zoneout_hidden = 0.2;
        layer.recurrent_dropout = 0.3;
      }
      c.lengths = {50, 0, 7, 33, 1};
      c.times = times;
      const auto data = generate<double>(c);
      const auto context = support::stack_context();
      const lacuna::StackParameters<double> weights(c.stack, 5);
      lacuna::StackPlan plan(context, c.stack, capacity_of(data), {.segment = 8});
      const std::int64_t b = data.sequences(), d = 4, width = 9;

      const auto forward = [&](const lacuna::Batch<double>& batch, std::vector<double>& hidden,
                               std::vector<std::vector<double>>& states, auto& carry,
                               const std::vector<lacuna::State<const double>>& initial) {
        std::vector<std::vector<double>> cells(states.size());
        plan.forward<double>(
            weights, batch,
            {.hidden = hidden,
             .final_states = support::states(states, cells),
             .carry_out = {.last_values = carry.last_values,
                           .since = carry.since,
                           .last_time = times ? std::span(carry.last_time) : std::span<double>(),
                           .first_gap = reverse && !times ? std::span(carry.first_gap)
                                                          : std::span<double>()}},
            0, initial);
      };
      struct Carry {
        std::vector<double> last_values, since, last_time, first_gap;
      };
      const auto carry_of = [&] {
        return Carry{std::vector<double>(static_cast<std::size_t>(b * d)),
                     std::vector<double>(static_cast<std::size_t>(b * d)),
                     std::vector<double>(static_cast<std::size_t>(b)),
                     std::vector<double>(static_cast<std::size_t>(b))};
      };
      const auto states_of = [&] {
        return std::vector<std::vector<double>>(
            3, std::vector<double>(static_cast<std::size_t>(b * width)));
      };

      std::vector<double> whole(static_cast<std::size_t>(data.tokens() * width));
      auto whole_states = states_of();
      auto whole_carry = carry_of();
      forward(data.batch(), whole, whole_states, whole_carry, data.initial());

      // Cut at 10 and 29 tokens from where reading begins.
      std::vector<double> pieced(whole.size());
      auto states = states_of();
      auto carry = carry_of();
      std::vector<lacuna::State<const double>> initial = data.initial();
      auto before = states_of();
      Carry given;
      const std::int64_t cuts[] = {0, 10, 29, 50};
      for (int p = 0; p < 3; ++p) {
        std::vector<std::int64_t> rows, offsets{0};
        for (std::int64_t q = 0; q < b; ++q) {
          const std::int64_t begin = data.offsets[static_cast<std::size_t>(q)];
          const std::int64_t length = data.offsets[static_cast<std::size_t>(q) + 1] - begin;
          const std::int64_t first = std::min(cuts[p], length), end = std::min(cuts[p + 1], length);
          for (std::int64_t s = reverse ? length - end : first;
               s < (reverse ? length - first : end); ++s)
            rows.push_back(begin + s);
          offsets.push_back(static_cast<std::int64_t>(rows.size()));
        }
        const auto take = [&](const std::vector<double>& from, std::int64_t columns) {
          std::vector<double> to;
          if (from.empty()) return to;
          for (const std::int64_t row : rows)
            to.insert(to.end(), from.begin() + row * columns, from.begin() + (row + 1) * columns);
          return to;
        };
        const auto values = take(data.values, d), delta_t = take(data.delta_t, 1),
                   stamps = take(data.times, 1);
        lacuna::Batch<double> batch{.offsets = offsets, .values = values};
        batch.delta_t = delta_t;
        batch.times = stamps;
        std::vector<std::int64_t> position(static_cast<std::size_t>(b), cuts[p]);
        for (std::size_t q = 0; q < position.size() && !data.noise_position.empty(); ++q)
          position[q] += data.noise_position[q];
        batch.noise = {.sequence = data.noise_sequence, .position = position};
        if (p > 0) {
          batch.carry_in.last_values = given.last_values;
          batch.carry_in.since = given.since;
          if (times) batch.carry_in.last_time = given.last_time;
          if (reverse && !times) batch.carry_in.first_gap = given.first_gap;
        }
        std::vector<double> hidden(static_cast<std::size_t>(width) * rows.size());
        forward(batch, hidden, states, carry, initial);
        for (std::size_t i = 0; i < rows.size(); ++i)
          std::copy_n(hidden.begin() + static_cast<std::ptrdiff_t>(i) * width, width,
                      pieced.begin() + rows[i] * width);
        before = states;
        given = carry;
        initial.clear();
        for (const auto& state : before) initial.push_back({state, {}});
      }
      // On CUDA the pieces' windows give products over all tokens other shapes, and elapsed time other chunks.
      const auto agree = [&](const std::vector<double>& one, const std::vector<double>& other) {
        if (support::on_cpu) return one == other;
        return std::equal(
            one.begin(), one.end(), other.begin(), other.end(),
            [](double a, double b) { return std::abs(a - b) <= 1e-12 * (1 + std::abs(b)); });
      };
      EXPECT_TRUE(agree(pieced, whole)) << times << reverse;
      for (std::size_t place = 0; place < states.size(); ++place)
        EXPECT_TRUE(agree(states[place], whole_states[place])) << place;
      EXPECT_TRUE(agree(carry.since, whole_carry.since));
      if (times) {
        for (std::size_t q = 0; q < carry.last_time.size(); ++q)
          EXPECT_TRUE(carry.last_time[q] == whole_carry.last_time[q] ||
                      (std::isnan(carry.last_time[q]) && std::isnan(whole_carry.last_time[q])));
      }
    }
}

TEST(StackBudget, TrainsInAFortiethOfTheMemory) {
  if (support::on_emulator) GTEST_SKIP() << "so many tokens take it minutes";
  StackCase c;
  c.stack = lacuna::stacked(lacuna::gru_d(6, 16), {.depth = 2});
  c.lengths = {20000, 19990, 20000, 5};
  c.initial = false;
  const auto data = generate<float>(c);
  const auto context = support::stack_context();
  const lacuna::StackParameters<float> weights(c.stack, 1);
  lacuna::StackPlan unlimited(context, c.stack, capacity_of(data));
  // What a plan for one token takes does not grow with tokens: on a GPU mostly cuBLASLt's scratch.
  const std::size_t fixed =
      lacuna::StackPlan(context, c.stack, {.tokens = 1, .sequences = 1}).info().memory_bytes;
  const std::size_t budget = fixed + (unlimited.info().memory_bytes - fixed) / 40;
  lacuna::StackPlan tight(context, c.stack, capacity_of(data), {.memory_budget = budget});
  EXPECT_LE(tight.info().memory_bytes, budget);
  expect_same_bits(run_stack(tight, weights, data), run_stack(unlimited, weights, data), "1/40");
}

// At every token the loss's gradient by a state is what a piece that starts behind it gets for its initial state, and the
// gradient that is given there.
TEST(StackGradientFlow, NormsAreThoseOfTheGradientsByEachState) {
  for (const bool reverse : {false, true}) {
    StackCase c;
    c.stack = support::of_type<double>(lacuna::stacked(lacuna::gru_decay(3, 8), {.depth = 1}));
    c.stack.layers[0].reverse = reverse;
    c.lengths = {23};
    c.mask_from_nan = true;
    const auto data = generate<double>(c);
    const auto context = support::stack_context();
    const lacuna::StackParameters<double> weights(c.stack, 3);
    std::vector<double> whole(23), cut(23);
    const auto norms = [&](std::int64_t segment, std::vector<double>& out,
                           std::vector<double>& d_initial) {
      lacuna::StackPlan plan(context, c.stack, capacity_of(data), {.segment = segment});
      lacuna::StackGradients<double> gradients(weights);
      plan.forward<double>(weights, data.batch(), {}, 0, data.initial());
      plan.backward<double>(weights, data.batch(), {.d_hidden = data.d_hidden}, gradients,
                            {.d_initial_states = {{d_initial, {}}}, .d_hidden_norms = {out}},
                            data.initial());
    };
    std::vector<double> d_initial(8);
    norms(23, whole, d_initial);
    norms(5, cut, d_initial);
    const double apart = support::sizes_decide_bits
                             ? 2 * support::rounding_tolerance<double>(8, support::mixing_steps(23))
                             : 0;
    for (std::size_t t = 0; t < whole.size(); ++t) EXPECT_NEAR(cut[t] / whole[t], 1, apart) << t;
    // The last state to be read is the end of the way: its gradient is the one given there.
    const std::size_t last = reverse ? 0 : 22;
    double squares = 0;
    for (std::size_t u = 0; u < 8; ++u)
      squares += data.d_hidden[last * 8 + u] * data.d_hidden[last * 8 + u];
    EXPECT_NEAR(whole[last], std::sqrt(squares), 1e-14);

    // And at a token between: by a run that begins behind it, from the state there.
    if (reverse) continue;
    const std::int64_t split = 9;
    std::vector<double> hidden(23 * 8);
    lacuna::StackPlan plan(context, c.stack, capacity_of(data));
    plan.forward<double>(weights, data.batch(), {.hidden = hidden}, 0, data.initial());
    support::StackData<double> rest = data;
    rest.offsets = {0, 23 - split};
    rest.values.erase(rest.values.begin(), rest.values.begin() + split * 3);
    rest.delta_t.erase(rest.delta_t.begin(), rest.delta_t.begin() + split);
    rest.d_hidden.erase(rest.d_hidden.begin(), rest.d_hidden.begin() + split * 8);
    rest.initial_hidden = {{hidden.begin() + (split - 1) * 8, hidden.begin() + split * 8}};
    std::vector<double> last_values(3, std::nan("")), since(3, 0);
    for (std::size_t f = 0; f < 3; ++f)
      for (std::size_t s = 0; s < static_cast<std::size_t>(split); ++s)
        if (!std::isnan(data.values[s * 3 + f])) last_values[f] = data.values[s * 3 + f];
    lacuna::Batch<double> batch = rest.batch();
    batch.carry_in.last_values = last_values;
    batch.carry_in.since = since;
    lacuna::StackGradients<double> gradients(weights);
    plan.forward<double>(weights, batch, {}, 0, rest.initial());
    plan.backward<double>(weights, batch, {.d_hidden = rest.d_hidden}, gradients,
                          {.d_initial_states = {{d_initial, {}}}}, rest.initial());
    squares = 0;
    for (std::size_t u = 0; u < 8; ++u) {
      const double d = d_initial[u] + data.d_hidden[(split - 1) * 8 + u];
      squares += d * d;
    }
    EXPECT_NEAR(whole[split - 1], std::sqrt(squares), 1e-12 * std::sqrt(squares));
  }
}

// Waves of tasks run side by side, or one after the other with a team for each: the same bits.
TEST(StackThreads, AnyNumberGivesTheSameBits) {
  if (!support::on_cpu) GTEST_SKIP() << "threads are the CPU's";
  for (const std::uint64_t number : {3, 10, 12, 27}) {
    StackCase c = draw_stack(number);
    const auto data = generate<float>(c);
    const lacuna::StackParameters<float> weights(c.stack, c.seed);
    std::unique_ptr<support::StackResults<float>> first;
    for (const int threads : {1, 2, 3, 7}) {
      const auto context = support::stack_context(threads);
      lacuna::StackPlan plan(context, c.stack, capacity_of(data), {.segment = 6});
      const auto results = run_stack(plan, weights, data, c.seed);
      if (!first)
        first = std::make_unique<support::StackResults<float>>(results);
      else
        expect_same_bits(results, *first, std::to_string(threads) + " threads");
    }
  }
}

// What vanishes or explodes is seen far beyond where its square would be: in float, too.
TEST(StackGradientFlow, NormsReachAsFarAsTheirType) {
  StackCase c;
  c.stack = lacuna::stacked(lacuna::rnn(2, 3), {.depth = 1});
  c.lengths = {4};
  c.initial = false;
  auto data = generate<float>(c);
  const auto context = support::stack_context();
  const lacuna::StackParameters<float> weights(c.stack, 3);
  for (const float scale : {1e-30F, 1.0F, 1e30F}) {
    std::fill(data.d_hidden.begin(), data.d_hidden.end(), 0.0F);
    for (std::size_t u = 0; u < 3; ++u) data.d_hidden[9 + u] = static_cast<float>(u + 1) * scale;
    std::vector<float> norms(4);
    lacuna::StackPlan plan(context, c.stack, capacity_of(data));
    lacuna::StackGradients<float> gradients(weights);
    plan.forward<float>(weights, data.batch(), {});
    plan.backward<float>(weights, data.batch(), {.d_hidden = data.d_hidden}, gradients,
                         {.d_hidden_norms = {norms}});
    EXPECT_NEAR(norms[3] / scale, std::sqrt(14.0F), 1e-5F) << scale;
    for (const float norm : norms) EXPECT_TRUE(norm > 0 && std::isfinite(norm)) << norm;
  }
}

TEST(StackTraining, ClipsAndStepsAllLayersTogether) {
  if (!support::on_cpu) GTEST_SKIP() << "takes arrays of the host";
  const auto context = support::stack_context();
  const auto stack = lacuna::stacked(lacuna::gru(3, 4), {.depth = 3, .bidirectional = true});
  lacuna::StackParameters<float> weights(stack, 1);
  const lacuna::StackParameters<float> before = weights;
  lacuna::StackGradients<float> gradients(weights);
  std::size_t count = 0;
  for (const auto& array : gradients.flat()) {
    std::fill(array.begin(), array.end(), 2.0F);
    count += array.size();
  }
  weights[3].freeze(lacuna::Parameter::bias);
  const auto arrays = lacuna::AdamArrays<float>().add(gradients, weights);
  EXPECT_EQ(arrays.count(), count);
  lacuna::Adam<float> adam(arrays, {.learning_rate = 0.5});
  const double expected =
      2 * std::sqrt(static_cast<double>(count - weights[3][lacuna::Parameter::bias].size()));
  EXPECT_NEAR(adam.step(context, arrays, 1.0), expected, 1e-6 * expected);
  EXPECT_EQ(adam.steps(), 1);
  for (std::size_t place = 0; place < weights.size(); ++place)
    for (int kind = 0; kind < lacuna::parameter_kinds; ++kind) {
      const auto parameter = static_cast<lacuna::Parameter>(kind);
      const bool frozen = place == 3 && parameter == lacuna::Parameter::bias;
      for (std::size_t i = 0; i < weights[place][parameter].size(); ++i)
        EXPECT_NEAR(weights[place][parameter][i],
                    before[place][parameter][i] - (frozen ? 0.0F : 0.5F), 1e-3F);
    }
}

TEST(StackPlan, SaysWhatItWillDo) {
  const auto context = support::stack_context();
  const auto stack = lacuna::stacked(lacuna::gru_d(6, 16), {.depth = 2, .bidirectional = true});
  const lacuna::Capacity capacity{40000, 8, 10000};
  const auto most = lacuna::measure(context, stack, capacity);
  const lacuna::StackPlan plan(context, stack, capacity,
                               {.memory_budget = (most.memory_least + most.memory_bytes) / 2});
  const std::string text = plan.explain();
  for (const char* said : {"2 layer(s), both directions", "windows", "budget", "run again"})
    EXPECT_NE(text.find(said), std::string::npos) << said << " is not in\n" << text;
  const std::string svg = plan.timeline();
  EXPECT_EQ(svg.find("<svg"), 0U);
  EXPECT_NE(svg.find("</svg>"), std::string::npos);
  EXPECT_NE(svg.find("layer 1, from the end"), std::string::npos);
}

}  // namespace
