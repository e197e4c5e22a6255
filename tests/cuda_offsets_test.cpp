// Offsets of the device's that break the rules: nobody can refuse them, and they must touch nothing outside the arrays. What
// comes out is what comes of offsets that keep the rules, so that no kernel has read the caller's own.
#include <algorithm>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "support/cuda.h"
#include "support/properties.h"
#include "support/recording.h"

namespace {

using support::ContextHandle;
using support::must;

using Offsets = std::vector<std::int64_t>;

constexpr std::int64_t lowest = std::numeric_limits<std::int64_t>::min(),
                       highest = std::numeric_limits<std::int64_t>::max();

// Of 4 sequences and 20 tokens.
const Offsets broken[] = {{0, 5, 10, 15, 200},
                          {0, 5, 10, 200, 20},
                          {0, 15, 5, 10, 20},
                          {0, -500, 10, 15, 20},
                          {3, 5, 10, 15, 20},
                          {0, 20, 20, 20, 20},
                          {200, 300, 400, 500, 600},
                          {highest, lowest, highest, lowest, highest},
                          {1 << 30, 0, std::int64_t{1} << 40, 5, -1}};

// As bound_offsets says.
Offsets kept_within(const Offsets& given, std::int64_t tokens, std::int64_t max_length) {
  Offsets kept{0};
  std::int64_t before = 0;
  for (std::size_t b = 1; b < given.size(); ++b) {
    const std::int64_t end = std::clamp<std::int64_t>(given[b], 0, tokens);
    const std::int64_t length = std::clamp<std::int64_t>(end - before, 0, max_length);
    kept.push_back(std::min(tokens, kept.back() + length));
    before = end;
  }
  return kept;
}

// Memory of a plan or a tape, of just the size it needs, with what stands around it.
class Guarded {
 public:
  explicit Guarded(std::size_t bytes) : bytes_(bytes), block_(bytes + 2 * around) {
    const std::vector<unsigned char> known(bytes + 2 * around, 0xa5);
    block_.set(known.data(), known.size());
    begin_ = around - reinterpret_cast<std::uintptr_t>(block_.data()) % 64;
  }
  void* data() { return block_.data() + begin_; }
  std::size_t bytes() const { return bytes_; }
  bool is_whole() const {
    const std::vector<unsigned char> now = block_.get();
    for (std::size_t i = 0; i < now.size(); ++i)
      if ((i < begin_ || i >= begin_ + bytes_) && now[i] != 0xa5) return false;
    return true;
  }

 private:
  static constexpr std::size_t around = 4096;
  std::size_t bytes_, begin_ = 0;
  support::Array<unsigned char> block_;
};

template <class Real>
void run_told(lacuna_context* context, support::LibraryRun<Real>& run, const Offsets& offsets,
              std::int64_t max_length) {
  run.offsets_on_device = true;
  run.told_offsets = offsets;
  lacuna_capacity room = run.capacity();
  room.max_length = max_length;
  lacuna_plan_options options{};
  options.regime = support::InRegime::current;
  options.tape = support::InTape::current;
  lacuna_plan_info info{};
  must(lacuna_plan_measure(context, &run.layer(), &room, &options, &info));
  Guarded workspace(info.workspace_bytes), tape_memory(info.tape_bytes);
  options.workspace = workspace.data();
  options.workspace_bytes = workspace.bytes();
  lacuna_plan* plan = nullptr;
  must(lacuna_plan_create(context, &run.layer(), &room, &options, &plan));
  const support::PlanHandle plan_handle(plan);
  lacuna_tape* tape = nullptr;
  must(lacuna_tape_create(plan, tape_memory.data(), tape_memory.bytes(), &tape));
  const support::TapeHandle tape_handle(tape);
  run.forward(plan, tape);
  run.backward(plan, tape);
  EXPECT_TRUE(workspace.is_whole());
  EXPECT_TRUE(tape_memory.is_whole());
  for (const auto& [name, buffer] : run.results.entries())
    EXPECT_TRUE(support::guards_are_whole(name, *buffer));
}

class BrokenOffsets : public testing::TestWithParam<std::tuple<const char*, lacuna_regime>> {};

TEST_P(BrokenOffsets, TouchNothingButTheArrays) {
  const auto [text, asked] = GetParam();
  if (!support::serves(asked)) GTEST_SKIP() << "no clusters here";
  const support::InRegime regime(asked);
  const support::Case c = support::parse_case(text);
  const ContextHandle context = support::make_context();
  support::in_type(c, [&]<class Real>(Real) {
    for (const std::int64_t max_length : {5, 16}) {
      for (const Offsets& offsets : broken) {
        SCOPED_TRACE(testing::PrintToString(offsets));
        support::LibraryRun<Real> run(c), expected(c);
        ASSERT_EQ(run.capacity().tokens, 20);
        run_told(context.get(), run, offsets, max_length);
        run_told(context.get(), expected, kept_within(offsets, 20, max_length), max_length);
        for (const auto& [name, buffer] : expected.results.entries())
          EXPECT_TRUE(support::agrees(
              name, support::compare_bits<Real>(run.results.find(name)->span(), buffer->span())));
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(
    Regimes, BrokenOffsets,
    testing::Combine(
        testing::Values("grud_f32_n4_d3_h9_len5_miss60_carry_init_seed1",
                        "lstm+relax+relax_f32_n4_d2_h12_len5_miss60_eo_gap_carry_init_rev_seed2"),
        testing::Values(LACUNA_REGIME_STEPWISE, LACUNA_REGIME_RESIDENT, LACUNA_REGIME_LONE,
                        LACUNA_REGIME_CLUSTER, LACUNA_REGIME_GRID)));

// What only steps of the host's serve: double, projections, normalised and noisy layers.
INSTANTIATE_TEST_SUITE_P(
    Stepwise, BrokenOffsets,
    testing::Combine(testing::Values("grud_f64_n4_d3_h7_len5_miss60_times_carry_init_seed3",
                                     "lstm_f32_n4_d3_h9_p4_len5_ln_init_seed4",
                                     "lstm_f32_n4_d3_h9_len5_zone20_zonec30_rdrop40_init_seed5"),
                     testing::Values(LACUNA_REGIME_STEPWISE)));

// More than are ranked: a sort, whose order must be of all sequences whatever their lengths.
TEST(BrokenOffsets, OfManySequencesTouchNothingButTheArrays) {
  const support::InRegime regime(LACUNA_REGIME_STEPWISE);
  const support::Case c = support::parse_case("rnn_tanh_f32_n4200_d1_h1_len1_seed3");
  const ContextHandle context = support::make_context();
  support::LibraryRun<float> run(c), expected(c);
  Offsets offsets;
  for (std::int64_t b = 0; b <= 4200; ++b)
    offsets.push_back(b % 7 == 3 ? highest - b : b % 7 == 5 ? -b : b * 3);
  run_told(context.get(), run, offsets, 2);
  run_told(context.get(), expected, kept_within(offsets, 4200, 2), 2);
  for (const auto& [name, buffer] : expected.results.entries())
    EXPECT_TRUE(support::agrees(
        name, support::compare_bits<float>(run.results.find(name)->span(), buffer->span())));
}

}  // namespace
