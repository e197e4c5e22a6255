// The model of a step's time, by which plans choose their regime, and the table of chips it has been measured on.
#include "host/cuda/step_cost.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <tuple>

#include "host/cuda/explain.h"
#include "host/cuda/measured_chips.h"
#include "host/cuda/regime.h"
#include "kernels/recurrence/split/division.h"

namespace {

using lacuna::cuda::limits_of;
using lacuna::cuda::lone_blocks_at_once;
using lacuna::cuda::lone_step;
using lacuna::cuda::Machine;
using lacuna::cuda::StepCost;
using lacuna::cuda::StepShape;
using lacuna::cuda::stepwise_step;
using lacuna::cuda::tile_step;
using lacuna::split::division_of;

constexpr Machine h100{.multiprocessors = 132, .gigahertz = 1.755};

StepShape lstm(std::int64_t hidden) {
  return {.hidden = hidden, .matrices = 4, .operand_bytes = 2, .kept = 6};
}

TEST(StepCost, IsWhatItsPartsAddUpTo) {
  // A cluster of 4 for 256 units: a block's 8 warps have 8 fragments of each of 4 matrices, 256 in all, 64 to a tensor
  // core; two fragments of each lie in shared memory, 512 bytes each, and each of 8 is multiplied with 256 bytes of state.
  // A quarter of the product is hidden by the arrival of the others' 192 units.
  const double cycle = 1e-3 / 1.755, tensor = 64 * 6.3,
               shared = 8 * (2 * 4 * 512.0 + 8 * 256) / 128, received = 8 * 192 * 2 / 32.0;
  const double arrival = 0.2 + cycle * received;
  const StepCost step = tile_step(lstm(256), LACUNA_REGIME_CLUSTER, division_of(256, 4), h100);
  EXPECT_NEAR(step.us, 0.1 + arrival + 0.75 * cycle * std::max(tensor, shared), 1e-9);
  // Whatever constants say: a hop, a product, two nonlinearities one behind the other.
  EXPECT_NEAR(step.floor_us, 0.2 + cycle * (25 + 2 * (18 + 4) + 4), 1e-9);
  // A launch, a fill, and 64 rows of 256 of each matrix through a multiprocessor's part of the second-level cache.
  EXPECT_NEAR(step.start_us, 2.7 + 5 + 4 * 64 * 256 * 2 / (5500e3 / 132), 1e-9);
}

// Estimates on paper of an LSTM's step in 2-byte types, which add up what the floor takes the longest of.
TEST(StepCost, FloorsAreThoseThatPhysicsGives) {
  const auto expect_near = [](double floor_us, double estimate_us, const char* what) {
    EXPECT_LT(floor_us, 1.1 * estimate_us) << what;
    EXPECT_GT(floor_us, estimate_us / 2.5) << what;
  };
  const auto tile = [](std::int64_t hidden, lacuna_regime regime, int blocks) {
    return tile_step(lstm(hidden), regime, division_of(hidden, blocks), h100).floor_us;
  };
  expect_near(tile(64, LACUNA_REGIME_RESIDENT, 1), 0.16, "64 units");
  expect_near(tile(128, LACUNA_REGIME_RESIDENT, 1), 0.26, "128 units");
  expect_near(tile(256, LACUNA_REGIME_CLUSTER, 8), 0.33, "256 units");
  expect_near(tile(512, LACUNA_REGIME_CLUSTER, 16), 0.41, "512 units");
  expect_near(tile(1024, LACUNA_REGIME_GRID, 64), 1.0, "1,024 units");
  expect_near(lone_step(lstm(64), 1, h100).floor_us, 0.16, "64 units, alone");
}

TEST(StepCost, FloorsDependOnHardwareAlone) {
  Machine slow = h100, ampere = h100;
  slow.constants = {.mma_cycles = 90,
                    .shared_bytes = 9,
                    .remote_bytes = 1,
                    .gates_us = 9,
                    .lone_gates = 9,
                    .store_hop_us = 9,
                    .flag_hop_us = 9,
                    .launch_us = 9,
                    .cache_bytes = 1e3};
  ampere.limits = limits_of(80);
  const auto resident = [](const Machine& machine, std::int64_t hidden) {
    return tile_step(lstm(hidden), LACUNA_REGIME_RESIDENT, division_of(hidden, 1), machine);
  };
  EXPECT_EQ(resident(slow, 128).floor_us, resident(h100, 128).floor_us);
  EXPECT_EQ(lone_step(lstm(128), 1, slow).floor_us, lone_step(lstm(128), 1, h100).floor_us);
  EXPECT_EQ(stepwise_step(lstm(128), 64, slow).floor_us,
            stepwise_step(lstm(128), 64, h100).floor_us);
  for (const lacuna_regime regime : {LACUNA_REGIME_CLUSTER, LACUNA_REGIME_GRID})
    EXPECT_EQ(tile_step(lstm(256), regime, division_of(256, 4), slow).floor_us,
              tile_step(lstm(256), regime, division_of(256, 4), h100).floor_us);
  // 256 fragments of 128 units for four tensor cores, in 4 cycles each on an H100, in 8 on an A100.
  EXPECT_NEAR(resident(h100, 128).floor_us, 1e-3 / 1.755 * 256, 1e-9);
  EXPECT_NEAR(resident(ampere, 128).floor_us, 1e-3 / 1.755 * 512, 1e-9);
}

TEST(StepCost, OfAnExchangeIsNothingWhileTheOwnSliceTakesLonger) {
  const auto step_by = [](int blocks, lacuna_regime regime) {
    return tile_step(lstm(256), regime, division_of(256, blocks), h100).us;
  };
  EXPECT_DOUBLE_EQ(step_by(2, LACUNA_REGIME_CLUSTER), step_by(2, LACUNA_REGIME_RESIDENT));
  EXPECT_GT(step_by(8, LACUNA_REGIME_CLUSTER), step_by(8, LACUNA_REGIME_RESIDENT));
}

TEST(StepCost, IsNotBelowItsFloor) {
  for (const std::int64_t hidden : {1, 100, 129, 300, 512, 1024})
    for (const int blocks : {2, 4, 8, 16, 32}) {
      const auto division = division_of(hidden, blocks);
      for (const lacuna_regime regime : {LACUNA_REGIME_CLUSTER, LACUNA_REGIME_GRID}) {
        const StepCost step = tile_step(lstm(hidden), regime, division, h100);
        EXPECT_LE(step.floor_us, step.us) << hidden << " by " << blocks;
      }
      const StepCost step = stepwise_step(lstm(hidden), 8, h100);
      EXPECT_LE(step.floor_us, step.us);
    }
}

TEST(StepCost, FlagsCostMoreThanStores) {
  const auto division = division_of(300, 8);
  EXPECT_LT(tile_step(lstm(300), LACUNA_REGIME_CLUSTER, division, h100).us,
            tile_step(lstm(300), LACUNA_REGIME_GRID, division, h100).us);
  StepShape resets = lstm(300);
  resets.exchanges = 2;
  EXPECT_GE(tile_step(resets, LACUNA_REGIME_GRID, division, h100).floor_us,
            tile_step(lstm(300), LACUNA_REGIME_GRID, division, h100).floor_us + 0.65);
}

TEST(StepCost, OfLoneLanesIsGatesAndWhatTheirMultiprocessorMultiplies) {
  // 4 matrices of 64 by 64 by 128 multipliers: 128 cycles, which blocks that share them add up.
  const double cycle = 1e-3 / 1.755, gates = 0.35 * 0.1;
  EXPECT_NEAR(lone_step(lstm(64), 1, h100).us, gates + cycle * 128, 1e-9);
  EXPECT_NEAR(lone_step(lstm(64), 2, h100).us, gates + cycle * 256, 1e-9);
  EXPECT_NEAR(lone_step(lstm(60), 2, h100).floor_us, cycle * 2 * 4 * 60 * 60 / 128, 1e-9);
  EXPECT_LE(lone_step(lstm(60), 1, h100).floor_us, lone_step(lstm(60), 1, h100).us);
  // What registers do not hold of 128 by 128 comes from shared memory, 28 of 64 columns of 4 matrices for 256 threads, and so
  // does the state, 16 bytes for two threads: as floats it takes longer than the product.
  StepShape floats = lstm(128);
  floats.operand_bytes = 4;
  EXPECT_NEAR(lone_step(floats, 1, h100).us,
              gates + cycle * (28 * 4 * 256 * 4 + 2 * 128 * 128) / 128, 1e-9);
  EXPECT_NEAR(lone_step(lstm(128), 1, h100).us,
              gates + cycle * (28 * 4 * 256 * 2 + 2 * 128 * 128) / 128, 1e-9);
  // Kernels that do not know the size hold 32 columns.
  floats.hidden = 112;
  EXPECT_NEAR(lone_step(floats, 1, h100).us,
              gates + cycle * (24 * 4 * 224 * 4 + 2 * 112 * 112) / 128, 1e-9);
  StepShape rnn = lstm(128);
  rnn.matrices = 1;
  EXPECT_NEAR(lone_step(rnn, 1, h100).us, gates + cycle * 2 * 128 * 128 / 128, 1e-9);
  // An A100 has half the multipliers.
  Machine fewer = h100;
  fewer.limits = limits_of(80);
  EXPECT_NEAR(lone_step(lstm(64), 1, fewer).us, gates + cycle * 256, 1e-9);
  for (const int capability : {0, 86, 89, 90, 100})
    EXPECT_EQ(limits_of(capability).multipliers, h100.limits.multipliers) << capability;
}

TEST(StepCost, AsManyLoneLanesShareAMultiprocessorAsItsRegistersHold) {
  EXPECT_EQ(lone_blocks_at_once(16), 8);
  EXPECT_EQ(lone_blocks_at_once(64), 2);
  EXPECT_EQ(lone_blocks_at_once(80), 1);
  EXPECT_EQ(lone_blocks_at_once(128), 1);
}

// Tensor cores' full rates, by data sheets.
TEST(StepCost, LimitsAreThoseOfTheArchitecture) {
  for (const auto& [capability, cycles] :
       {std::pair{80, 8}, {86, 16}, {89, 16}, {90, 4}, {100, 2}, {120, 16}})
    EXPECT_EQ(limits_of(capability).mma_cycles, cycles) << capability;
}

// cuBLASLt multiplies floats by multiply-adds, and no batch is quicker than all multipliers of the chip.
TEST(StepCost, OfPlainProductsIsWhatAllMultipliersTake) {
  StepShape floats = lstm(512);
  floats.operand_bytes = 4;
  floats.plain = true;
  const double peak = 1e-3 / 1.755 / (132 * 128.0) * 4096 * 4 * 512 * 512;
  const StepCost large = stepwise_step(floats, 4096, h100);
  EXPECT_NEAR(large.us, 2 * 2.7 + peak, 1e-9 * peak);
  EXPECT_NEAR(large.floor_us, peak, 1e-9 * peak);
  Machine ampere = h100;
  ampere.limits = limits_of(80);
  EXPECT_NEAR(stepwise_step(floats, 4096, ampere).floor_us, 2 * peak, 1e-9 * peak);
  // Of few rows it is W_h on its way.
  EXPECT_NEAR(stepwise_step(floats, 1, h100).us, 2 * 2.7 + 4 * 4 * 512 * 512 / 5500e3, 1e-9);
}

TEST(StepCost, OfProductsGrowsWithTheBatch) {
  EXPECT_LT(stepwise_step(lstm(512), 8, h100).us, stepwise_step(lstm(512), 10'000, h100).us);
  EXPECT_GT(stepwise_step(lstm(8), 1, h100).us, 2 * 2.7);
}

// ---- The constants ----

using lacuna::cuda::constants_of;
using lacuna::cuda::MeasuredChip;
using lacuna::cuda::StepConstants;

TEST(Constants, AreThoseOfTheChipOrTheDefaults) {
  const StepConstants slow{.mma_cycles = 9,
                           .shared_bytes = 90,
                           .remote_bytes = 20,
                           .gates_us = 0.5,
                           .lone_gates = 0.5,
                           .store_hop_us = 0.5,
                           .flag_hop_us = 1,
                           .launch_us = 5,
                           .cache_bytes = 4e6};
  StepConstants older = slow;
  older.lone_gates = StepConstants{}.lone_gates;
  const std::array<MeasuredChip, 2> chips{MeasuredChip{"A", 90, 132, "abc", slow},
                                          MeasuredChip{"B", 90, 114, "def", older}};
  EXPECT_EQ(constants_of(90, 132, chips).constants, slow);
  EXPECT_EQ(constants_of(90, 132, chips).source, "measured on A at commit abc");
  EXPECT_EQ(constants_of(90, 114, chips).source, "measured on B at commit def, but for lone_gates");
  EXPECT_TRUE(constants_of(90, 132, chips).measured);
  // Of no GPU, and where nothing was measured.
  for (const auto& none : {constants_of(0, 132, chips), constants_of(90, 132, {})}) {
    EXPECT_EQ(none.constants, StepConstants{});
    EXPECT_FALSE(none.measured);
    EXPECT_NE(none.source.find("defaults"), std::string::npos);
  }
}

TEST(Constants, OfAChipThatWasNotMeasuredAreTheNearestOnes) {
  const StepConstants slow{.mma_cycles = 9, .lone_gates = 0.5}, quick{.mma_cycles = 5};
  const std::array<MeasuredChip, 3> chips{MeasuredChip{"A", 80, 108, "abc", slow},
                                          MeasuredChip{"B", 90, 132, "def", quick},
                                          MeasuredChip{"C", 90, 78, "ghi", slow}};
  for (const auto& [capability, multiprocessors, nearest] :
       {std::tuple{90, 114, "B"}, {90, 80, "C"}, {80, 124, "A"}, {100, 140, "B"}, {89, 58, "C"}}) {
    const auto found = constants_of(capability, multiprocessors, chips);
    EXPECT_FALSE(found.measured);
    EXPECT_TRUE(found.source.starts_with(std::string("measured on ") + nearest + " at commit"))
        << capability << ' ' << multiprocessors << ": " << found.source;
    EXPECT_NE(found.source.find(", not on this chip"), std::string::npos);
    EXPECT_EQ(found.constants, nearest == std::string("B") ? quick : slow);
  }
}

// What an H100 would choose for an LSTM in bf16, if its constants were these.
lacuna::DeviceLayout chosen_by(const StepConstants& constants, std::int64_t hidden = 256,
                               bool measured = true) {
  const lacuna_layer layer{
      .cell = LACUNA_LSTM, .type = LACUNA_BF16, .features = 1, .hidden = hidden};
  const lacuna_capacity capacity{.tokens = 800, .sequences = 8};
  const lacuna::cuda::DeviceFacts facts{.multiprocessors = 132,
                                        .shared_bytes = 227 * 1024,
                                        .gigahertz = 1.755,
                                        .clusters = {66, 33, 16, 8},
                                        .costs = {constants, measured, "of a test"}};
  lacuna::DeviceLayout lay;
  lacuna::cuda::choose_regime(lay, layer, capacity, {}, /*sharers*/ 1, facts);
  return lay;
}

TEST(Constants, DecideTheChoice) {
  EXPECT_EQ(chosen_by({}).regime, LACUNA_REGIME_CLUSTER);
  EXPECT_EQ(chosen_by({}).constants, "of a test");
  EXPECT_EQ(chosen_by({.store_hop_us = 1}).regime, LACUNA_REGIME_GRID);
  EXPECT_EQ(chosen_by({.store_hop_us = 9, .flag_hop_us = 9}).regime, LACUNA_REGIME_STEPWISE);
  const StepConstants slow_blocks{.mma_cycles = 60, .lone_gates = 90};
  EXPECT_EQ(chosen_by(slow_blocks, 128).regime, LACUNA_REGIME_CLUSTER);
  EXPECT_EQ(chosen_by(slow_blocks, 128, false).regime, LACUNA_REGIME_RESIDENT);
  EXPECT_EQ(chosen_by({.mma_cycles = 60, .lone_gates = 0.3}, 128).regime, LACUNA_REGIME_LONE);
  EXPECT_EQ(chosen_by({.mma_cycles = 60}, 128, false).regime, LACUNA_REGIME_LONE);
  EXPECT_EQ(chosen_by({.lone_gates = 90, .store_hop_us = 9, .flag_hop_us = 9}, 128).regime,
            LACUNA_REGIME_RESIDENT);
  EXPECT_GT(chosen_by({.mma_cycles = 60}).blocks, chosen_by({.mma_cycles = 1}).blocks);
}

// ---- Chips whose constants are not measured ----

using lacuna::cuda::DeviceFacts;

const DeviceFacts an_a100{
    .multiprocessors = 108, .shared_bytes = 163 * 1024, .gigahertz = 1.41, .capability = 80};
const DeviceFacts an_h100{.multiprocessors = 132,
                          .shared_bytes = 227 * 1024,
                          .gigahertz = 1.755,
                          .capability = 90,
                          .clusters = {66, 33, 16, 8}};

struct Asked {
  lacuna_regime regime = LACUNA_REGIME_BEST;
  std::int64_t steps = 0;  // of each sequence; 0: not known
  int sharers = 1;
  std::int32_t blocks = 0;
  bool tf32 = false;
};

lacuna::Recipe planned_on(const DeviceFacts& facts, const lacuna_layer& layer,
                          std::int64_t sequences, const Asked& asked = {}) {
  lacuna::Recipe recipe;
  recipe.layer = layer;
  recipe.capacity = {.tokens = (asked.steps > 0 ? asked.steps : 100) * sequences,
                     .sequences = sequences,
                     .max_length = asked.steps};
  lacuna_plan_options options{};
  options.regime = asked.regime;
  options.blocks = asked.blocks;
  if (asked.tf32) options.precision = LACUNA_PRECISION_TF32;
  lacuna::cuda::choose_regime(recipe.device, layer, recipe.capacity, options, asked.sharers, facts);
  recipe.device.hidden = layer.hidden;
  return recipe;
}
lacuna::DeviceLayout chosen_on(const DeviceFacts& facts, const lacuna_layer& layer,
                               std::int64_t sequences, const Asked& asked = {}) {
  return planned_on(facts, layer, sequences, asked).device;
}
std::string explained_on(const DeviceFacts& facts, const lacuna_layer& layer,
                         std::int64_t sequences, const Asked& asked = {}) {
  return lacuna::cuda::explain_regime(planned_on(facts, layer, sequences, asked));
}

testing::AssertionResult says(const std::string& text, const std::string& words) {
  if (text.find(words) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << words << "' is not in\n" << text;
}

lacuna_layer layer_of(lacuna_type type, std::int64_t hidden, lacuna_cell cell = LACUNA_LSTM) {
  return {.cell = cell, .type = type, .features = 1, .hidden = hidden};
}

TEST(Unmeasured, ABlockWithAllOfTheWeightsIsTakenWhileThereAreBlocksForAll) {
  for (const std::int64_t sequences : {1, 64, 108})
    EXPECT_EQ(chosen_on(an_a100, layer_of(LACUNA_F32, 128), sequences).regime, LACUNA_REGIME_LONE)
        << sequences;
  EXPECT_EQ(chosen_on(an_a100, layer_of(LACUNA_BF16, 128), 8 * 108).regime, LACUNA_REGIME_RESIDENT);
  EXPECT_EQ(chosen_on(an_h100, layer_of(LACUNA_BF16, 128), 8 * 132).regime, LACUNA_REGIME_RESIDENT);
}

// An A100 has no room for tiles of eight lanes: 16,384 sequences would take 152 turns of a block each.
TEST(Unmeasured, OfManyRoundsProductsAreQuicker) {
  const lacuna_layer layer = layer_of(LACUNA_F32, 128);
  const auto step_us = [&](lacuna_regime regime) {
    return chosen_on(an_a100, layer, 16'384, {.regime = regime, .tf32 = true}).step_us;
  };
  EXPECT_LT(step_us(LACUNA_REGIME_STEPWISE), step_us(LACUNA_REGIME_GRID));
  EXPECT_LT(step_us(LACUNA_REGIME_GRID), step_us(LACUNA_REGIME_LONE));
  EXPECT_EQ(chosen_on(an_a100, layer, 16'384, {.tf32 = true}).regime, LACUNA_REGIME_STEPWISE);
  // Two rounds of residents take less than two launches.
  EXPECT_EQ(chosen_on(an_h100, layer_of(LACUNA_BF16, 64), 2'000).regime, LACUNA_REGIME_RESIDENT);
}

// cuBLASLt multiplies floats by multiply-adds, which are slower than three products of an A100's tensor cores.
TEST(Unmeasured, OfFloatsNoProductIsQuickerThanAllMultipliers) {
  for (const std::int64_t hidden : {64, 128, 256, 512})
    for (const std::int64_t sequences : {256, 4'096, 16'384}) {
      const double peak_us = 4e-3 * hidden * hidden * sequences / (108 * 64 * an_a100.gigahertz);
      EXPECT_GT(
          chosen_on(an_a100, layer_of(LACUNA_F32, hidden), sequences, {LACUNA_REGIME_STEPWISE})
              .step_us,
          peak_us)
          << hidden << ' ' << sequences;
    }
  EXPECT_EQ(chosen_on(an_a100, layer_of(LACUNA_F32, 128), 16'384).regime, LACUNA_REGIME_GRID);
}

// Not more lone lanes than there is room for where tiles need one round, whatever is quicker for fewer and for more.
TEST(Unmeasured, OneRoundIsTakenBeforeSeveral) {
  for (const std::int64_t hidden : {100, 112, 128})
    for (std::int64_t sequences = 133; sequences <= 8 * 132; sequences += 33)
      EXPECT_EQ(chosen_on(an_h100, layer_of(LACUNA_F32, hidden), sequences).regime,
                LACUNA_REGIME_RESIDENT)
          << hidden << ' ' << sequences;
}

// Defaults are an H100's; of the tensor cores of smaller chips data sheets know better.
TEST(Unmeasured, TensorCoresAreNotQuickerThanTheirDataSheet) {
  const lacuna_layer layer = layer_of(LACUNA_BF16, 128);
  const auto resident_us = [&](int capability) {
    DeviceFacts facts = an_h100;
    facts.capability = capability;
    return chosen_on(facts, layer, 64, {LACUNA_REGIME_RESIDENT}).step_us;
  };
  const double cycle = 1e-3 / 1.755;
  EXPECT_NEAR(resident_us(90), 0.1 + cycle * 64 * 6.3, 1e-9);
  EXPECT_NEAR(resident_us(80), 0.1 + cycle * 64 * 8, 1e-9);
  EXPECT_NEAR(resident_us(89), 0.1 + cycle * 64 * 16, 1e-9);
}

// Of groups only where they would save a third, for what they exchange by is a guess.
TEST(Unmeasured, GroupsHaveToSaveMoreThanOnesThatWereMeasured) {
  const lacuna_layer layer = layer_of(LACUNA_F32, 128);
  DeviceFacts measured = an_a100;
  measured.costs.measured = true;
  bool differ = false;
  for (std::int64_t sequences = 216; sequences <= 8'192; sequences += 108) {
    const lacuna_regime taken = chosen_on(an_a100, layer, sequences).regime;
    const double lone_us = chosen_on(an_a100, layer, sequences, {LACUNA_REGIME_LONE}).step_us,
                 grid_us = chosen_on(an_a100, layer, sequences, {LACUNA_REGIME_GRID}).step_us;
    // Lone lanes have to save three doublings' worth beside.
    EXPECT_TRUE(taken != LACUNA_REGIME_GRID || lone_us > 1.09 * grid_us) << sequences;
    differ = differ || (taken != LACUNA_REGIME_GRID &&
                        chosen_on(measured, layer, sequences).regime == LACUNA_REGIME_GRID);
  }
  EXPECT_TRUE(differ);
}

// ---- What a plan says ----

const DeviceFacts an_h200{.multiprocessors = 132,
                          .shared_bytes = 227 * 1024,
                          .gigahertz = 1.98,
                          .capability = 90,
                          .clusters = {66, 32, 15, 7},
                          .costs = {.constants = {.mma_cycles = 15.64,
                                                  .shared_bytes = 75.39,
                                                  .remote_bytes = 14.67,
                                                  .gates_us = 0.8413,
                                                  .store_hop_us = 0.9437,
                                                  .flag_hop_us = 1.945,
                                                  .launch_us = 5.431,
                                                  .cache_bytes = 7.865e+06},
                                    .measured = true}};

// Not even by constants that promise too much.
TEST(Explained, NothingIsExpectedBelowItsFloor) {
  DeviceFacts dreamt = an_h100;
  dreamt.costs.measured = true;
  dreamt.costs.constants = {.mma_cycles = 0.1,
                            .shared_bytes = 1e6,
                            .remote_bytes = 1e6,
                            .gates_us = 1e-3,
                            .lone_gates = 1e-3,
                            .store_hop_us = 1e-3,
                            .flag_hop_us = 1e-3,
                            .launch_us = 1e-3,
                            .cache_bytes = 1e12};
  const lacuna_layer layer = layer_of(LACUNA_BF16, 128);
  for (const lacuna_regime regime :
       {LACUNA_REGIME_STEPWISE, LACUNA_REGIME_RESIDENT, LACUNA_REGIME_LONE, LACUNA_REGIME_CLUSTER,
        LACUNA_REGIME_GRID}) {
    const Asked asked{
        .regime = regime,
        .blocks = regime > LACUNA_REGIME_RESIDENT && regime < LACUNA_REGIME_LONE ? 4 : 0};
    const lacuna::DeviceLayout lay = chosen_on(dreamt, layer, 64, asked);
    EXPECT_EQ(lay.floor_us, chosen_on(an_h100, layer, 64, asked).floor_us) << regime;
    EXPECT_NEAR(lay.step_us, lay.floor_us, 1e-5) << regime;
  }
  EXPECT_TRUE(says(explained_on(dreamt, layer, 64, {LACUNA_REGIME_STEPWISE}),
                   "is expected to take 2.00 us, and cannot take less than 2.00 us"));
}

// A way that would take less than the one chosen is not left out without a reason.
TEST(Explained, WhatIsQuickerAndNotTaken) {
  const std::string doubtful = explained_on(an_h100, layer_of(LACUNA_F32, 128), 256);
  EXPECT_TRUE(says(doubtful, "regime     resident"));
  EXPECT_TRUE(says(doubtful,
                   " us, but in several rounds, and the model's constants are not measured on this "
                   "chip\n           not cluster"));
  EXPECT_TRUE(says(doubtful,
                   " us, but the model's constants are not measured on this chip\n"
                   "           not grid"));
  EXPECT_TRUE(says(doubtful, "not stepwise, for a step would take 5."));
  EXPECT_EQ(doubtful.find(" us, but", doubtful.find("not stepwise")), std::string::npos);

  bool found = false;
  for (const std::int64_t hidden : {200, 256, 300, 384, 512})
    for (const lacuna_type type : {LACUNA_BF16, LACUNA_F32}) {
      const lacuna_layer layer = layer_of(type, hidden);
      const lacuna::DeviceLayout lay = chosen_on(an_h200, layer, 8);
      if (lay.regime != LACUNA_REGIME_CLUSTER || lay.blocks == 16) continue;
      const Asked twice{.regime = lay.regime, .blocks = 2 * lay.blocks};
      const bool quicker = chosen_on(an_h200, layer, 8, twice).step_us < lay.step_us;
      const std::string words = "not by " + std::to_string(2 * lay.blocks) + " blocks, for a step";
      EXPECT_EQ(lay.considered.find(words) != std::string::npos, quicker) << lay.considered;
      EXPECT_TRUE(!quicker || says(lay.considered,
                                   "us, but that saves less than a tenth for twice the blocks\n"));
      found = found || quicker;
    }
  EXPECT_TRUE(found);
}

// A lone lane for each of 64 sequences takes eight times the multiprocessors of their tiles.
TEST(Explained, WhyLoneLanesAreNotTaken) {
  const lacuna_layer layer = layer_of(LACUNA_BF16, 128);
  const auto with_gates = [](double lone_gates) {
    DeviceFacts facts = an_h200;
    facts.costs.constants.lone_gates = lone_gates;
    return facts;
  };
  const auto step_us = [&](const DeviceFacts& facts, lacuna_regime regime) {
    return chosen_on(facts, layer, 64, {regime}).step_us;
  };
  const double resident = step_us(with_gates(0.1), LACUNA_REGIME_RESIDENT);
  for (double lone_gates = 0.1; lone_gates < 6; lone_gates += 0.1) {
    const DeviceFacts facts = with_gates(lone_gates);
    const double lone = step_us(facts, LACUNA_REGIME_LONE);
    const lacuna::DeviceLayout lay = chosen_on(facts, layer, 64);
    EXPECT_EQ(lay.regime,
              lone < 0.9 * 0.9 * 0.9 * resident ? LACUNA_REGIME_LONE : LACUNA_REGIME_RESIDENT)
        << lone_gates;
    EXPECT_EQ(lay.considered.find("us, but saves less than a tenth for each doubling of the "
                                  "multiprocessors it takes\n") != std::string::npos,
              lay.regime == LACUNA_REGIME_RESIDENT && lone < resident)
        << lay.considered;
    // As many tiles as lanes: nothing has to be saved.
    EXPECT_EQ(chosen_on(facts, layer, 1).regime,
              lone < resident ? LACUNA_REGIME_LONE : LACUNA_REGIME_RESIDENT);
  }
  // Of a chip whose line lacks the constant it is a guess, and has to save a third.
  bool doubted = false;
  for (double mma_cycles = 10; mma_cycles < 30; ++mma_cycles) {
    DeviceFacts facts = an_h200;
    facts.costs.constants.gates_us = 0.5;
    facts.costs.constants.mma_cycles = mma_cycles;
    const double lone = step_us(facts, LACUNA_REGIME_LONE),
                 tiles = step_us(facts, LACUNA_REGIME_RESIDENT);
    ASSERT_LT(lone, tiles);
    const lacuna::DeviceLayout lay = chosen_on(facts, layer, 64);
    EXPECT_EQ(lay.regime, 1.5 * lone < tiles ? LACUNA_REGIME_LONE : LACUNA_REGIME_RESIDENT);
    if (lay.regime == LACUNA_REGIME_LONE) continue;
    EXPECT_TRUE(says(lay.considered,
                     "us, but saves less than a third, and lone_gates is not "
                     "measured on this chip\n"));
    doubted = true;
  }
  EXPECT_TRUE(doubted);
}

TEST(Explained, HowMuchOfTheDeviceIsTaken) {
  const lacuna_layer small = layer_of(LACUNA_BF16, 64), large = layer_of(LACUNA_BF16, 256);
  EXPECT_TRUE(says(explained_on(an_h100, small, 64, {LACUNA_REGIME_RESIDENT}),
                   "takes at most 8 of 132 multiprocessors\n"));
  EXPECT_TRUE(says(explained_on(an_h100, small, 264, {LACUNA_REGIME_LONE}),
                   "takes at most 132 of 132 multiprocessors\n"));
  EXPECT_TRUE(says(explained_on(an_h100, large, 64, {.regime = LACUNA_REGIME_CLUSTER, .blocks = 4}),
                   "takes at most 32 of 132 multiprocessors\n"));
  EXPECT_EQ(
      explained_on(an_h100, large, 64, {LACUNA_REGIME_STEPWISE}).find("of 132 multiprocessors"),
      std::string::npos);
}

TEST(Explained, HowFloatsAreMultiplied) {
  const lacuna_layer floats = layer_of(LACUNA_F32, 64);
  const std::string line = "fp32 products of a step: ";
  EXPECT_TRUE(says(explained_on(an_h100, floats, 64, {LACUNA_REGIME_RESIDENT}),
                   line + "three of tf32 parts each, by tensor cores\n"));
  EXPECT_TRUE(says(explained_on(an_h100, floats, 64, {LACUNA_REGIME_LONE}),
                   line + "plain fp32 arithmetic\n"));
  const auto is_silent = [&](const lacuna_layer& layer, const Asked& asked) {
    return explained_on(an_h100, layer, 64, asked).find(line) == std::string::npos;
  };
  EXPECT_TRUE(is_silent(floats, {LACUNA_REGIME_STEPWISE}));
  EXPECT_TRUE(is_silent(floats, {.regime = LACUNA_REGIME_RESIDENT, .tf32 = true}));
  EXPECT_TRUE(is_silent(layer_of(LACUNA_BF16, 64), {LACUNA_REGIME_RESIDENT}));
}

// GPUs since 9.0 have clusters, but the build may lack the kernels for them.
TEST(Explained, WhyThereAreNoClusters) {
  DeviceFacts none = an_h100;
  none.clusters = {};
  EXPECT_TRUE(says(explained_on(none, layer_of(LACUNA_BF16, 256), 64),
                   "not cluster, for this build has no code for clusters\n"));
  EXPECT_TRUE(says(explained_on(an_a100, layer_of(LACUNA_BF16, 256), 64),
                   "not cluster, for this GPU has no clusters\n"));
}

// ---- Plans that share a device ----

// Both directions of a layer: 16 clusters of 8 blocks, of which 15 run at once, and one would wait.
TEST(Sharers, TakeSmallerGroupsWhereTheirsWouldTakeTurns) {
  const lacuna_layer layer = layer_of(LACUNA_F32, 256);
  EXPECT_EQ(chosen_on(an_h200, layer, 64).blocks, 8);
  const lacuna::DeviceLayout shared = chosen_on(an_h200, layer, 64, {.sharers = 2});
  EXPECT_EQ(shared.regime, LACUNA_REGIME_CLUSTER);
  EXPECT_EQ(shared.blocks, 4);
  EXPECT_EQ(shared.most_lanes, 64);
  EXPECT_TRUE(says(explained_on(an_h200, layer, 64, {.sharers = 2}),
                   "chosen as one of 2 plans that share the device\n"));
}

TEST(Sharers, HaveTheirPartOfTheDevice) {
  const auto lay = [](std::int64_t hidden, std::int64_t sequences, lacuna_regime regime,
                      int sharers, std::int32_t blocks = 0) {
    return chosen_on(an_h200, layer_of(LACUNA_BF16, hidden), sequences,
                     {.regime = regime, .sharers = sharers, .blocks = blocks});
  };
  // 4 groups of 32 blocks run at once, and no plan may count on those of another.
  EXPECT_EQ(lay(512, 256, LACUNA_REGIME_GRID, 1, 32).most_lanes, 32);
  EXPECT_EQ(lay(512, 256, LACUNA_REGIME_GRID, 2, 32).most_lanes, 16);
  EXPECT_EQ(lay(512, 256, LACUNA_REGIME_GRID, 9, 32).most_lanes, 8);
  EXPECT_NEAR(lay(512, 256, LACUNA_REGIME_GRID, 2, 32).step_us,
              2 * lay(512, 256, LACUNA_REGIME_GRID, 1, 32).step_us, 1e-9);
  // Single blocks make room one by one: all of a plan's lanes walk, in as many turns as all plans' tiles take.
  for (const auto& [sequences, turns] : {std::pair{64, 1}, {8 * 66, 1}, {8 * 67, 2}}) {
    const lacuna::DeviceLayout alone = lay(64, sequences, LACUNA_REGIME_RESIDENT, 1),
                               shared = lay(64, sequences, LACUNA_REGIME_RESIDENT, 2);
    EXPECT_EQ(shared.most_lanes, alone.most_lanes) << sequences;
    EXPECT_NEAR(shared.step_us, turns * alone.step_us, 1e-9) << sequences;
  }
  // Two lone lanes of 64 units share a multiprocessor's multipliers.
  EXPECT_GT(lay(64, 132, LACUNA_REGIME_LONE, 2).step_us,
            lay(64, 132, LACUNA_REGIME_LONE, 1).step_us);
  EXPECT_EQ(lay(64, 66, LACUNA_REGIME_LONE, 2).step_us, lay(64, 66, LACUNA_REGIME_LONE, 1).step_us);
  EXPECT_GT(lay(1024, 512, LACUNA_REGIME_STEPWISE, 2).step_us,
            lay(1024, 512, LACUNA_REGIME_STEPWISE, 1).step_us);
}

// ---- What comes before the first step ----

TEST(Start, OfASingleStepIsMoreThanItsLaunches) {
  const lacuna_layer layer = layer_of(LACUNA_F16, 512, LACUNA_GRU);
  EXPECT_EQ(chosen_on(an_h200, layer, 32, {.steps = 1}).regime, LACUNA_REGIME_STEPWISE);
  EXPECT_TRUE(says(explained_on(an_h200, layer, 32, {.steps = 1}), " pass before the first\n"));
  EXPECT_EQ(chosen_on(an_h200, layer, 32, {.steps = 4}).regime, LACUNA_REGIME_CLUSTER);
  EXPECT_TRUE(says(explained_on(an_h200, layer, 32, {.steps = 4}),
                   "before the first step pass 12.08 us, which 4 step(s) hardly hide\n"));
}

TEST(Start, ChangesNothingForEightStepsAndMore) {
  for (const lacuna_cell cell : {LACUNA_LSTM, LACUNA_GRU, LACUNA_GRU_RESET_BEFORE, LACUNA_RNN_TANH})
    for (const lacuna_type type : {LACUNA_F32, LACUNA_BF16})
      for (const std::int64_t hidden : {16, 64, 128, 256, 384, 512, 700, 1024, 1760, 2048})
        for (const std::int64_t sequences : {8, 16, 64, 264, 512, 1024}) {
          const lacuna_layer layer = layer_of(type, hidden, cell);
          const lacuna::DeviceLayout unknown = chosen_on(an_h200, layer, sequences);
          for (const std::int64_t steps : {8, 16}) {
            const lacuna::DeviceLayout known =
                chosen_on(an_h200, layer, sequences, {.steps = steps});
            EXPECT_EQ(known.regime, unknown.regime) << hidden << ' ' << sequences;
            EXPECT_EQ(known.blocks, unknown.blocks) << hidden << ' ' << sequences;
            EXPECT_EQ(known.start_us, 0);
          }
        }
}

// ---- What groups exchange through ----

TEST(ExchangeRoom, OfInferenceHasNoPlaceForSums) {
  lacuna::DeviceLayout lay;
  lay.blocks = 8;
  const lacuna_layer layer = layer_of(LACUNA_BF16, 512);
  EXPECT_LT(lacuna::cuda::exchange_bytes(lay, layer, true),
            lacuna::cuda::exchange_bytes(lay, layer, false));
  // Two buffers of a column of every lane.
  EXPECT_GE(lacuna::cuda::exchange_bytes(lay, layer, true), std::size_t{2} * 8 * 512 * 2);
}

}  // namespace
