// A training step recorded once serves batches of other lengths: the arrays stay, what is in them changes, lengths
// included. On a GPU the recording is a captured CUDA graph; on the emulator, the same calls once more.
#include <cmath>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <vector>

#include "support/cuda.h"
#include "support/library_run.h"
#include "support/properties.h"
#include "support/recording.h"

namespace {

using support::Array;
using support::must;
using support::Recording;

// A training step over arrays that stay where they are: as many sequences as the case has, lengths that only the device knows.
template <class Real, class Stored>
class Step {
 public:
  using Run = support::LibraryRun<Real, Stored>;

  explicit Step(const support::Case& c)
      : layer_(support::library_layer(c)),
        sequences_(static_cast<std::size_t>(c.sequences)),
        tokens_(sequences_ * static_cast<std::size_t>(c.max_length())),
        room_{static_cast<std::int64_t>(tokens_), c.sequences, c.max_length()},
        offsets_(sequences_ + 1),
        mask_(tokens_ * features()),
        values_(tokens_ * features()),
        delta_t_(tokens_) {
    const std::size_t outputs = static_cast<std::size_t>(c.layer.output_width()),
                      hidden = static_cast<std::size_t>(layer_.hidden);
    const bool lstm = layer_.cell == LACUNA_LSTM;
    batch_.sequences = c.sequences;
    batch_.tokens = room_.tokens;
    batch_.offsets = offsets_.data();
    batch_.offsets_on_device = 1;
    batch_.values = values_.data();
    batch_.mask = layer_.impute == LACUNA_IMPUTE_NONE ? nullptr : mask_.data();
    batch_.delta_t = delta_t_.data();
    outputs_.hidden = stored("hidden", tokens_ * outputs);
    outputs_.evolved_hidden = stored("evolved_hidden", tokens_ * outputs);
    outputs_.imputed = stored("imputed", tokens_ * features());
    outputs_.final_hidden = stored("final_hidden", sequences_ * outputs);
    given_.d_hidden = upstream("d_hidden", tokens_ * outputs);
    given_.d_final_hidden = upstream("d_final_hidden", sequences_ * outputs);
    d_inputs_.d_values = stored("d_values", tokens_ * features());
    d_inputs_.d_delta_t = wide("d_delta_t", tokens_);
    d_inputs_.d_initial_hidden = stored("d_initial_hidden", sequences_ * outputs);
    if (lstm) {
      outputs_.cell = stored("cell", tokens_ * hidden);
      outputs_.final_cell = stored("final_cell", sequences_ * hidden);
      given_.d_cell = upstream("d_cell", tokens_ * hidden);
      given_.d_final_cell = upstream("d_final_cell", sequences_ * hidden);
      d_inputs_.d_initial_cell = stored("d_initial_cell", sequences_ * hidden);
    }
    const auto parameters = support::make_parameters(c);
    for (const auto& [name, tensor] : reference::named_tensors(parameters)) {
      if (tensor->empty()) continue;
      const lacuna_parameter kind = support::parameter_of(name);
      const auto numbers = support::convert<Real>(*tensor);
      auto& weights = weights_.try_emplace(name, numbers.size()).first->second;
      weights.set(numbers.data(), numbers.size());
      parameters_.tensor[kind] = weights.data();
      d_parameters_.tensor[kind] = wide(std::string("d_") + name, numbers.size());
    }
  }

  const lacuna_capacity& room() const { return room_; }

  // The arrays of another batch, of the same layer and no more tokens.
  void set(const Run& run, const reference::Upstream& upstream) {
    const lacuna_batch from = run.batch();
    used_ = static_cast<std::size_t>(from.tokens);
    offsets_.set(from.offsets, sequences_ + 1);
    values_.set(static_cast<const Stored*>(from.values), used_ * features());
    if (batch_.mask) mask_.set(from.mask, used_ * features());
    delta_t_.set(static_cast<const Real*>(from.delta_t), used_);
    const auto give = [&](const char* name, const std::vector<double>& gradient) {
      const auto found = upstream_.find(name);
      if (found == upstream_.end()) return;
      std::vector<Stored> numbers;
      if constexpr (std::is_same_v<Real, Stored>)
        numbers = support::convert<Real>(gradient);
      else
        numbers = support::store<Stored>(support::convert<Real>(gradient));
      found->second.set(numbers.data(), numbers.size());
    };
    give("d_hidden", upstream.d_hidden);
    give("d_cell", upstream.d_cell);
    give("d_final_hidden", upstream.d_final_hidden);
    give("d_final_cell", upstream.d_final_cell);
  }

  void queue(lacuna_plan* plan, lacuna_tape* tape, void* stream) {
    must(lacuna_forward(plan, &parameters_, &batch_, &outputs_, tape, stream));
    must(lacuna_backward(plan, &parameters_, &batch_, &given_, tape, &d_parameters_, &d_inputs_,
                         stream));
  }

  // Parameter gradients, to which a step adds, to zero; what it writes, to NaN.
  void clear() {
    for (auto& [name, array] : wide_) {
      const bool adds = support::rows_of(name) == support::Per::parameter;
      const std::vector<Real> numbers(array.get().size(), adds ? Real(0) : Real(NAN));
      array.set(numbers.data(), numbers.size());
    }
    Stored nan;
    std::memset(&nan, 0xff, sizeof nan);
    for (auto& [name, array] : stored_) {
      const std::vector<Stored> numbers(array.get().size(), nan);
      array.set(numbers.data(), numbers.size());
    }
  }

