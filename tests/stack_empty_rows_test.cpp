// The exact semigroup through a stack: where all layers relax and evolve only, empty rows are no events.
#include <gtest/gtest.h>

#include "support/stack_expect.h"

namespace {

using Real = double;
using support::capacity_of;
using support::generate;
using support::run_stack;
using support::StackCase;
using support::StackData;
using support::StackResults;

// Rows put between a sequence's tokens, and the places to which its own rows went. Gaps are split in quarters, which is
// exact.
struct Filled {
  StackData<Real> data;
  std::vector<std::int64_t> rows;

  Filled(const lacuna::Stack& stack, const StackData<Real>& from) : data(from) {
    const std::int64_t d = stack.layers.front().features, width = stack.output_width();
    const bool masked = stack.layers.front().impute != lacuna::Impute::none;
    data.offsets = {0};
    for (auto* array : {&data.values, &data.delta_t, &data.d_hidden}) array->clear();
    data.mask.clear();
    data.fires.clear();
    const auto take = [](const auto& array, std::int64_t columns, std::int64_t row, auto& to) {
      if (!array.empty())
        to.insert(to.end(), array.begin() + row * columns, array.begin() + (row + 1) * columns);
    };
    const auto add_empty_row = [&](Real gap) {
      data.values.insert(data.values.end(), static_cast<std::size_t>(d), masked ? std::nan("") : 9);
      if (!from.mask.empty()) data.mask.insert(data.mask.end(), static_cast<std::size_t>(d), 0);
      if (!from.fires.empty()) data.fires.push_back(0);
      data.delta_t.push_back(gap);
      data.d_hidden.insert(data.d_hidden.end(), static_cast<std::size_t>(width), 0);
    };
    for (std::size_t b = 0; b + 1 < from.offsets.size(); ++b) {
      for (std::int64_t s = from.offsets[b]; s < from.offsets[b + 1]; ++s) {
        const Real gap = from.delta_t[static_cast<std::size_t>(s)];
        const std::int64_t more = s > from.offsets[b] ? s % 4 : 0;
        for (std::int64_t i = 0; i < more; ++i) add_empty_row(gap / 4);
        rows.push_back(static_cast<std::int64_t>(data.delta_t.size()));
        take(from.values, d, s, data.values);
        take(from.mask, d, s, data.mask);
        take(from.fires, 1, s, data.fires);
        data.delta_t.push_back(gap - static_cast<Real>(more) * (gap / 4));
        take(from.d_hidden, width, s, data.d_hidden);
      }
      data.offsets.push_back(static_cast<std::int64_t>(data.delta_t.size()));
    }
  }

  // What became of the rows that were there before. Of a gap in parts every part has the derivative that the whole gap has.
  StackResults<Real> own(StackResults<Real> results) const {
    for (auto* array : {&results.hidden, &results.d_values, &results.d_delta_t}) {
      const auto columns = static_cast<std::int64_t>(array->size()) / data.tokens();
      std::vector<Real> picked;
      for (const std::int64_t row : rows)
        picked.insert(picked.end(), array->begin() + row * columns,
                      array->begin() + (row + 1) * columns);
      *array = picked;
    }
    return results;
  }
};

lacuna::Layer without_mask(lacuna::Cell cell) {
  return {.cell = cell,
          .evolve = lacuna::Evolve::relax,
          .empty_rows = lacuna::EmptyRows::evolve_only,
          .features = 4,
          .hidden = 6};
}

struct Form {
  lacuna::Layer layer;
  bool bidirectional;
  std::int64_t segment;
};

class StackEmptyRows : public testing::TestWithParam<Form> {};

TEST_P(StackEmptyRows, ChangeNoLaterStateAndNoGradient) {
  const Form& form = GetParam();
  StackCase c;
  c.stack = support::of_type<Real>(lacuna::stacked(
      form.layer, {.depth = 3, .bidirectional = form.bidirectional, .residual = true}));
  c.lengths = {12, 1, 30, 0, 17};
  c.missing_percent = 60;
  const auto context = support::stack_context();
  const lacuna::StackParameters<Real> weights(c.stack, 4);
  for (const bool from_nan : {false, true}) {
    c.mask_from_nan = from_nan;
    const auto data = generate<Real>(c);
    const Filled filled(c.stack, data);
    ASSERT_GT(filled.data.tokens(), data.tokens() + 40);
    lacuna::StackPlan plan(context, c.stack, capacity_of(filled.data), {.segment = form.segment});
    support::expect_close(filled.own(run_stack(plan, weights, filled.data)),
                          run_stack(plan, weights, data), 1e-11);
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, StackEmptyRows,
                         testing::Values(Form{lacuna::gru_d_homeostatic(4, 6), false, 100},
                                         Form{lacuna::gru_d_homeostatic(4, 6), false, 7},
                                         Form{lacuna::gru_d_homeostatic(4, 6), true, 100},
                                         Form{lacuna::gru_d_homeostatic(4, 6), true, 7},
                                         Form{without_mask(lacuna::Cell::lstm), false, 100},
                                         Form{without_mask(lacuna::Cell::lstm), false, 7},
                                         Form{without_mask(lacuna::Cell::gru), true, 100},
                                         Form{without_mask(lacuna::Cell::gru), true, 7}));

// Beside the layers that evolve only, one that updates at every token: empty rows are events to it, as they were.
TEST(StackEmptyRowsOf, LayersThatUpdateAreEvents) {
  StackCase c;
  c.stack = support::of_type<Real>(lacuna::stacked(lacuna::gru_d_homeostatic(4, 6), {.depth = 2}));
  c.stack.layers[1].empty_rows = lacuna::EmptyRows::update;
  c.lengths = {30};
  const auto data = generate<Real>(c);
  const Filled filled(c.stack, data);
  const lacuna::StackParameters<Real> weights(c.stack, 4);
  lacuna::StackPlan plan(support::stack_context(), c.stack, capacity_of(filled.data));
  const auto plain = run_stack(plan, weights, data),
             dense = filled.own(run_stack(plan, weights, filled.data));
  double apart = 0;
  for (std::size_t i = 0; i < plain.hidden.size(); ++i)
    apart = std::max(apart, std::abs(plain.hidden[i] - dense.hidden[i]));
  EXPECT_GT(apart, 1e-3);
}

}  // namespace
