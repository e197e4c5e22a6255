// A sequence's results do not depend on its company: not on the order of the batch, not on who else
// is in it, not on how large a plan it runs in.
#include <algorithm>
#include <numeric>

#include "support/properties.h"
#include "support/random.h"

namespace {

using support::Case;
using support::Data;
using support::in_type;
using support::library_run;
using support::Per;
using support::Selection;

// In the regime that a plan of the whole batch takes: by another a sequence has the same but for rounding.
struct Company : support::PropertyTest {
  static lacuna_regime regime_of(const Case& c) {
    lacuna_plan_info info{};
    in_type(c, [&]<class Real>(Real) {
      const Data data(c);
      const auto run = library_run<Real>(c, data);
      const auto context = support::make_context();
      support::must(lacuna_plan_query(
          support::make_plan(context.get(), run.layer(), run.capacity()).get(), &info));
    });
    return info.regime;
  }
  support::InRegime regime{regime_of(c)};
};

INSTANTIATE_TEST_SUITE_P(Each, Company, testing::ValuesIn(support::property_cases),
                         support::test_name);

Selection of_sequences(const reference::Batch& batch, const std::vector<std::int64_t>& sequences) {
  Selection which;
  for (const std::int64_t b : sequences) {
    const auto at = static_cast<std::size_t>(b);
    which.add(b, batch.offsets[at], batch.offsets[at + 1]);
  }
  return which;
}

std::vector<std::int64_t> shuffled(std::int64_t count, std::uint64_t seed) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  support::Random random(seed);
  for (std::int64_t i = count - 1; i > 0; --i)
    std::swap(order[static_cast<std::size_t>(i)],
              order[static_cast<std::size_t>(random.below(i + 1))]);
  return order;
}

// Rows of tokens and sequences are what they are in the whole batch, to the bit where neither sizes nor places decide;
// parameters' gradients, where `sums` asks for them, are the same but for rounding.
template <class Real>
void expect_rows(const Case& c, const support::LibraryRun<Real>& part,
                 const support::LibraryRun<Real>& whole, const Selection& which,
                 const reference::Batch& batch, bool sums) {
  const auto are_same = [&](const std::string& name, const auto& result, const auto& expected) {
    return support::are_alike(c, name, batch.tokens(), result, expected);
  };
  for (const auto& [name, buffer] : part.results.entries()) {
    EXPECT_TRUE(support::guards_are_whole(name, *buffer));
    const std::vector<Real> all = whole.results.find(name)->vector(), result = buffer->vector();
    switch (support::rows_of(name)) {
      case Per::token:
        EXPECT_TRUE(are_same(name, result, support::pick(all, which.tokens, batch.tokens())));
        break;
      case Per::sequence:
        EXPECT_TRUE(are_same(name, result, support::pick(all, which.sequences, batch.sequences())));
        break;
      case Per::parameter:
        if (sums) {
          EXPECT_TRUE(support::are_close(c, name, batch.tokens(), result, all));
        }
    }
  }
}

TEST_P(Company, OrderOfTheBatchChangesNothing) {
  const Data data(c);
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    auto order = shuffled(data.batch.sequences(), seed);
    if (seed == 0) std::reverse(order.begin(), order.end());
    const Selection which = of_sequences(data.batch, order);
    const Data permuted = support::select(data, which);
    in_type(c, [&]<class Real>(Real) {
      for (const lacuna_isa isa : support::instruction_sets()) {
        SCOPED_TRACE("isa " + std::to_string(isa));
        const auto context = support::make_context(2, isa);
        auto whole = library_run<Real>(c, data), part = library_run<Real>(c, permuted);
        whole.run(context.get());
        part.run(context.get());
        expect_rows(c, part, whole, which, data.batch, true);
      }
    });
  }
}

TEST_P(Company, ASequenceAloneGivesWhatItGivesAmongOthers) {
  c.layer.reverse = true;
  const Data data(c);
  in_type(c, [&]<class Real>(Real) {
    const auto context = support::make_context();
    auto whole = library_run<Real>(c, data);
    whole.run(context.get());
    for (std::int64_t b = 0; b < std::min<std::int64_t>(data.batch.sequences(), 7); ++b) {
      const Selection which = of_sequences(data.batch, {b});
      auto alone = library_run<Real>(c, support::select(data, which));
      alone.run(context.get());
      expect_rows(c, alone, whole, which, data.batch, false);
    }
  });
}

// How sums are split over groups depends on the capacity, and nothing else does. One plan and one
// tape serve batches of any size below it, one after the other.
TEST_P(Company, APlanOfAnyCapacityGivesTheSame) {
  const Data data(c);
  const std::int64_t n = data.batch.tokens(), b = data.batch.sequences();
  auto half = shuffled(b, 5);
  half.resize(half.size() / 2);
  const Selection whole_again = of_sequences(data.batch, [&] {
    std::vector<std::int64_t> all(static_cast<std::size_t>(b));
    std::iota(all.begin(), all.end(), std::int64_t{0});
    return all;
  }());
  const Selection some = of_sequences(data.batch, half);
  in_type(c, [&]<class Real>(Real) {
    const auto context = support::make_context(3);
    auto exact = library_run<Real>(c, data);
    exact.run(context.get());
    const lacuna_capacity capacities[] = {{n, b + 1, 0}, {n + 1000, 8 * b + 9, 0}, {3 * n, 700, 0}};
    for (const lacuna_capacity& capacity : capacities) {
      const auto plan = support::make_plan(context.get(), exact.layer(), capacity);
      const auto tape = support::make_tape(plan.get());
      for (const Selection* which : {&whole_again, &some, &whole_again}) {
        auto run = library_run<Real>(c, support::select(data, *which));
        run.forward(plan.get(), tape.get());
        run.backward(plan.get(), tape.get());
        expect_rows(c, run, exact, *which, data.batch, which == &whole_again);
      }
    }
  });
}

}  // namespace
