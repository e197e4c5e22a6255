// Truncated backpropagation through time: the bits of running the windows by hand, each with the state that the one before
// left, handed on as a constant.
#include <gtest/gtest.h>

#include "support/stack_expect.h"

namespace {

using support::draw_stack;
using support::generate;
using support::run_stack;
using support::StackCase;
using support::StackData;
using support::StackResults;

// Rows first .. end-1 of every sequence, as far as they are there.
template <class Real>
struct Piece {
  StackData<Real> data;
  std::vector<std::int64_t> rows;  // of the whole batch

  Piece(const lacuna::Stack& stack, const StackData<Real>& whole, std::int64_t first,
        std::int64_t end) {
    for (std::int64_t b = 0; b < whole.sequences(); ++b) {
      const std::int64_t begin = whole.offsets[static_cast<std::size_t>(b)];
      const std::int64_t length = whole.offsets[static_cast<std::size_t>(b) + 1] - begin;
      for (std::int64_t s = std::min(first, length); s < std::min(end, length); ++s)
        rows.push_back(begin + s);
      data.offsets.push_back(static_cast<std::int64_t>(rows.size()));
    }
    const std::int64_t d = stack.layers.front().features;
    take(whole.values, d, data.values);
    take(whole.mask, d, data.mask);
    take(whole.fires, 1, data.fires);
    take(whole.delta, d, data.delta);
    take(whole.delta_t, 1, data.delta_t);
    take(whole.times, 1, data.times);
    take(whole.d_hidden, stack.output_width(), data.d_hidden);
    data.noise_sequence = whole.noise_sequence;
    data.noise_position = whole.noise_position;
    data.noise_position.resize(static_cast<std::size_t>(whole.sequences()));
    for (std::int64_t& position : data.noise_position) position += first;
  }
  template <class Element>
  void take(const std::vector<Element>& from, std::int64_t width, std::vector<Element>& to) const {
    if (from.empty()) return;
    for (const std::int64_t row : rows)
      to.insert(to.end(), from.begin() + row * width, from.begin() + (row + 1) * width);
  }
  template <class Element>
  void add(const std::vector<Element>& from, std::int64_t width, std::vector<Element>& to,
           std::vector<char>& seen) const {
    for (std::size_t i = 0; i < rows.size(); ++i)
      for (std::int64_t c = 0; c < width; ++c) {
        const auto at = static_cast<std::size_t>(rows[i] * width + c);
        const Element value =
            from[i * static_cast<std::size_t>(width) + static_cast<std::size_t>(c)];
        to[at] = seen[at] ? to[at] + value : value;
        seen[at] = 1;
      }
  }
};

// What the end of a piece hands to the next one.
template <class Real>
struct Handed {
  std::vector<std::vector<Real>> hidden, cell;
  std::vector<Real> last_values, since;
};

class Truncated : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Stacks, Truncated, testing::Range(100, support::on_emulator ? 116 : 140));

