// Every argument of lacuna_forward and lacuna_backward, spoiled one at a time. Each time: the
// message names the argument and its value, nothing was written, and the next correct run gives the
// same bits as the first.
#include "api/refusals.h"

namespace {

using api_tests::Call;
using api_tests::Context;
using api_tests::misaligned;
using api_tests::Plan;
using api_tests::Refusals;
using api_tests::refused;
using api_tests::Tape;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

class RunErrors : public testing::TestWithParam<const char*> {
 protected:
  RunErrors() : refusals(layer()) {}
  static lacuna_layer layer() {
    const std::string name = GetParam();
    if (name == "gru_d") return api_tests::gru_d();
    if (name == "relaxing_lstm") return api_tests::relaxing_lstm();
    return api_tests::plain_gru();
  }
  Refusals refusals;
};

INSTANTIATE_TEST_SUITE_P(Layers, RunErrors, testing::Values("gru_d", "relaxing_lstm", "plain_gru"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(RunErrors, NullStructs) {
  refusals.both("plan: null", [](Call& call) { call.plan = nullptr; });
  refusals.both("parameters: null", [](Call& call) { call.null_parameters = true; });
  refusals.both("batch: null", [](Call& call) { call.null_batch = true; });
  refusals.forward("outputs: null", [](Call& call) { call.null_outputs = true; });
  refusals.backward("d_outputs: null", [](Call& call) { call.null_d_outputs = true; });
  refusals.backward("tape: null", [](Call& call) { call.tape = nullptr; });
  if (support::on_cpu)
    refusals.both("stream: address 0x40, expected null on the CPU",
                  [](Call& call) { call.stream = reinterpret_cast<void*>(0x40); });
}

TEST_P(RunErrors, Parameters) {
  for (int kind = 0; kind < LACUNA_PARAMETERS; ++kind) {
    lacuna_parameter_info info{};
    ASSERT_EQ(
        lacuna_layer_parameter(&refusals.example.layer, static_cast<lacuna_parameter>(kind), &info),
        LACUNA_OK);
    const std::string name = info.name;
    if (info.rows > 0) {
      refusals.both("parameters." + name + ": null, expected " +
                        std::to_string(info.rows * info.columns) + " elements",
                    [&](Call& call) { call.parameters.tensor[kind] = nullptr; });
      refusals.both("parameters." + name + ": address 0x", [&](Call& call) {
        call.parameters.tensor[kind] = misaligned(call.parameters.tensor[kind]);
      });
      refusals.backward("d_parameters." + name + ": address 0x", [&](Call& call) {
        call.d_parameters.tensor[kind] = misaligned(call.d_parameters.tensor[kind]);
      });
      refusals.backward("d_parameters." + name + ": overlaps parameters." + name, [&](Call& call) {
        call.d_parameters.tensor[kind] = const_cast<void*>(call.parameters.tensor[kind]);
      });
    } else {
      refusals.both("parameters." + name + ": given, but the layer (", [&](Call& call) {
        call.parameters.tensor[kind] = call.parameters.tensor[LACUNA_BIAS];
      });
      refusals.backward("d_parameters." + name + ": given, but the layer (", [&](Call& call) {
        call.d_parameters.tensor[kind] = call.d_parameters.tensor[LACUNA_BIAS];
      });
    }
  }
}

TEST_P(RunErrors, Counts) {
  refusals.both("batch.sequences: -1, expected >= 0",
                [](Call& call) { call.batch.sequences = -1; });
  refusals.both("batch.tokens: -8, expected >= 0", [](Call& call) { call.batch.tokens = -8; });
  refusals.both(
      "batch.sequences: 5, but the plan was made for at most 4",
      [](Call& call) { call.batch.sequences = 5; }, {}, LACUNA_CAPACITY_EXCEEDED);
  refusals.both(
      "batch.tokens: 9, but the plan was made for at most 8",
      [](Call& call) { call.batch.tokens = 9; }, {}, LACUNA_CAPACITY_EXCEEDED);
  refusals.both(
      "batch.tokens: 9223372036854775807, but the plan was made for at most 8",
      [](Call& call) { call.batch.tokens = std::numeric_limits<std::int64_t>::max(); }, {},
      LACUNA_CAPACITY_EXCEEDED);
  refusals.both("batch.tokens: 8, expected 0, for batch.sequences is 0",
                [](Call& call) { call.batch.sequences = 0; });
}

TEST_P(RunErrors, Offsets) {
  auto& offsets = refusals.example.offsets;  // 0 3 3 4 8
  refusals.both("batch.offsets: null, expected 5 elements",
                [](Call& call) { call.batch.offsets = nullptr; });
  refusals.both("batch.offsets: address 0x",
                [](Call& call) { call.batch.offsets = misaligned(call.batch.offsets); });
  refusals.both_with("batch.offsets[0]: 1, expected 0", offsets, 0, 1);
  refusals.both_with("batch.offsets[3]: 2 falls below offsets[2] = 3", offsets, 3, 2);
  refusals.both_with("batch.offsets[2]: -7 falls below offsets[1] = 3", offsets, 2, -7);
  refusals.both_with("batch.offsets[4]: 8 falls below offsets[3] = 9", offsets, 3, 9);
  refusals.both_with("batch.offsets[4]: 7, expected batch.tokens = 8", offsets, 4, 7);
  refusals.both_with("batch.offsets[4]: 90, expected batch.tokens = 8", offsets, 4, 90);
  refusals.both("batch.offsets[4]: 8, expected batch.tokens = 7",
                [](Call& call) { call.batch.tokens = 7; });
}

TEST_P(RunErrors, Gaps) {
  auto& gaps = refusals.example.delta_t;
  refusals.both_with("batch.delta_t[5]: -0.25, expected a finite number >= 0", gaps, 5, -0.25);
  refusals.both_with("batch.delta_t[0]: nan, expected a finite number >= 0", gaps, 0, nan);
  refusals.both_with("batch.delta_t[7]: inf, expected a finite number >= 0", gaps, 7, infinity);
  refusals.both("batch.delta_t: address 0x",
                [](Call& call) { call.batch.delta_t = misaligned(call.batch.delta_t); });
  refusals.both("batch.times: given, and batch.delta_t too; expected one of them",
                [&](Call& call) { call.batch.times = refusals.example.times.data(); });
  if (refusals.example.layer.evolve != LACUNA_EVOLVE_NONE)
    refusals.both("batch.delta_t: null, and batch.times too, but the layer (",
                  [](Call& call) { call.batch.delta_t = nullptr; });
  // A layer that reads gaps says so first; one whose only use for them is a delta that is
  // ready-made does not.
  if (refusals.example.layer.evolve == LACUNA_EVOLVE_RELAX) return;
  refusals.backward("d_inputs.d_delta_t: given, but the batch has neither delta_t nor times",
                    [&](Call& call) {
                      call.batch.delta_t = nullptr;
                      call.batch.delta = refusals.example.delta.data();
                    });
}

TEST_P(RunErrors, Times) {
  auto& times = refusals.example.times;
  const auto use_times = [&](Call& call) {
    call.batch.delta_t = nullptr;
    call.batch.times = times.data();
  };
  refusals.both_with(
      "batch.times[2]: 1699999999, expected a finite number not below times[1] = 1700000001 of the "
      "same sequence",
      times, 2, 1699999999, use_times);
  refusals.both_with("batch.times[3]: nan, expected a finite number", times, 3, nan, use_times);
  refusals.both_with("batch.times[6]: nan, expected a finite number not below times[5]", times, 6,
                     nan, use_times);
  refusals.both_with("batch.times[7]: inf, expected a finite number not below times[6]", times, 7,
                     infinity, use_times);
  // Finite stamps, but their gap is too large for float.
  refusals.both_with("batch.times[7]: 1e+300, expected", times, 7, 1e300, use_times);
  refusals.both("batch.times: address 0x", [&](Call& call) {
    use_times(call);
    call.batch.times = misaligned(call.batch.times);
  });
  auto& last_time = refusals.example.last_time;
  const auto carry_time = [&](Call& call) {
    use_times(call);
    call.batch.carry_in.last_time = last_time.data();
  };
  refusals.both_with(
      "batch.carry_in.last_time[3]: 1800000000, expected NaN or a finite time not after times[4]",
      last_time, 3, 1.8e9, carry_time);
  refusals.both_with(
      "batch.carry_in.last_time[0]: -inf, expected NaN or a finite time not after times[0]",
      last_time, 0, -infinity, carry_time);
  refusals.both("batch.carry_in.last_time: given, but batch.times is null",
                [&](Call& call) { call.batch.carry_in.last_time = last_time.data(); });
  refusals.forward("outputs.carry_out.last_time: given, but batch.times is null", [&](Call& call) {
    call.outputs.carry_out.last_time = refusals.example.out_last_time.data();
  });
}

TEST_P(RunErrors, FirstGap) {
  refusals.both("batch.carry_in.first_gap: given, but layer.reverse is 0", [&](Call& call) {
    call.batch.carry_in.first_gap = refusals.example.first_gap.data();
  });
  refusals.forward("outputs.carry_out.first_gap: given, but layer.reverse is 0", [&](Call& call) {
    call.outputs.carry_out.first_gap = refusals.example.out_first_gap.data();
  });
}

TEST_P(RunErrors, ValuesAndDelta) {
  refusals.both("batch.values: null, expected 40 elements",
                [](Call& call) { call.batch.values = nullptr; });
  refusals.both("batch.values: address 0x",
                [](Call& call) { call.batch.values = misaligned(call.batch.values); });
  auto& delta = refusals.example.delta;
  const auto use_delta = [&](Call& call) { call.batch.delta = delta.data(); };
  refusals.both_with("batch.delta[3, 2]: -1, expected a finite number >= 0", delta, 17, -1,
                     use_delta);
  refusals.both_with("batch.delta[0, 0]: nan, expected a finite number >= 0", delta, 0, nan,
                     use_delta);
  refusals.both("batch.delta: address 0x",
                [&](Call& call) { call.batch.delta = misaligned(delta.data()); });
}

TEST_P(RunErrors, InitialState) {
  refusals.both("batch.initial_hidden: address 0x", [](Call& call) {
    call.batch.initial_hidden = misaligned(call.batch.initial_hidden);
  });
  if (refusals.example.is_lstm()) {
    refusals.both("batch.initial_cell: address 0x", [](Call& call) {
      call.batch.initial_cell = misaligned(call.batch.initial_cell);
    });
    return;
  }
  auto& example = refusals.example;
  refusals.both("batch.initial_cell: given, but a cell of ",
                [&](Call& call) { call.batch.initial_cell = example.initial_cell.data(); });
  refusals.forward("outputs.cell: given, but a cell of ",
                   [&](Call& call) { call.outputs.cell = example.cell.data(); });
  refusals.forward("outputs.final_cell: given, but a cell of ",
                   [&](Call& call) { call.outputs.final_cell = example.final_cell.data(); });
  refusals.backward("d_outputs.d_cell: given, but a cell of ",
                    [&](Call& call) { call.d_outputs.d_cell = example.d_cell.data(); });
  refusals.backward("d_outputs.d_final_cell: given, but a cell of ",
                    [&](Call& call) { call.d_outputs.d_final_cell = example.d_final_cell.data(); });
  refusals.backward("d_inputs.d_initial_cell: given, but a cell of ", [&](Call& call) {
    call.d_inputs.d_initial_cell = example.d_initial_cell.data();
  });
}

TEST_P(RunErrors, MaskAndCarry) {
  auto& example = refusals.example;
  if (example.has_mask()) {
    refusals.both_with("batch.carry_in.since[1, 3]: -2, expected a finite number >= 0",
                       example.since, 8, -2);
    refusals.both("batch.carry_in.since: address 0x", [&](Call& call) {
      call.batch.carry_in.since = misaligned(call.batch.carry_in.since);
    });
    refusals.both("batch.carry_in.last_values: address 0x", [&](Call& call) {
      call.batch.carry_in.last_values = misaligned(call.batch.carry_in.last_values);
    });
    return;
  }
  refusals.both("batch.mask: given, but the layer has no mask",
                [&](Call& call) { call.batch.mask = example.mask.data(); });
  refusals.both("batch.carry_in.last_values: given, but the layer has no mask",
                [&](Call& call) { call.batch.carry_in.last_values = example.last_values.data(); });
  refusals.both("batch.carry_in.since: given, but the layer has no mask",
                [&](Call& call) { call.batch.carry_in.since = example.since.data(); });
  refusals.forward(
      "outputs.carry_out.last_values: given, but the layer has no mask",
      [&](Call& call) { call.outputs.carry_out.last_values = example.out_last_values.data(); });
  refusals.forward("outputs.carry_out.since: given, but the layer has no mask",
                   [&](Call& call) { call.outputs.carry_out.since = example.out_since.data(); });
}

TEST_P(RunErrors, Fires) {
  std::vector<std::uint8_t> fires(static_cast<std::size_t>(refusals.example.batch().tokens), 1);
  refusals.both(refusals.example.has_mask()
                    ? "batch.fires: given, but the layer's mask tells which rows are empty"
                    : "batch.fires: given, but empty_rows is LACUNA_EMPTY_ROWS_UPDATE",
                [&](Call& call) { call.batch.fires = fires.data(); });
}

// A layer without a mask has to be told, in every run, where its cell fires.
TEST(FiresErrors, OfALayerWithoutAMask) {
  lacuna_layer layer = api_tests::plain_gru();
  layer.empty_rows = LACUNA_EMPTY_ROWS_EVOLVE_ONLY;
  Refusals refusals(layer);
  refusals.both("batch.fires: null, but empty_rows is LACUNA_EMPTY_ROWS_EVOLVE_ONLY",
                [](Call& call) { call.batch.fires = nullptr; });
  refusals.both_with("batch.fires[1]: 2, expected 0 or 1", refusals.example.fires, 1, 2);
}

TEST_P(RunErrors, Noise) {
  const struct {
    const char* name;
    const std::int64_t* lacuna_noise::*array;
  } arrays[] = {{"sequence", &lacuna_noise::sequence}, {"position", &lacuna_noise::position}};
  for (const auto& [name, array] : arrays) {
    const std::string argument = std::string("batch.noise.") + name;
    std::vector<std::int64_t> numbers{0, 1, -1, (std::int64_t{1} << 47) - 1};
    const auto give = [&](Call& call) { call.batch.noise.*array = numbers.data(); };
    refusals.both(argument + "[2]: -1, expected 0 to below 2^47", give);
    numbers[2] = std::int64_t{1} << 47;
    refusals.both(argument + "[2]: 140737488355328, expected 0 to below 2^47", give);
    numbers[2] = 2;
    refusals.both(argument + ": address 0x",
                  [&](Call& call) { call.batch.noise.*array = misaligned(numbers.data()); });
  }
}

// What a forward run drew, its backward run has to draw again; a layer that draws nothing does not care.
TEST_P(RunErrors, NoiseOfAnotherSeed) {
  const std::vector<std::int64_t> sequences{3, 2, 1, 0};
  lacuna_layer noisy = layer();
  noisy.zoneout_hidden = 0.1;
  Refusals drawn(noisy);
  drawn.backward(
      "batch.noise.seed: 5, but the run that filled the tape had 0",
      [](Call& call) { call.batch.noise.seed = 5; }, {}, LACUNA_MISMATCH);
  drawn.backward(
      "batch: an optional array is given now and was not in the run that filled the tape",
      [&](Call& call) { call.batch.noise.sequence = sequences.data(); }, {}, LACUNA_MISMATCH);
  drawn.backward(
      "batch: an optional array is given now and was not in the run that filled the tape",
      [&](Call& call) { call.batch.noise.position = sequences.data(); }, {}, LACUNA_MISMATCH);
}

TEST_P(RunErrors, MisalignedOutputs) {
  refusals.forward("outputs.hidden: address 0x",
                   [](Call& call) { call.outputs.hidden = misaligned(call.outputs.hidden); });
  refusals.forward("outputs.evolved_hidden: address 0x", [](Call& call) {
    call.outputs.evolved_hidden = misaligned(call.outputs.evolved_hidden);
  });
  refusals.forward("outputs.imputed: address 0x",
                   [](Call& call) { call.outputs.imputed = misaligned(call.outputs.imputed); });
  refusals.forward("outputs.final_hidden: address 0x", [](Call& call) {
    call.outputs.final_hidden = misaligned(call.outputs.final_hidden);
  });
  refusals.backward("d_outputs.d_hidden: address 0x", [](Call& call) {
    call.d_outputs.d_hidden = misaligned(call.d_outputs.d_hidden);
  });
  refusals.backward("d_outputs.d_final_hidden: address 0x", [](Call& call) {
    call.d_outputs.d_final_hidden = misaligned(call.d_outputs.d_final_hidden);
  });
  refusals.backward("d_inputs.d_values: address 0x", [](Call& call) {
    call.d_inputs.d_values = misaligned(call.d_inputs.d_values);
  });
  refusals.backward("d_inputs.d_delta_t: address 0x", [](Call& call) {
    call.d_inputs.d_delta_t = misaligned(call.d_inputs.d_delta_t);
  });
  refusals.backward("d_inputs.d_initial_hidden: address 0x", [](Call& call) {
    call.d_inputs.d_initial_hidden = misaligned(call.d_inputs.d_initial_hidden);
  });
}

TEST_P(RunErrors, Overlaps) {
  auto& example = refusals.example;
  refusals.forward("outputs.final_hidden: overlaps batch.initial_hidden",
                   [&](Call& call) { call.outputs.final_hidden = example.initial_hidden.data(); });
  refusals.forward("outputs.imputed: overlaps batch.values",
                   [&](Call& call) { call.outputs.imputed = example.values.data(); });
  refusals.forward("outputs.hidden: overlaps outputs.evolved_hidden",
                   [&](Call& call) { call.outputs.hidden = call.outputs.evolved_hidden; });
  // Beginning inside is overlapping too.
  refusals.forward("outputs.hidden: overlaps outputs.final_hidden", [&](Call& call) {
    call.outputs.hidden = example.hidden.data(),
    call.outputs.final_hidden = example.hidden.data() + 3;
  });
  refusals.backward("d_inputs.d_values: overlaps batch.values",
                    [&](Call& call) { call.d_inputs.d_values = example.values.data(); });
  refusals.backward(
      "d_inputs.d_initial_hidden: overlaps d_outputs.d_final_hidden",
      [&](Call& call) { call.d_inputs.d_initial_hidden = example.d_final_hidden.data(); });
}

TEST_P(RunErrors, TapeOfAnotherPlan) {
  const lacuna_layer& layer = refusals.example.layer;
  const lacuna_capacity capacity = refusals.example.capacity();
  lacuna_layer wider = layer;
  wider.hidden += 1;
  const Plan other_layer(refusals.context, wider, capacity);
  lacuna_layer other_noise = layer;
  other_noise.zoneout_hidden = 0.25;
  const Plan other_zoneout(refusals.context, other_noise, capacity);
  const Plan other_capacity(refusals.context, layer, {capacity.tokens + 1, capacity.sequences});
  const Context other_threads(api_tests::with_threads(1));
  const Plan other_context(other_threads, layer, capacity);
  const Context as_many_threads(api_tests::with_threads(2));
  const Plan same_threads(as_many_threads, layer, capacity);
  for (const Plan* other :
       {&other_layer, &other_zoneout, &other_capacity, &other_context, &same_threads}) {
    const Tape tape(*other);
    refusals.both(
        other == &other_context || other == &same_threads
            ? "tape: made for a plan of another context, expected one of this plan's"
            : "tape: made for a plan of another layer, capacity or kind of tape (",
        [&](Call& call) { call.tape = tape; }, {}, LACUNA_MISMATCH);
  }
}

TEST_P(RunErrors, TapeThatIsEmptyOrOfAnotherBatch) {
  const Tape empty(refusals.plan);
  refusals.backward(
      "tape: empty, expected one that a forward run has filled",
      [&](Call& call) { call.tape = empty; }, {}, LACUNA_MISMATCH);
  refusals.backward(
      "batch.sequences: 3, but the run that filled the tape had 4",
      [](Call& call) { call.batch.sequences = 3, call.batch.tokens = 4; }, {}, LACUNA_MISMATCH);
  // The same sizes cut in other places.
  std::vector<std::int64_t> other{0, 2, 3, 4, 8};
  refusals.backward(
      "batch.offsets: not those of the run that filled the tape",
      [&](Call& call) { call.batch.offsets = other.data(); }, {}, LACUNA_MISMATCH);
  refusals.backward(
      "batch: an optional array is given now and was not in the run that filled the tape",
      [&](Call& call) { call.batch.initial_hidden = nullptr; }, {}, LACUNA_MISMATCH);
  // Fewer tokens: the last sequence is shorter.
  std::vector<std::int64_t> shorter{0, 3, 3, 4, 7};
  refusals.backward(
      "batch.tokens: 7, but the run that filled the tape had 8",
      [&](Call& call) { call.batch.offsets = shorter.data(), call.batch.tokens = 7; }, {},
      LACUNA_MISMATCH);
}

TEST_P(RunErrors, InferencePlan) {
  const Plan inference(refusals.context, refusals.example.layer, refusals.example.capacity(),
                       {nullptr, 0, 1});
  refusals.backward(
      "plan: made with options.inference = 1, which has no backward run",
      [&](Call& call) { call.plan = inference; }, {}, LACUNA_MISMATCH);
  refusals.forward(
      "tape: made for a plan of another layer", [&](Call& call) { call.plan = inference; }, {},
      LACUNA_MISMATCH);
  lacuna_tape* tape = nullptr;
  EXPECT_TRUE(refused(lacuna_tape_create(inference, nullptr, 0, &tape), LACUNA_MISMATCH,
                      {"plan: made with options.inference = 1"}));
  EXPECT_EQ(tape, nullptr);
}

TEST(RunErrorsReversed, TheFirstGapNeedsDeltaT) {
  lacuna_layer layer = api_tests::gru_d();
  layer.reverse = 1;
  Refusals refusals(layer);
  auto& example = refusals.example;
  const auto use_times = [&](Call& call) {
    call.batch.delta_t = nullptr;
    call.batch.times = example.times.data();
  };
  refusals.both("batch.carry_in.first_gap: given, but batch.delta_t is null", [&](Call& call) {
    use_times(call);
    call.batch.carry_in.first_gap = example.first_gap.data();
  });
  refusals.both_with("batch.carry_in.first_gap[2]: -1, expected a finite number >= 0",
                     example.first_gap, 2, -1,
                     [&](Call& call) { call.batch.carry_in.first_gap = example.first_gap.data(); });
  // What preceded a reversed piece lies after it in time.
  refusals.both(
      "batch.carry_in.last_time[0]: 1700000000, expected NaN or a finite time not before times[2] "
      "= 1700000001.5",
      [&](Call& call) {
        use_times(call);
        call.batch.carry_in.last_time = example.last_time.data();
      });
}

}  // namespace