  // What the step has made of the tokens in use.
  std::map<std::string, std::vector<Real>> results() const {
    std::map<std::string, std::vector<Real>> all;
    const auto used = [&](const std::string& name, auto numbers) {
      if (support::rows_of(name) == support::Per::token)
        numbers.resize(numbers.size() / tokens_ * used_);
      return numbers;
    };
    for (const auto& [name, array] : wide_) all[name] = used(name, array.get());
    for (const auto& [name, array] : stored_)
      for (const Stored number : used(name, array.get())) {
        if constexpr (std::is_same_v<Real, Stored>)
          all[name].push_back(number);
        else
          all[name].push_back(support::widen<Real>(number));
      }
    return all;
  }

 private:
  std::size_t features() const { return static_cast<std::size_t>(layer_.features); }
  Stored* stored(const std::string& name, std::size_t size) {
    return stored_.try_emplace(name, size).first->second.data();
  }
  Real* wide(const std::string& name, std::size_t size) {
    return wide_.try_emplace(name, size).first->second.data();
  }
  const Stored* upstream(const std::string& name, std::size_t size) {
    return upstream_.try_emplace(name, size).first->second.data();
  }

  lacuna_layer layer_;
  std::size_t sequences_, tokens_, used_ = 0;
  lacuna_capacity room_;
  Array<std::int64_t> offsets_;
  Array<std::uint8_t> mask_;
  Array<Stored> values_;
  Array<Real> delta_t_;
  std::map<std::string, Array<Real>> weights_, wide_;
  std::map<std::string, Array<Stored>> upstream_, stored_;
  lacuna_batch batch_{};
  lacuna_parameters parameters_{};
  lacuna_outputs outputs_{};
  lacuna_output_gradients given_{};
  lacuna_parameter_gradients d_parameters_{};
  lacuna_input_gradients d_inputs_{};
};

// A recording of one batch plays another and the first again. Each time all results are those of the same calls made plainly,
// bit for bit, which leave nothing of the batch before; and those of a run that knows its lengths.
template <class Real, class Stored = Real>
void expect_recorded(const support::Case& first) {
  support::Case second = first;
  second.seed += 100;
  const auto parameters = support::make_parameters(first);
  const auto context = support::make_context();
  Step<Real, Stored> step(first);
  const auto plan = support::make_plan(context.get(), support::library_layer(first), step.room());
  const auto tape = support::make_tape(plan.get());
  Recording recording([&](void* stream) { step.queue(plan.get(), tape.get(), stream); });
  for (const support::Case& c : {first, second, first}) {
    SCOPED_TRACE(support::to_string(c));
    const auto data = support::make_batch(c);
    const auto upstream = support::make_upstream(c);
    support::LibraryRun<Real, Stored> alone(c, parameters, data, upstream);
    alone.run(context.get());
    step.set(alone, upstream);
    step.clear();
    recording.play();
    const auto played = step.results();
    step.clear();
    step.queue(plan.get(), tape.get(), nullptr);
    const auto plain = step.results();
    for (const auto& [name, result] : played) {
      EXPECT_TRUE(support::are_same_bits(name, result, plain.at(name)));
      const auto expected = alone.results.find(name)->vector();
      const std::int64_t tokens = data.tokens();
      if (support::rows_of(name) == support::Per::parameter) {
        EXPECT_TRUE(support::are_close(c, name, tokens, result, expected));
      } else if (!support::sizes_decide_bits || std::is_same_v<Real, Stored>) {
        EXPECT_TRUE(support::are_alike(c, name, tokens, result, expected));
      }
    }
  }
}

class Recorded : public testing::TestWithParam<std::tuple<const char*, lacuna_regime>> {};

TEST_P(Recorded, ServesOtherLengths) {
  const auto [text, asked] = GetParam();
  if (!support::serves(asked)) GTEST_SKIP() << "no clusters here";
  const support::InRegime regime(asked);
  const support::Case c = support::parse_case(text);
  switch (c.type) {
    case support::Type::f64: return expect_recorded<double>(c);
    case support::Type::f32: return expect_recorded<float>(c);
    case support::Type::f16: return expect_recorded<float, support::Fp16>(c);
    case support::Type::bf16: return expect_recorded<float, support::Bf16>(c);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, Recorded,
    testing::Combine(testing::Values("grud_f32_n5_d3_h9_len0-9_miss60_seed8",
                                     "lstm+none+decay_step_f32_n6_d2_h17_len0-7_seed9",
                                     "gru+relax+relax_f32_n4_d5_h8_len1-11_miss50_eo_seed10",
                                     "grud_f32_n5_d3_h9_len0-19_miss60_seed8",
                                     "lstm_f16_n6_d2_h17_len0-7_seed12",
                                     "grud_bf16_n5_d3_h9_len0-9_miss60_seed13"),
                     testing::Values(LACUNA_REGIME_STEPWISE, LACUNA_REGIME_RESIDENT,
                                     LACUNA_REGIME_LONE, LACUNA_REGIME_CLUSTER,
                                     LACUNA_REGIME_GRID)));

INSTANTIATE_TEST_SUITE_P(
    StepwiseAlone, Recorded,
    testing::Combine(testing::Values("lstm+none+relax_f32_n6_d2_h17_p7_len0-7_seed11",
                                     "grud_f64_n5_d3_h9_len0-9_miss60_seed14",
                                     "lstm+none+relax_f64_n6_d2_h17_len0-7_seed15"),
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
