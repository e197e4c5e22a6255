// Bitwise repeatability: the same bits again, on any number of threads, and with another kernel's
// leftovers in workspace and tape; for weight gradients summed window by window and in one pass.
#include <algorithm>
#include <cstring>

#include "host/plan/layout.h"
#include "support/properties.h"

namespace {

using support::Case;
using support::in_type;
using support::LibraryRun;

struct Shape {
  const char* text;
  std::int64_t room_for_sequences;  // of the plan: groups come from it
  bool windowed;                    // how its weight gradients are summed
};

// With room for 512 sequences there are 16 groups, and the weights of 160 to 256 units make sums too
// large to be kept for each of them.
const Shape shapes[] = {
    {"grud_f32_n23_d5_h13_len0-19_miss80_seed1", 0, true},
    {"lstm+relax+relax_f64_n40_d3_h9_len0-9_miss60_eo_seed2", 0, true},
    {"gru_f32_n70_d7_h34_len0-9+50_seed3", 0, true},
    {"rnn_euler+decay+decay_step_f64_n9_d3_h70_len0-9_miss50_rev_seed4", 0, true},
    {"gru_reset_before+mean+decay_f32_n600_d3_h5_len0-3_miss50_seed5", 0, true},
    {"lstm_decay_f32_n70_d3_h21_len0-9_miss50_zone20_zonec30_rdrop20_seed10", 0, true},
    {"lstm+relax+relax_f32_n40_d3_h19_p5_len0-9_miss60_eo_seed10", 0, true},
    {"lstm_f32_n19_d7_h260_len0-4_seed6", 512, false},
    {"lstm_f64_n19_d7_h260_p100_len0-4_seed11", 512, false},
    {"gru_f64_n19_d5_h220_len0-4+600_seed7", 512, false},
    {"grud_f32_n19_d9_h310_len0-4_miss70_seed8", 512, false},
    {"rnn_decay_f64_n17_d3_h380_len0-3_miss50_seed9", 512, false},
    {"grud_f32_n19_d9_h310_len0-4_miss70_zone30_rdrop40_seed11", 512, false},
    {"lstm_f32_n40_d7_h37_len0-19_ln_seed10", 0, true},
    {"grud_f64_n70_d5_h20_len0-9+50_miss70_ln_seed11", 0, true},
    {"gru_f32_n19_d7_h260_len0-4_ln_seed12", 512, false},
};

class RepeatabilityOnThreads : public testing::TestWithParam<Shape> {
 protected:
  template <class Real>
  LibraryRun<Real> run(int threads, bool dirty = false) const {
    const auto context = support::make_context(threads);
    LibraryRun<Real> run(c);
    lacuna_capacity room = run.capacity();
    room.sequences = std::max(room.sequences, GetParam().room_for_sequences);
    EXPECT_EQ(lacuna::make_layout(run.layer(), room, false, threads).windowed, GetParam().windowed);
    if (dirty) leave_traces<Real>(context.get(), room);
    run.run(context.get(), room);
    return run;
  }

  // Blocks of the pool that hold NaN, and a team that has worked.
  template <class Real>
  void leave_traces(lacuna_context* context, const lacuna_capacity& room) const {
    LibraryRun<Real> other(c);
    const auto plan = support::make_plan(context, other.layer(), room);
    lacuna_plan_info info{};
    support::must(lacuna_plan_query(plan.get(), &info));
    const auto fill = [](std::size_t bytes) {
      auto* memory =
          static_cast<unsigned char*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64 + 64));
      std::memset(memory, 0xff, bytes);
      return memory;
    };
    unsigned char *workspace = fill(info.workspace_bytes), *memory = fill(info.tape_bytes);
    {
      lacuna_plan_options options{};
      options.workspace = workspace;
      options.workspace_bytes = info.workspace_bytes;
      lacuna_plan* own = nullptr;
      lacuna_tape* tape = nullptr;
      support::must(lacuna_plan_create(context, &other.layer(), &room, &options, &own));
      const support::PlanHandle plan_owner(own);
      support::must(lacuna_tape_create(own, memory, info.tape_bytes, &tape));
      const support::TapeHandle tape_owner(tape);
      other.forward(own, tape);
      other.backward(own, tape);
      LibraryRun<Real> clean(c);
      const auto clean_tape = support::make_tape(plan.get());
      clean.forward(plan.get(), clean_tape.get());
      clean.backward(plan.get(), clean_tape.get());
      support::expect_same_bits(other, clean);
    }
    std::free(workspace);
    std::free(memory);
  }

  Case c = support::parse_case(GetParam().text);
};

TEST_P(RepeatabilityOnThreads, SameBitsAtAnyNumberOfThreads) {
  in_type(c, [&]<class Real>(Real) {
    const auto expected = run<Real>(1);
    for (const int threads : {1, 2, 3, 5, 8}) {
      SCOPED_TRACE(threads);
      support::expect_same_bits(run<Real>(threads), expected);
    }
  });
}

TEST_P(RepeatabilityOnThreads, SameBitsWhateverTheMemoryHeldBefore) {
  in_type(c,
          [&]<class Real>(Real) { support::expect_same_bits(run<Real>(3, true), run<Real>(2)); });
}

INSTANTIATE_TEST_SUITE_P(Shapes, RepeatabilityOnThreads, testing::ValuesIn(shapes),
                         [](const testing::TestParamInfo<Shape>& info) {
                           return support::test_name({info.param.text, info.index});
                         });

}  // namespace
