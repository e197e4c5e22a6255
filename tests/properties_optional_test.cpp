// What is asked for does not change what is computed: any subset of outputs and gradients, frozen
// parameters, gradients that come in at the end alone, inference, a second backward run.
#include <cmath>
#include <vector>

#include "support/properties.h"
#include "support/random.h"

namespace {

using support::Data;
using support::in_type;
using support::library_run;
using support::LibraryRun;
using support::Per;

struct Optional : support::PropertyTest {};

INSTANTIATE_TEST_SUITE_P(Each, Optional, testing::ValuesIn(support::property_cases),
                         support::test_name);

// How many columns are summed together decides where the CUDA backend cuts their sums over tokens.
template <class Real>
void expect_alike(const support::Case& c, const LibraryRun<Real>& some,
                  const LibraryRun<Real>& all) {
  support::expect_each(
      some, all, [&](const std::string& name, const auto& result, const auto& expected) {
        return support::on_cpu || support::rows_of(name) != Per::parameter
                   ? support::are_same_bits(name, result, expected)
                   : support::are_close(c, name, all.capacity().tokens, result, expected);
      });
}

TEST_P(Optional, ASubsetOfOutputsAndGradientsIsThatOfAll) {
  c.times = c.seed % 2;
  in_type(c, [&]<class Real>(Real) {
    const auto context = support::make_context();
    LibraryRun<Real> all(c);
    all.run(context.get());
    support::Random random(c.seed);
    for (const double chance : {0.1, 0.5, 0.5, 0.5, 0.5, 0.9}) {
      LibraryRun<Real> some(c);
      some.wanted = [&](const std::string&) { return random.chance(chance); };
      some.run(context.get());
      expect_alike(c, some, all);
    }
  });
}

TEST_P(Optional, OneAloneIsThatOfAll) {
  in_type(c, [&]<class Real>(Real) {
    const auto context = support::make_context();
    LibraryRun<Real> all(c);
    all.run(context.get());
    for (const auto& entry : all.results.entries()) {
      LibraryRun<Real> one(c);
      one.wanted = [&](const std::string& name) { return name == entry.first; };
      one.run(context.get());
      EXPECT_EQ(one.results.entries().size(), 1u);
      expect_alike(c, one, all);
    }
  });
}

// A gradient that is not given counts as zero, and zero changes no bit.
TEST_P(Optional, AMissingGradientIsOneOfZeros) {
  const auto context = support::make_context();
  for (int missing = 1; missing < 16; ++missing) {
    Data zeros(c), none(c);
    int bit = 0;
    for (auto member : {&reference::Upstream::d_hidden, &reference::Upstream::d_cell,
                        &reference::Upstream::d_final_hidden, &reference::Upstream::d_final_cell}) {
      if (!((missing >> bit++) & 1)) continue;
      (zeros.upstream.*member).assign((zeros.upstream.*member).size(), 0);
      (none.upstream.*member).clear();
    }
    in_type(c, [&]<class Real>(Real) {
      auto expected = library_run<Real>(c, zeros), result = library_run<Real>(c, none);
      expected.run(context.get());
      result.run(context.get());
      for (const auto& [name, buffer] : result.results.entries()) {
        std::vector<Real> bits = buffer->vector(), others = expected.results.find(name)->vector();
        for (auto* array : {&bits, &others})
          for (Real& element : *array) element += Real(0);  // -0 + 0 = 0: signs of zero may differ
        EXPECT_TRUE(support::are_same_bits(name, bits, others));
      }
    });
  }
}

TEST_P(Optional, ParameterGradientsAddUpAndOthersAreWritten) {
  in_type(c, [&]<class Real>(Real) {
    const auto context = support::make_context(2);
    LibraryRun<Real> first(c);
    const auto plan = support::make_plan(context.get(), first.layer(), first.capacity());
    const auto tape = support::make_tape(plan.get());
    first.forward(plan.get(), tape.get());
    first.backward(plan.get(), tape.get());
    // A power of two far above the sums' rounding errors, which are lost in its own.
    const Real start = Real(0.5);
    LibraryRun<Real> again(c), added(c);
    again.backward(plan.get(), tape.get());
    added.backward(plan.get(), tape.get(), start);
    support::expect_same_bits(again, first);
    for (const auto& [name, buffer] : added.results.entries()) {
      std::vector<Real> expected = first.results.find(name)->vector();
      if (support::rows_of(name) != Per::parameter) {
        EXPECT_TRUE(support::are_same_bits(name, buffer->vector(), expected));
        continue;
      }
      // One addition at the end, so one rounding: exactly start + sum.
      for (Real& element : expected) element += start;
      EXPECT_TRUE(support::are_close(c, name, 1, buffer->vector(), expected));
    }
  });
}

TEST_P(Optional, InferenceGivesTheBitsOfTraining) {
  if (support::draws(c)) GTEST_SKIP() << "what training draws, inference does not";
  for (const bool reverse : {false, true}) {
    c.layer.reverse = reverse;
    in_type(c, [&]<class Real>(Real) {
      for (const lacuna_isa isa : support::instruction_sets()) {
        const auto context = support::make_context(2, isa);
        LibraryRun<Real> training(c), no_tape(c), inference(c);
        support::expect_bits_of_training(context.get(), training, no_tape, inference);
      }
    });
  }
}

// As a program asks that has no use for any token's.
TEST_P(Optional, FinalStatesAloneHaveTheBitsOfAll) {
  if (support::draws(c)) GTEST_SKIP() << "what training draws, inference does not";
  in_type(c, [&]<class Real>(Real) {
    const auto context = support::make_context();
    LibraryRun<Real> all(c), alone(c);
    all.run(context.get());
    alone.wanted = [](const std::string& name) { return name.starts_with("final"); };
    const auto plan = support::make_plan(context.get(), alone.layer(), alone.capacity(), true);
    alone.forward(plan.get(), nullptr);
    support::expect_same_bits(alone, all);
  });
}

// The tape is read by every backward run and written by none, whatever else its plan has done.
TEST_P(Optional, BackwardRunsAgainFromTheSameTape) {
  in_type(c, [&]<class Real>(Real) {
    const auto context = support::make_context();
    LibraryRun<Real> first(c);
    lacuna_plan_info info{};
    const auto plan = support::make_plan(context.get(), first.layer(), first.capacity());
    support::must(lacuna_plan_query(plan.get(), &info));
    support::GuardedBuffer<unsigned char> memory(info.tape_bytes);
    support::Mirror mirror;
    lacuna_tape* tape = nullptr;
    support::must(lacuna_tape_create(plan.get(), mirror.out(memory), memory.size(), &tape));
    const support::TapeHandle owner(tape);
    first.forward(plan.get(), tape);
    mirror.bring_back();
    const auto written = memory.vector();
    first.backward(plan.get(), tape);
    mirror.bring_back();
    EXPECT_EQ(memory.vector(), written);
    LibraryRun<Real> between(c);  // the workspace sees a forward run without a tape in between
    between.forward(plan.get(), nullptr);
    LibraryRun<Real> second(c);
    second.backward(plan.get(), tape);
    support::expect_same_bits(second, first);
    const auto other = support::make_plan(context.get(), first.layer(), first.capacity());
    LibraryRun<Real> elsewhere(c);
    elsewhere.backward(other.get(), tape);
    support::expect_same_bits(elsewhere, first);
    EXPECT_TRUE(support::guards_are_whole("tape", memory));
  });
}

// Both exactly as large as the plan says, poisoned, between guards.
TEST_P(Optional, TapeAndWorkspaceAreAsLargeAsReported) {
  in_type(c, [&]<class Real>(Real) {
    for (const lacuna_isa isa : support::instruction_sets()) {
      for (const int threads : support::on_cpu ? std::vector{1, 3} : std::vector{1}) {
        const auto context = support::make_context(threads, isa);
        LibraryRun<Real> expected(c), result(c);
        expected.run(context.get());
        const lacuna_capacity room = result.capacity();
        lacuna_plan_info info{}, smaller{};
        support::must(lacuna_plan_measure(context.get(), &result.layer(), &room, nullptr, &info));
        lacuna_plan_options options{};
        support::GuardedBuffer<unsigned char> workspace(info.workspace_bytes),
            memory(info.tape_bytes);
        std::memset(workspace.data(), 0xff, workspace.size());  // NaN in either type
        std::memset(memory.data(), 0xff, memory.size());
        support::Mirror mirror;
        options.workspace = mirror.out(workspace);
        options.workspace_bytes = workspace.size();
        lacuna_plan* plan = nullptr;
        support::must(lacuna_plan_create(context.get(), &result.layer(), &room, &options, &plan));
        const support::PlanHandle plan_owner(plan);
        lacuna_tape* tape = nullptr;
        support::must(lacuna_tape_create(plan, mirror.out(memory), memory.size(), &tape));
        const support::TapeHandle tape_owner(tape);
        result.forward(plan, tape);
        result.backward(plan, tape);
        support::expect_same_bits(result, expected);

        options = {};
        options.inference = 1;
        support::must(
            lacuna_plan_measure(context.get(), &result.layer(), &room, &options, &smaller));
        support::GuardedBuffer<unsigned char> small(smaller.workspace_bytes);
        std::memset(small.data(), 0xff, small.size());
        options.workspace = mirror.out(small);
        options.workspace_bytes = small.size();
        support::must(lacuna_plan_create(context.get(), &result.layer(), &room, &options, &plan));
        const support::PlanHandle inference_owner(plan);
        LibraryRun<Real> inference(c);
        inference.forward(plan, nullptr);
        if (!support::draws(c)) support::expect_same_bits(inference, expected);
        mirror.bring_back();
        EXPECT_TRUE(support::guards_are_whole("workspace", workspace));
        EXPECT_TRUE(support::guards_are_whole("tape", memory));
        EXPECT_TRUE(support::guards_are_whole("inference workspace", small));
      }
    }
  });
}

}  // namespace
