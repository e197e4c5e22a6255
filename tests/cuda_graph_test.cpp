// A training step recorded once serves batches of other lengths: the arrays stay, what is in them changes, lengths
// included. On a GPU the recording is a captured CUDA graph; on the emulator, the same calls once more.
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "support/cuda.h"
#include "support/library_run.h"
#include "support/properties.h"
#include "support/recording.h"

namespace {

using support::Array;
using support::must;
using support::Recording;

class Recorded : public testing::TestWithParam<std::tuple<const char*, lacuna_regime>> {};

TEST_P(Recorded, ServesOtherLengths) {
  // The same layer and weights, other data and lengths.
  const auto [text, asked] = GetParam();
  if (!support::serves(asked)) GTEST_SKIP() << "no clusters here";
  const support::InRegime regime(asked);
  const support::Case first = support::parse_case(text);
  support::Case second = first;
  second.seed += 100;
  const auto parameters = support::make_parameters(first);

  support::LibraryRun<float> shape(first);
  const lacuna_layer layer = shape.layer();
  lacuna_context_options options{};
  options.backend = support::tested_backend;
  lacuna_context* made = nullptr;
  must(lacuna_context_create(&options, &made));
  const support::ContextHandle context(made);

  const auto B = static_cast<std::size_t>(first.sequences);
  const auto N = B * static_cast<std::size_t>(first.max_length());
  const auto D = static_cast<std::size_t>(layer.features),
             R = static_cast<std::size_t>(first.layer.output_width());
  const lacuna_capacity room{static_cast<std::int64_t>(N), first.sequences, first.max_length()};
  const auto plan = support::make_plan(context.get(), layer, room);
  const auto tape = support::make_tape(plan.get());

  Array<std::int64_t> offsets(B + 1);
  Array<float> values(N * D), delta_t(N), d_final(B * R);
  Array<std::uint8_t> mask(N * D);
  Array<float> final_hidden(B * R), d_values(N * D);
  std::vector<std::unique_ptr<Array<float>>> weights, d_weights;
  lacuna_parameters given{};
  lacuna_parameter_gradients wanted{};
  const lacuna_parameters host = shape.parameters();
  for (int kind = 0; kind < LACUNA_PARAMETERS; ++kind) {
    lacuna_parameter_info info{};
    must(lacuna_layer_parameter(&layer, static_cast<lacuna_parameter>(kind), &info));
    const auto count = static_cast<std::size_t>(info.rows * info.columns);
    weights.push_back(std::make_unique<Array<float>>(count));
    d_weights.push_back(std::make_unique<Array<float>>(count));
    if (count == 0) continue;
    weights.back()->set(static_cast<const float*>(host.tensor[kind]), count);
    given.tensor[kind] = weights.back()->data();
    wanted.tensor[kind] = d_weights.back()->data();
  }
  lacuna_batch batch{};
  batch.sequences = first.sequences;
  batch.tokens = room.tokens;
  batch.offsets = offsets.data();
  batch.offsets_on_device = 1;
  batch.values = values.data();
  batch.mask = layer.impute == LACUNA_IMPUTE_NONE ? nullptr : mask.data();
  batch.delta_t = delta_t.data();
  lacuna_outputs outputs{};
  outputs.final_hidden = final_hidden.data();
  lacuna_output_gradients d_outputs{};
  d_outputs.d_final_hidden = d_final.data();
  lacuna_input_gradients d_inputs{};
  d_inputs.d_values = d_values.data();

  Recording recording([&](void* stream) {
    must(lacuna_forward(plan.get(), &given, &batch, &outputs, tape.get(), stream));
    must(lacuna_backward(plan.get(), &given, &batch, &d_outputs, tape.get(), &wanted, &d_inputs,
                         stream));
  });
  for (const support::Case& c : {first, second, first}) {
    SCOPED_TRACE(support::to_string(c));
    const auto data = support::make_batch(c);
    const auto upstream = support::make_upstream(c);
    support::LibraryRun<float> alone(c, parameters, data, upstream);
    alone.run(context.get());

    const lacuna_batch from = alone.batch();
    const auto used = static_cast<std::size_t>(from.tokens);
    offsets.set(from.offsets, B + 1);
    values.set(static_cast<const float*>(from.values), used * D);
    if (batch.mask) mask.set(from.mask, used * D);
    delta_t.set(static_cast<const float*>(from.delta_t), used);
    const auto d_state = support::convert<float>(upstream.d_final_hidden);
    d_final.set(d_state.data(), d_state.size());
    for (auto& gradient : d_weights) {
      const std::vector<float> zeros(gradient->get().size());
      gradient->set(zeros.data(), zeros.size());
    }
    recording.play();

    EXPECT_TRUE(support::are_alike(c, "final_hidden", from.tokens, final_hidden.get(),
                                   alone.results.find("final_hidden")->vector()));
  }
  // Nothing of the batches before is left in the gradients: those of the same batch in a fresh run, with only its final
  // states' gradient.
  std::vector<std::vector<float>> once;
  for (auto& gradient : d_weights) once.push_back(gradient->get());
  for (auto& gradient : d_weights) {
    const std::vector<float> zeros(gradient->get().size());
    gradient->set(zeros.data(), zeros.size());
  }
  recording.play();
  for (std::size_t kind = 0; kind < once.size(); ++kind) {
    EXPECT_EQ(d_weights[kind]->get(), once[kind]);
    for (const float gradient : once[kind]) EXPECT_TRUE(std::isfinite(gradient)) << kind;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, Recorded,
    testing::Combine(testing::Values("grud_f32_n5_d3_h9_len0-9_miss60_seed8",
                                     "lstm+none+decay_step_f32_n6_d2_h17_len0-7_seed9",
                                     "gru+relax+relax_f32_n4_d5_h8_len1-11_miss50_eo_seed10",
                                     "grud_f32_n5_d3_h9_len0-19_miss60_seed8"),
                     testing::Values(LACUNA_REGIME_STEPWISE, LACUNA_REGIME_RESIDENT,
                                     LACUNA_REGIME_LONE, LACUNA_REGIME_CLUSTER,
                                     LACUNA_REGIME_GRID)));

INSTANTIATE_TEST_SUITE_P(
    Projected, Recorded,
    testing::Combine(testing::Values("lstm+none+relax_f32_n6_d2_h17_p7_len0-7_seed11"),
                     testing::Values(LACUNA_REGIME_STEPWISE)));

#ifdef LACUNA_TEST_ON_DEVICE
// The tools of tests, too: while a capture goes on, no context can be made.
TEST(Recording, ThatFailsEndsItsCapture) {
  EXPECT_THROW(Recording([](void*) { throw std::runtime_error("planted"); }), std::runtime_error);
  support::make_context();
}

// One thread captures, in a mode that lets CUDA refuse others what could not be recorded; another one, or it itself, makes
// what has no part in that.
class BesideACapture : public testing::TestWithParam<std::tuple<unsigned, bool>> {};

TEST_P(BesideACapture, ContextsPlansAndTapesAreMade) {
  const auto [flags, own_thread] = GetParam();
  support::LibraryRun<float> run(support::parse_case("grud_f32_n6_d5_h17_len0-9_miss80_seed4"));
  support::ContextHandle context;
  support::PlanHandle plan;
  support::TapeHandle tape;
  std::string error;
  const auto make = [&] {
    try {
      context = support::make_context();
      plan = support::make_plan(context.get(), run.layer(), run.capacity());
      tape = support::make_tape(plan.get());
      must(lacuna_context_trim(context.get()));
    } catch (const std::exception& thrown) {
      error = thrown.what();
    }
  };
  cudaStream_t stream = nullptr;
  support::must_cuda(cudaStreamCreateWithFlags(&stream, flags));
  support::must_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  if (own_thread)
    make();
  else
    std::thread(make).join();
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess) << "the capture was broken";
  EXPECT_EQ(error, "");
  if (graph != nullptr) support::must_cuda(cudaGraphDestroy(graph));
  (void)cudaGetLastError();
  support::must_cuda(cudaStreamDestroy(stream));
  run.forward(plan.get(), tape.get());
  run.backward(plan.get(), tape.get());
}

INSTANTIATE_TEST_SUITE_P(Streams, BesideACapture,
                         testing::Combine(testing::Values(cudaStreamNonBlocking, cudaStreamDefault),
                                          testing::Bool()));

// To give memory back is to wait for the device. Where CUDA refuses that, the block is kept until it can be done.
TEST(ACapture, LetsNoMemoryGoThatMayBeInUse) {
  const support::ContextHandle context = support::make_context();
  const lacuna_layer layer =
      support::library_layer(support::parse_case("grud_f32_n6_d5_h17_len0-9_miss80_seed4"));
  const auto kept = [&] {
    lacuna_context_info info{};
    must(lacuna_context_query(context.get(), &info));
    return info.bytes_kept;
  };
  auto plan = support::make_plan(context.get(), layer, {1000, 10, 0});
  lacuna_plan_info info{};
  must(lacuna_plan_query(plan.get(), &info));
  const std::size_t before = kept();
  cudaStream_t stream = nullptr;
  support::must_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  support::must_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  plan.reset();
  const std::size_t during = kept();
  cudaGraph_t graph = nullptr;
  const bool refused = cudaStreamEndCapture(stream, &graph) != cudaSuccess;
  (void)cudaGetLastError();
  if (graph != nullptr) support::must_cuda(cudaGraphDestroy(graph));
  support::must_cuda(cudaStreamDestroy(stream));
  EXPECT_EQ(during == before, refused);
  support::make_plan(context.get(), layer, {1, 1, 0});
  support::must_cuda(cudaDeviceSynchronize());
  EXPECT_GE(kept(), before + info.workspace_bytes);
}
#endif

}  // namespace
