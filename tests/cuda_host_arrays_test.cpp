// A program that was written for the CPU: every array is the host's, and is copied there and back.
#include <cstddef>
#include <memory>
#include <vector>

#include "support/cuda.h"
#include "support/properties.h"

namespace {

using support::ContextHandle;
using support::must;

struct HostArrays : testing::TestWithParam<const char*> {};

TEST_P(HostArrays, GiveTheSameBits) {
  const support::Case c = support::parse_case(GetParam());
  const ContextHandle context = support::make_context();
  support::in_type(c, [&]<class Real>(Real) {
    support::LibraryRun<Real> staged(c), direct(c);
    {
      const support::HostArrays host;
      staged.run(context.get());
    }
    direct.run(context.get());
    for (const auto& [name, buffer] : direct.results.entries()) {
      EXPECT_TRUE(support::guards_are_whole(name, *staged.results.find(name)));
      EXPECT_TRUE(support::agrees(
          name, support::compare_bits<Real>(staged.results.find(name)->span(), buffer->span())));
    }
  });
}

INSTANTIATE_TEST_SUITE_P(
    Models, HostArrays,
    testing::Values("lstm_f32_n9_h31_len0-23_init_seed3",
                    "grud_f64_n6_d5_h17_len0-19_miss80_nan_times_seed4",
                    "lstm+relax+relax_f32_n7_d2_h12_len0-9_miss60_eo_gap_carry_init_rev_seed5",
                    "gru+none+relax_f32_n7_d2_h12_len0-9_miss40_eo_seed6",
                    "lstm+relax+relax_f64_n7_d2_h12_p5_len0-9_miss60_gap_carry_init_seed7",
                    "gru+decay+decay_f64_n5_d3_h7_len0-9_miss50_delta_seed6",
                    "lstm_f32_n6_d3_h9_len0-9_zone20_zonec30_rdrop40_seed7"),
    support::test_name);

TEST(HostMemory, CannotBeAPlans) {
  const support::HostArrays host;
  const ContextHandle context = support::make_context();
  const support::Case c = support::parse_case("gru_f32_n3_d2_h4_len1-5_seed1");
  const lacuna_layer layer = support::library_layer(c);
  const lacuna_capacity room{10, 3, 0};
  lacuna_plan_info info{};
  must(lacuna_plan_measure(context.get(), &layer, &room, nullptr, &info));
  std::vector<std::byte> memory(info.workspace_bytes + 64);
  void* aligned = memory.data();
  std::size_t space = memory.size();
  lacuna_plan_options options{};
  options.workspace = std::align(64, info.workspace_bytes, aligned, space);
  options.workspace_bytes = info.workspace_bytes;
  lacuna_plan* plan = nullptr;
  EXPECT_TRUE(support::refused(lacuna_plan_create(context.get(), &layer, &room, &options, &plan),
                               LACUNA_INVALID_ARGUMENT, "options.workspace: address"));
}

// What the host can read is checked before anything runs, as on the CPU.
TEST(HostMemory, IsChecked) {
  const support::HostArrays host;
  const ContextHandle context = support::make_context();
  const support::Case c = support::parse_case("grud_f32_n3_d2_h4_len1-5_miss50_seed1");
  support::LibraryRun<float> run(c);
  const auto plan = support::make_plan(context.get(), run.layer(), run.capacity());
  const lacuna_parameters parameters = run.parameters();
  lacuna_batch batch = run.batch();
  const auto* const gaps = static_cast<const float*>(batch.delta_t);
  std::vector<float> wrong(gaps, gaps + batch.tokens);
  wrong[1] = -1;
  batch.delta_t = wrong.data();
  const lacuna_outputs outputs{};
  EXPECT_TRUE(
      support::refused(lacuna_forward(plan.get(), &parameters, &batch, &outputs, nullptr, nullptr),
                       LACUNA_INVALID_ARGUMENT, "batch.delta_t[1]: -1"));
  batch.delta_t = gaps;
  must(lacuna_forward(plan.get(), &parameters, &batch, &outputs, nullptr, nullptr));
}

}  // namespace