TEST_P(Truncated, HasTheBitsOfWindowsRunByHand) {
  using Real = double;
  StackCase c = draw_stack(static_cast<std::uint64_t>(GetParam()));
  c.stack.bidirectional = false;
  for (std::size_t l = 0; l < c.stack.layers.size(); ++l) {
    lacuna::Layer& layer = c.stack.layers[l];
    layer.reverse = false;
    if (l == 0) continue;
    layer.features = c.stack.layers[l - 1].output_width();
    if (!c.stack.residual) continue;
    (layer.projection > 0 ? layer.projection : layer.hidden) = layer.features;
    layer.hidden = std::max(layer.hidden, layer.features);
  }
  c.times = false;
  c.stack = support::of_type<Real>(c.stack);
  const auto data = generate<Real>(c);
  const auto context = support::stack_context();
  const lacuna::StackParameters<Real> weights(c.stack, c.seed);
  const bool masked = c.stack.layers.front().impute != lacuna::Impute::none;
  const std::int64_t every = 5, d = c.stack.layers.front().features;

  for (const std::int64_t reach : {5, 15}) {
    // By hand: a plan for windows, which run in the order of time.
    const std::int64_t windows = (data.longest() + every - 1) / every, back = reach / every;
    StackResults<Real> expected(c.stack, data);
    lacuna::StackGradients<Real> gradients(weights);
    std::vector<char> seen_values(expected.d_values.size()), seen_gaps(expected.d_delta_t.size());
    lacuna::StackPlan plan(context, c.stack,
                           {data.tokens(), data.sequences(), std::min(reach, data.longest())},
                           {.segment = every});
    std::vector<Handed<Real>> handed(static_cast<std::size_t>(windows) + 1);
    handed[0] = {data.initial_hidden, data.initial_cell, {}, {}};
    for (std::int64_t w = 0; w < windows; ++w) {
      const std::int64_t first = std::max<std::int64_t>(w - back + 1, 0);
      Piece<Real> piece(c.stack, data, first * every, (w + 1) * every);
      const Handed<Real>& from = handed[static_cast<std::size_t>(first)];
      piece.data.initial_hidden = from.hidden;
      piece.data.initial_cell = from.cell;
      // The loss of this window's own tokens, and of the final states of sequences that end here.
      std::size_t row = 0;
      for (std::int64_t b = 0; b < data.sequences(); ++b) {
        const std::int64_t length = data.offsets[static_cast<std::size_t>(b) + 1] -
                                    data.offsets[static_cast<std::size_t>(b)];
        for (std::int64_t s = first * every; s < std::min((w + 1) * every, length); ++s, ++row)
          if (s < w * every)
            std::fill_n(piece.data.d_hidden.begin() +
                            static_cast<std::ptrdiff_t>(row) * c.stack.output_width(),
                        c.stack.output_width(), Real(0));
        const bool ends = length <= (w + 1) * every && (length > w * every || w == 0);
        const auto keep = [&](const std::vector<std::vector<Real>>& all,
                              std::vector<std::vector<Real>>& own) {
          own.resize(all.size());
          for (std::size_t place = 0; place < all.size(); ++place) {
            own[place].resize(all[place].size());
            const std::size_t h = all[place].size() / static_cast<std::size_t>(data.sequences());
            for (std::size_t u = 0; u < h; ++u) {
              const std::size_t at = static_cast<std::size_t>(b) * h + u;
              own[place][at] = ends ? all[place][at] : Real(0);
            }
          }
        };
        keep(data.d_final_hidden, piece.data.d_final_hidden);
        keep(data.d_final_cell, piece.data.d_final_cell);
      }
      lacuna::Batch<Real> batch = piece.data.batch();
      batch.carry_in.last_values = from.last_values;
      batch.carry_in.since = from.since;

      StackResults<Real> own(c.stack, piece.data);
      plan.forward<Real>(weights, batch,
                         {.final_states = support::states(own.final_hidden, own.final_cell)}, 0,
                         piece.data.initial());
      plan.backward<Real>(
          weights, batch,
          {.d_hidden = piece.data.d_hidden,
           .d_final_states = support::states(std::as_const(piece.data.d_final_hidden),
                                             std::as_const(piece.data.d_final_cell))},
          gradients,
          {.d_values = own.d_values,
           .d_delta_t = own.d_delta_t,
           .d_initial_states = support::states(own.d_initial_hidden, own.d_initial_cell)},
          piece.data.initial());
      piece.add(own.d_values, d, expected.d_values, seen_values);
      piece.add(own.d_delta_t, 1, expected.d_delta_t, seen_gaps);
      if (first == 0)
        for (std::size_t place = 0; place < c.stack.places(); ++place) {
          const auto sum = [&](const std::vector<Real>& add, std::vector<Real>& to) {
            for (std::size_t i = 0; i < to.size(); ++i) to[i] = w == 0 ? add[i] : to[i] + add[i];
          };
          sum(own.d_initial_hidden[place], expected.d_initial_hidden[place]);
          sum(own.d_initial_cell[place], expected.d_initial_cell[place]);
        }

      // What the next windows start from: this window alone, forward.
      Piece<Real> single(c.stack, data, w * every, (w + 1) * every);
      const Handed<Real>& before = handed[static_cast<std::size_t>(w)];
      single.data.initial_hidden = before.hidden;
      single.data.initial_cell = before.cell;
      lacuna::Batch<Real> step = single.data.batch();
      step.carry_in.last_values = before.last_values;
      step.carry_in.since = before.since;
      StackResults<Real> out(c.stack, single.data);
      Handed<Real>& next = handed[static_cast<std::size_t>(w) + 1];
      if (masked) {
        next.last_values.resize(static_cast<std::size_t>(data.sequences() * d));
        next.since.resize(next.last_values.size());
      }
      plan.forward<Real>(weights, step,
                         {.hidden = out.hidden,
                          .final_states = support::states(out.final_hidden, out.final_cell),
                          .carry_out = {.last_values = next.last_values, .since = next.since}},
                         0, single.data.initial());
      std::vector<char> unseen(expected.hidden.size());
      single.add(out.hidden, c.stack.output_width(), expected.hidden, unseen);
      next.hidden = out.final_hidden;
      next.cell = out.final_cell;
    }
    expected.final_hidden = handed.back().hidden;
    expected.final_cell = handed.back().cell;
    expected.take(gradients);

    lacuna::StackOptions options{.truncation = {every, reach}};
    lacuna::StackPlan unlimited(context, c.stack, support::capacity_of(data), options);
    support::expect_same_bits(run_stack(unlimited, weights, data), expected, "by hand");
    options.memory_budget = unlimited.info().memory_least;
    lacuna::StackPlan tight(context, c.stack, support::capacity_of(data), options);
    if (windows > back) {
      EXPECT_LT(tight.info().memory_bytes, unlimited.info().memory_bytes);
    }
    support::expect_same_bits(run_stack(tight, weights, data), expected, "in little memory");
    if (HasFailure()) FAIL() << "reach " << reach;
  }
}

TEST(Truncation, ThatReachesAllTheWayIsNone) {
  StackCase c;
  c.stack = support::of_type<double>(
      lacuna::stacked(lacuna::gru_d(3, 7), {.depth = 2, .residual = true}));
  c.lengths = {40, 3, 0, 21};
  const auto data = generate<double>(c);
  const auto context = support::stack_context();
  const lacuna::StackParameters<double> weights(c.stack, 3);
  lacuna::StackPlan full(context, c.stack, support::capacity_of(data), {.segment = 8});
  lacuna::StackPlan truncated(context, c.stack, support::capacity_of(data),
                              {.truncation = {8, 40}});
  // The same gradient, summed in another order.
  support::expect_close(run_stack(truncated, weights, data), run_stack(full, weights, data), 1e-12);
}

}  // namespace
