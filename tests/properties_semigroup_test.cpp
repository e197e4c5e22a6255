// The exact semigroup: with `relax` and `evolve_only`, rows that measure nothing, or at which a layer without a mask is told
// not to fire, are no events, and a state that is left alone long enough forgets.
#include <limits>

#include "support/properties.h"

namespace {

using support::Case;
using support::Data;
using support::in_type;
using support::library_run;
using support::Per;

// Models whose update reads no gap, so that only the flow of state and imputation does. Zoneout draws by position, which an
// empty row moves.
bool flows(const Case& c) {
  return c.layer.cell != reference::Cell::rnn_euler && !support::draws(c);
}
bool sees_empty_rows(const Case& c) { return flows(c) && support::has_mask(c); }
bool is_told_of_them(const Case& c) { return flows(c) && !support::has_mask(c); }

struct Flow : support::PropertyTest {
  Flow() {
    c.layer.evolve = reference::Evolve::relax;
    c.layer.empty_rows = reference::EmptyRows::evolve_only;
    c.layer.gap_input = false;
    if (c.layer.impute == reference::Impute::decay) c.layer.impute = reference::Impute::relax;
  }
};

INSTANTIATE_TEST_SUITE_P(Each, Flow,
                         testing::ValuesIn(support::property_cases_where(sees_empty_rows)),
                         support::test_name);

// Layers without a mask.
struct Told : Flow {};
INSTANTIATE_TEST_SUITE_P(Each, Told,
                         testing::ValuesIn(support::property_cases_where(is_told_of_them)),
                         support::test_name);

// `data` with up to `most` empty rows put before every token but a sequence's first, and the places
// to which its own rows went. Gaps are split in quarters, which is exact.
struct Filled {
  Data data;
  std::vector<std::int64_t> rows;
};

Filled with_empty_rows(const Case& c, const Data& data, int most) {
  Filled filled{data, {}};
  const reference::Batch& from = data.batch;
  reference::Batch& to = filled.data.batch;
  reference::Upstream& up = filled.data.upstream;
  const auto D = static_cast<std::ptrdiff_t>(c.layer.features), H = std::ptrdiff_t{c.layer.hidden},
             R = std::ptrdiff_t{c.layer.output_width()};
  to.offsets = {0};
  for (auto* array : {&to.values, &to.delta_t, &up.d_hidden, &up.d_cell}) array->clear();
  to.mask.clear();
  to.fires.clear();
  const auto append = [](auto& array, const auto& other, std::ptrdiff_t row, std::ptrdiff_t width) {
    if (!other.empty())
      array.insert(array.end(), other.begin() + row * width, other.begin() + (row + 1) * width);
  };
  const auto add_empty_row = [&](double gap) {
    to.delta_t.push_back(gap);
    const bool masked = support::has_mask(c);
    to.values.insert(to.values.end(), static_cast<std::size_t>(D), masked ? std::nan("") : 9.0);
    if (masked)
      to.mask.insert(to.mask.end(), static_cast<std::size_t>(D), 0);
    else
      to.fires.push_back(0);
    up.d_hidden.insert(up.d_hidden.end(), static_cast<std::size_t>(R), 0);
    if (!data.upstream.d_cell.empty())
      up.d_cell.insert(up.d_cell.end(), static_cast<std::size_t>(H), 0);
  };
  for (std::size_t b = 0; b + 1 < from.offsets.size(); ++b) {
    for (std::int64_t s = from.offsets[b]; s < from.offsets[b + 1]; ++s) {
      const double gap = from.delta_t[static_cast<std::size_t>(s)];
      double left = gap;
      if (s > from.offsets[b])
        for (std::int64_t extra = 0; extra < (s + most) % (most + 1); ++extra, left -= gap / 4)
          add_empty_row(gap / 4);
      filled.rows.push_back(static_cast<std::int64_t>(to.delta_t.size()));
      to.delta_t.push_back(left);
      append(to.values, from.values, s, D);
      append(to.mask, from.mask, s, D);
      append(to.fires, from.fires, s, 1);
      append(up.d_hidden, data.upstream.d_hidden, s, R);
      append(up.d_cell, data.upstream.d_cell, s, H);
    }
    to.offsets.push_back(static_cast<std::int64_t>(to.delta_t.size()));
  }
  return filled;
}

void expect_empty_rows_to_change_nothing(Case c) {
  for (const bool reverse : {false, true}) {
    c.layer.reverse = reverse;
    const Data data(c);
    const Filled filled = with_empty_rows(c, data, 3);
    const std::int64_t n = filled.data.batch.tokens();
    ASSERT_GT(n, data.batch.tokens());
    in_type(c, [&]<class Real>(Real) {
      for (const lacuna_isa isa : support::instruction_sets()) {
        SCOPED_TRACE(support::to_string(c) + " isa " + std::to_string(isa));
        const auto context = support::make_context(1, isa);
        auto plain = library_run<Real>(c, data), dense = library_run<Real>(c, filled.data);
        plain.run(context.get());
        dense.run(context.get());
        for (const auto& [name, buffer] : plain.results.entries()) {
          if (name.starts_with("carry")) continue;
          std::vector<Real> result = dense.results.find(name)->vector();
          const std::vector<Real> expected = buffer->vector();
          // Of a gap in parts every part has the derivative that the whole gap has.
          if (support::rows_of(name) == Per::token) result = support::pick(result, filled.rows, n);
          EXPECT_TRUE(support::are_close(c, name, n, result, expected));
        }
      }
    });
  }
}

TEST_P(Flow, EmptyRowsChangeNoLaterStateAndNoGradient) { expect_empty_rows_to_change_nothing(c); }
TEST_P(Told, EmptyRowsChangeNoLaterStateAndNoGradient) { expect_empty_rows_to_change_nothing(c); }

// As the gap grows the state tends to s_inf, and what lies before it has no gradient above the
// smallest number, which is where the library's exponential ends; up to the
// longest gap that the type can hold.
TEST_P(Flow, AStateLeftAloneTendsToItsTarget) {
  in_type(c, [&]<class Real>(Real) {
    for (const double gap : {1e6, 1e30, static_cast<double>(std::numeric_limits<Real>::max())}) {
      SCOPED_TRACE(gap);
      Data data(c);
      std::vector<std::int64_t> last;  // token of every sequence that is long enough
      for (std::size_t b = 0; b + 1 < data.batch.offsets.size(); ++b) {
        const std::int64_t begin = data.batch.offsets[b], end = data.batch.offsets[b + 1];
        for (std::int64_t s = begin; s < end; ++s)
          data.batch.delta_t[static_cast<std::size_t>(s)] =
              s + 1 == end && end - begin > 1 ? gap : 0;
        if (end - begin > 1) last.push_back(end - 1);
      }
      const std::int64_t n = data.batch.tokens();
      const auto context = support::make_context();
      auto run = library_run<Real>(c, data);
      run.run(context.get());
      const auto evolved = support::pick(run.results.find("evolved_hidden")->vector(), last, n);
      const auto R = static_cast<std::size_t>(c.layer.output_width());
      for (std::size_t at = 0; at < evolved.size(); ++at)
        ASSERT_EQ(evolved[at], static_cast<Real>(data.parameters.s_inf[at % R])) << at;
      for (const auto& [name, buffer] : run.results.entries()) {
        if (name.starts_with("carry")) continue;
        for (const Real element : buffer->span()) ASSERT_TRUE(std::isfinite(element)) << name;
      }
      // Only what the last token reads and its own gradient count for the others' end.
      data.upstream.d_hidden.assign(data.upstream.d_hidden.size(), 0);
      data.upstream.d_cell.assign(data.upstream.d_cell.size(), 0);
      auto from_end = library_run<Real>(c, data);
      from_end.run(context.get());
      for (std::size_t b = 0; b + 1 < data.batch.offsets.size(); ++b) {
        if (data.batch.offsets[b + 1] - data.batch.offsets[b] < 2) continue;
        for (std::size_t u = 0; u < R; ++u)
          ASSERT_LT(std::abs(from_end.results.find("d_initial_hidden")->span()[b * R + u]),
                    16 * std::numeric_limits<Real>::min());
      }
    }
  });
}

}  // namespace
