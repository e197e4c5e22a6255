// The CUDA backend beside what the oracle's cases see of it: lengths that only the device knows, what runs may not do,
// errors, memory, and the training calls against the CPU backend's.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/library_run.h"
#include "support/properties.h"
#ifndef LACUNA_TEST_ON_DEVICE
#include "emulator/backend/backend.h"
#include "emulator/emulator.h"
#endif

namespace {

using support::ContextHandle;
using support::GuardedBuffer;
using support::Mirror;
using support::must;

ContextHandle make(lacuna_backend backend, const lacuna_allocator& allocator = {}) {
  lacuna_context_options options{};
  options.backend = backend;
  options.allocator = allocator;
  lacuna_context* context = nullptr;
  must(lacuna_context_create(&options, &context));
  return ContextHandle(context);
}

testing::AssertionResult refused(lacuna_status status, lacuna_status expected,
                                 const std::string& words) {
  const std::string message = lacuna_last_error();
  if (status == expected && message.find(words) != std::string::npos)
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << lacuna_status_name(status) << ": " << message;
}

TEST(CudaContext, IsTheBestThereIs) {
  for (const lacuna_backend backend : {LACUNA_BACKEND_BEST, LACUNA_BACKEND_CUDA}) {
    lacuna_context_info info{};
    must(lacuna_context_query(make(backend).get(), &info));
    EXPECT_EQ(info.backend, LACUNA_BACKEND_CUDA);
    EXPECT_EQ(info.device, 0);
  }
  lacuna_context_info info{};
  must(lacuna_context_query(make(LACUNA_BACKEND_CPU).get(), &info));
  EXPECT_EQ(info.backend, LACUNA_BACKEND_CPU);
  EXPECT_EQ(info.device, -1);
}

TEST(CudaContext, RefusesADeviceThatIsNotThere) {
  lacuna_context_options options{};
  options.backend = LACUNA_BACKEND_CUDA;
  for (const int device : {-1, 1000}) {
    options.device = device;
    lacuna_context* context = nullptr;
    EXPECT_TRUE(refused(lacuna_context_create(&options, &context), LACUNA_INVALID_ARGUMENT,
                        "options.device: " + std::to_string(device)));
    EXPECT_EQ(context, nullptr);
  }
}

TEST(CudaPlan, ExplainsItself) {
  const ContextHandle context = make(LACUNA_BACKEND_CUDA);
  const support::Case c = support::parse_case("grud_f16_n4_d3_h9_len1-9_miss50_seed1");
  const auto plan = support::make_plan(context.get(), support::library_layer(c), {100, 10, 50});
  std::string text(4000, '\0');
  std::size_t length = text.size();
  must(lacuna_plan_explain(plan.get(), text.data(), &length));
  text.resize(length);
  for (const char* part : {"100 tokens in 10 sequences of at most 50", "CUDA", "fp16", "stepwise"})
    EXPECT_NE(text.find(part), std::string::npos) << text;
}

// A context serves several host threads at once, each with a plan of its own.
TEST(CudaContext, ServesTwoAtOnce) {
  const support::Case c = support::parse_case("grud_f32_n6_d5_h17_len0-9_miss80_seed4");
  const ContextHandle context = make(LACUNA_BACKEND_CUDA);
  support::LibraryRun<float> alone(c);
  alone.run(context.get());
  std::vector<std::unique_ptr<support::LibraryRun<float>>> runs;
  std::vector<std::thread> workers;
  for (int w = 0; w < 2; ++w) {
    runs.push_back(std::make_unique<support::LibraryRun<float>>(c));
    workers.emplace_back([&context, run = runs.back().get()] { run->run(context.get()); });
  }
  for (std::thread& worker : workers) worker.join();
  for (const auto& run : runs)
    for (const auto& [name, buffer] : alone.results.entries())
      EXPECT_TRUE(support::agrees(
          name, support::compare_bits<float>(run->results.find(name)->span(), buffer->span())));
}

// ---- Lengths that only the device knows ----

class OffsetsOnDevice : public testing::TestWithParam<const char*> {};

TEST_P(OffsetsOnDevice, GiveTheSameBits) {
  const support::Case c = support::parse_case(GetParam());
  const ContextHandle context = make(LACUNA_BACKEND_CUDA);
  support::in_type(c, [&]<class Real>(Real) {
    support::LibraryRun<Real> known(c), unknown(c);
    lacuna_capacity room = known.capacity();
    room.max_length = c.max_length() + 3;  // steps in which nobody takes part
    known.run(context.get(), room);
    unknown.offsets_on_device = true;
    unknown.run(context.get(), room);
    for (const auto& [name, buffer] : known.results.entries())
      EXPECT_TRUE(support::agrees(
          name, support::compare_bits<Real>(unknown.results.find(name)->span(), buffer->span())));
  });
}

INSTANTIATE_TEST_SUITE_P(Models, OffsetsOnDevice,
                         testing::Values("lstm_f32_n9_h31_len0-23_init_seed3",
                                         "grud_f64_n6_d5_h17_len0-19_miss80_nan_times_seed4",
                                         "grud_relax_f32_n7_h12_len0-19_miss80_rev_seed5",
                                         "ode_euler_f64_n5_d3_h7_len0-9_miss50_gap_seed6"),
                         support::test_name);

// A batch in arrays that are larger than what is in use.
TEST(OffsetsOnDevice, LeaveRowsBehindTheLastTokenAlone) {
  const support::Case c = support::parse_case("grud_f32_n5_d3_h9_len0-9_miss60_seed8");
  const ContextHandle context = make(LACUNA_BACKEND_CUDA);
  support::LibraryRun<float> run(c);
  run.run(context.get());

  const lacuna_layer layer = run.layer();
  lacuna_batch batch = run.batch();
  const std::int64_t spare = 37, used = batch.tokens, all = used + spare;
  const auto n = static_cast<std::size_t>(all), d = static_cast<std::size_t>(layer.features),
             h = static_cast<std::size_t>(layer.hidden);
  const auto longer = [&]<class T>(const T* from, std::size_t width, T poison) {
    std::vector<T> to(n * width, poison);
    std::copy_n(from, static_cast<std::size_t>(used) * width, to.begin());
    return to;
  };
  const auto values = longer(static_cast<const float*>(batch.values), d, NAN);
  const auto mask = longer(batch.mask, d, std::uint8_t{1});
  const auto delta_t = longer(static_cast<const float*>(batch.delta_t), 1, NAN);
  const std::vector<float> ones(n * h, 1.0f);

  Mirror mirror;
  batch.tokens = all;
  batch.values = mirror.in(values.data(), values.size());
  batch.mask = mirror.in(mask.data(), mask.size());
  batch.delta_t = mirror.in(delta_t.data(), delta_t.size());
  batch.offsets = mirror.in(batch.offsets, static_cast<std::size_t>(batch.sequences) + 1);
  batch.offsets_on_device = 1;
  GuardedBuffer<float> hidden(n * h), d_values(n * d), d_delta_t(n);
  GuardedBuffer<float> d_weights(3 * h * 2 * d);
  std::fill_n(d_weights.data(), d_weights.size(), 0.0f);
  lacuna_outputs outputs{};
  outputs.hidden = mirror.out(hidden);
  lacuna_output_gradients given{};
  given.d_hidden = mirror.in(ones.data(), ones.size());
  lacuna_parameter_gradients gradients{};
  gradients.tensor[LACUNA_WEIGHTS_X] = mirror.out(d_weights);
  lacuna_input_gradients inputs{};
  inputs.d_values = mirror.out(d_values);
  inputs.d_delta_t = mirror.out(d_delta_t);
  lacuna_parameters parameters = run.parameters();
  for (int kind = 0; kind < LACUNA_PARAMETERS; ++kind) {
    lacuna_parameter_info info{};
    must(lacuna_layer_parameter(&layer, static_cast<lacuna_parameter>(kind), &info));
    parameters.tensor[kind] = mirror.in(static_cast<const float*>(parameters.tensor[kind]),
                                        static_cast<std::size_t>(info.rows * info.columns));
  }
  const auto plan = support::make_plan(context.get(), layer, {all, batch.sequences, 9});
  const auto tape = support::make_tape(plan.get());
  must(lacuna_forward(plan.get(), &parameters, &batch, &outputs, tape.get(), nullptr));
  must(lacuna_backward(plan.get(), &parameters, &batch, &given, tape.get(), &gradients, &inputs,
                       nullptr));
  mirror.bring_back();

  const auto in_use = static_cast<std::size_t>(used);
  EXPECT_TRUE(
      support::agrees("hidden", support::compare_bits<float>(hidden.span().first(in_use * h),
                                                             run.results.find("hidden")->span())));
  for (std::size_t i = in_use * h; i < n * h; ++i) EXPECT_TRUE(std::isnan(hidden.data()[i])) << i;
  for (const float gradient : d_weights.span()) EXPECT_TRUE(std::isfinite(gradient));
  for (std::size_t i = 0; i < in_use; ++i) EXPECT_TRUE(std::isfinite(d_delta_t.data()[i])) << i;
  for (const auto* buffer : {&hidden, &d_values, &d_delta_t, &d_weights})
    EXPECT_EQ(buffer->damage(), "");
}

TEST(OffsetsOnDevice, NeedALimitOfTheLengths) {
  const support::Case c = support::parse_case("gru_f32_n3_d2_h4_len1-5_seed1");
  const ContextHandle context = make(LACUNA_BACKEND_CUDA);
  support::LibraryRun<float> run(c);
  run.offsets_on_device = true;
  const auto plan = support::make_plan(context.get(), run.layer(), run.capacity());
  try {
    run.forward(plan.get(), nullptr);
    FAIL() << "was not refused";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("max_length is 0"), std::string::npos) << error.what();
  }
  run.offsets_on_device = false;
  run.forward(plan.get(), nullptr);
}

TEST(Capacity, BoundsTheLongestSequence) {
  const support::Case c = support::parse_case("gru_f32_n3_d2_h4_len5_seed1");
  const ContextHandle context = make(LACUNA_BACKEND_CUDA);
  support::LibraryRun<float> run(c);
  lacuna_capacity room = run.capacity();
  room.max_length = 4;
  const auto plan = support::make_plan(context.get(), run.layer(), room);
  try {
    run.forward(plan.get(), nullptr);
    FAIL() << "was not refused";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("batch.offsets[1]: sequence 0 has 5 tokens"),
              std::string::npos)
        << error.what();
  }
}

// ---- Memory ----

TEST(CudaMemory, RunsAskForNone) {
  const support::Case c = support::parse_case("grud_f32_n6_d5_h17_len0-19_miss80_seed4");
  const ContextHandle context = make(LACUNA_BACKEND_CUDA);
  support::LibraryRun<float> run(c);
  const auto plan = support::make_plan(context.get(), run.layer(), run.capacity());
  const auto tape = support::make_tape(plan.get());
  lacuna_context_info before{}, after{};
  must(lacuna_context_query(context.get(), &before));
#ifndef LACUNA_TEST_ON_DEVICE
  const auto allocations = lacuna::emulator::counters().allocations.load();
  const auto launches = lacuna::emulator::counters().launches.load();
  const auto waits = lacuna::emulator::counters().synchronisations.load();
#endif
  run.forward(plan.get(), tape.get());
  run.backward(plan.get(), tape.get());
  must(lacuna_context_query(context.get(), &after));
  EXPECT_EQ(after.allocations, before.allocations);
#ifndef LACUNA_TEST_ON_DEVICE
  EXPECT_EQ(lacuna::emulator::counters().allocations.load(), allocations);
  EXPECT_EQ(lacuna::emulator::counters().synchronisations.load(), waits);
  EXPECT_GT(lacuna::emulator::counters().launches.load(), launches + 20);
#endif
}

#ifndef LACUNA_TEST_ON_DEVICE
struct Ledger {
  int left = 1 << 20, blocks = 0;
  static void* allocate(void* user, std::size_t bytes, std::size_t alignment, void*) {
    auto& ledger = *static_cast<Ledger*>(user);
    if (ledger.left-- <= 0) return nullptr;
    ++ledger.blocks;
    return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  }
  static void deallocate(void* user, void* block, std::size_t, std::size_t, void*) {
    --static_cast<Ledger*>(user)->blocks;
    std::free(block);
  }
};

// Every allocation fails once; nothing leaks, and the context works afterwards.
TEST(CudaMemory, ACallersAllocatorMayFail) {
  const support::Case c = support::parse_case("lstm_f32_n4_d3_h8_len0-7_seed2");
  Ledger ledger;
  {
    const ContextHandle context =
        make(LACUNA_BACKEND_CUDA, {Ledger::allocate, Ledger::deallocate, &ledger});
    std::vector<float> x(12, 1), w(3, 1), dy(4, 1), dw(3, 0);
    const auto everything = [&] {
      support::LibraryRun<float> run(c);
      run.run(context.get());
      must(lacuna_linear_backward(context.get(), LACUNA_F32, 4, 3, 1, x.data(), w.data(), dy.data(),
                                  nullptr, dw.data(), nullptr, nullptr));
    };
    int failures = 0;
    for (int until = 0; failures == until; ++until) {
      ledger.left = until;
      try {
        everything();
      } catch (const std::runtime_error& error) {
        EXPECT_NE(std::string(error.what()).find("LACUNA_OUT_OF_MEMORY"), std::string::npos)
            << error.what();
        ++failures;
      }
      EXPECT_EQ(ledger.blocks, 0);
    }
    EXPECT_EQ(failures, 3);  // workspace, tape, scratch
  }
  EXPECT_EQ(ledger.blocks, 0);
}

// ---- What the device refuses ----

TEST(CudaErrors, AFailedLaunchNamesItselfAndLeavesAllUsable) {
  const support::Case c = support::parse_case("gru_f32_n4_d3_h8_len1-7_seed2");
  const ContextHandle context = make(LACUNA_BACKEND_CUDA);
  support::LibraryRun<float> run(c);
  const auto plan = support::make_plan(context.get(), run.layer(), run.capacity());
  lacuna::emulator::Settings& settings = lacuna::emulator::settings();
  const auto whole = settings.device;
  settings.device.threads_per_block = 16;
  try {
    run.forward(plan.get(), nullptr);
    ADD_FAILURE() << "was not refused";
  } catch (const std::runtime_error& error) {
    for (const char* part : {"LACUNA_DEVICE_ERROR", "forward: ", "block"})
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
  settings.device = whole;
  run.forward(plan.get(), nullptr);
}
#endif

// ---- Arrays in the host's memory ----

#ifndef LACUNA_TEST_ON_DEVICE
struct HostArrays : testing::TestWithParam<const char*> {
  HostArrays() { lacuna::emulated_backend::tells_host_memory = true; }
  ~HostArrays() override { lacuna::emulated_backend::tells_host_memory = false; }
};

// A program that was written for the CPU: every array is the host's, and is copied there and back.
TEST_P(HostArrays, GiveTheSameBits) {
  const support::Case c = support::parse_case(GetParam());
  const ContextHandle context = make(LACUNA_BACKEND_CUDA);
  support::in_type(c, [&]<class Real>(Real) {
    support::LibraryRun<Real> staged(c), direct(c);
    staged.run(context.get());
    EXPECT_GT(lacuna::emulator::counters().synchronisations.exchange(0), 0u);
    lacuna::emulated_backend::tells_host_memory = false;
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
                    "gru+decay+decay_f64_n5_d3_h7_len0-9_miss50_delta_seed6"),
    support::test_name);

TEST_F(HostArrays, CannotBeAPlansMemory) {
  const ContextHandle context = make(LACUNA_BACKEND_CUDA);
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
  EXPECT_TRUE(refused(lacuna_plan_create(context.get(), &layer, &room, &options, &plan),
                      LACUNA_INVALID_ARGUMENT, "options.workspace: address"));
}
#endif

// ---- Training, beside the CPU backend ----

template <class Real>
constexpr lacuna_type type_of = sizeof(Real) == 8 ? LACUNA_F64 : LACUNA_F32;

template <class Real>
std::vector<Real> numbers(std::size_t count, int seed) {
  std::vector<Real> out(count);
  for (std::size_t i = 0; i < count; ++i)
    out[i] = static_cast<Real>(std::sin(static_cast<double>(i * 7 + 13) * seed));
  return out;
}

template <class Real>
void expect_close(const GuardedBuffer<Real>& result, const std::vector<Real>& expected,
                  const char* name) {
  EXPECT_EQ(result.damage(), "") << name;
  const double tolerance = 200 * std::numeric_limits<Real>::epsilon();
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_TRUE(std::abs(result.data()[i] - expected[i]) <= tolerance * (1 + std::abs(expected[i])))
        << name << "[" << i << "]: " << result.data()[i] << ", expected " << expected[i];
}

// Type and, on the emulator, whether the arrays are the host's.
template <class RealNumber, bool host>
struct Kind {
  using Real = RealNumber;
  static constexpr bool in_host_memory = host;
};

template <class Kind>
class CudaTraining : public testing::Test {
 protected:
  using Real = typename Kind::Real;
#ifndef LACUNA_TEST_ON_DEVICE
  CudaTraining() { lacuna::emulated_backend::tells_host_memory = Kind::in_host_memory; }
  ~CudaTraining() override { lacuna::emulated_backend::tells_host_memory = false; }
#endif
  ContextHandle cuda = make(LACUNA_BACKEND_CUDA), cpu = make(LACUNA_BACKEND_CPU);
  Mirror mirror;

  const Real* in(const std::vector<Real>& host) { return mirror.in(host.data(), host.size()); }
};
#ifdef LACUNA_TEST_ON_DEVICE
using Kinds = testing::Types<Kind<float, false>, Kind<double, false>>;
#else
using Kinds =
    testing::Types<Kind<float, false>, Kind<double, false>, Kind<float, true>, Kind<double, true>>;
#endif
TYPED_TEST_SUITE(CudaTraining, Kinds);

TYPED_TEST(CudaTraining, LinearHead) {
  using Real = typename TypeParam::Real;
  constexpr std::size_t rows = 37, width = 19, outputs = 3;
  constexpr lacuna_type type = type_of<Real>;
  const auto x = numbers<Real>(rows * width, 1), w = numbers<Real>(outputs * width, 2),
             b = numbers<Real>(outputs, 3), d_y = numbers<Real>(rows * outputs, 4);
  std::vector<Real> y(rows * outputs), d_x(x.size()), d_w(w.size(), 1), d_b(b.size(), 2);
  must(lacuna_linear_forward(this->cpu.get(), type, rows, width, outputs, x.data(), w.data(),
                             b.data(), y.data(), nullptr));
  must(lacuna_linear_backward(this->cpu.get(), type, rows, width, outputs, x.data(), w.data(),
                              d_y.data(), d_x.data(), d_w.data(), d_b.data(), nullptr));
  GuardedBuffer<Real> got_y(y.size()), got_x(x.size()), got_w(std::vector<Real>(w.size(), Real(1))),
      got_b(std::vector<Real>(b.size(), Real(2)));
  Mirror& m = this->mirror;
  must(lacuna_linear_forward(this->cuda.get(), type, rows, width, outputs, this->in(x), this->in(w),
                             this->in(b), m.out(got_y), nullptr));
  must(lacuna_linear_backward(this->cuda.get(), type, rows, width, outputs, this->in(x),
                              this->in(w), this->in(d_y), m.out(got_x), m.out(got_w), m.out(got_b),
                              nullptr));
  m.bring_back();
  expect_close(got_y, y, "y");
  expect_close(got_x, d_x, "d_x");
  expect_close(got_w, d_w, "d_weights");
  expect_close(got_b, d_b, "d_bias");
}

TYPED_TEST(CudaTraining, Losses) {
  using Real = typename TypeParam::Real;
  constexpr std::size_t rows = 23, columns = 5;
  constexpr lacuna_type type = type_of<Real>;
  const auto predictions = numbers<Real>(rows * columns, 5);
  std::vector<std::uint8_t> mask(rows * columns);
  std::vector<Real> targets(rows * columns);
  std::vector<std::int32_t> classes(rows);
  for (std::size_t i = 0; i < mask.size(); ++i) {
    mask[i] = i % 3 != 0;
    targets[i] = mask[i] ? static_cast<Real>(i % 2) : static_cast<Real>(NAN);
  }
  for (std::size_t i = 0; i < rows; ++i) classes[i] = mask[i] ? static_cast<int>(i % columns) : -9;
  for (const lacuna_loss kind : {LACUNA_LOSS_BINARY_CROSS_ENTROPY, LACUNA_LOSS_CROSS_ENTROPY,
                                 LACUNA_LOSS_SQUARED_ERROR, LACUNA_LOSS_ABSOLUTE_ERROR}) {
    const bool per_row = kind == LACUNA_LOSS_CROSS_ENTROPY;
    std::vector<Real> d(predictions.size());
    double loss = 0;
    std::int64_t count = 0;
    must(lacuna_loss_evaluate(this->cpu.get(), kind, type, rows, columns, predictions.data(),
                              per_row ? static_cast<const void*>(classes.data()) : targets.data(),
                              mask.data(), 0.25, &loss, &count, d.data(), nullptr));
    GuardedBuffer<Real> got_d(d.size());
    GuardedBuffer<double> got_loss(1);
    GuardedBuffer<std::int64_t> got_count(1);
    Mirror mirror;
    must(lacuna_loss_evaluate(this->cuda.get(), kind, type, rows, columns,
                              mirror.in(predictions.data(), predictions.size()),
                              per_row ? static_cast<const void*>(mirror.in(classes.data(), rows))
                                      : mirror.in(targets.data(), targets.size()),
                              mirror.in(mask.data(), mask.size()), 0.25, mirror.out(got_loss),
                              mirror.out(got_count), mirror.out(got_d), nullptr));
    mirror.bring_back();
    expect_close(got_d, d, "d_predictions");
    EXPECT_NEAR(*got_loss.data(), loss, 1e-5 * loss) << kind;
    EXPECT_EQ(*got_count.data(), count);
  }
}

TYPED_TEST(CudaTraining, ClippingAndAdam) {
  using Real = typename TypeParam::Real;
  constexpr lacuna_type type = type_of<Real>;
  auto a = numbers<Real>(1000, 6), b = numbers<Real>(7, 7);
  GuardedBuffer<Real> got_a(a), got_b(b);
  GuardedBuffer<double> got_norm(1);
  void* const host[] = {a.data(), b.data()};
  const std::int64_t counts[] = {1000, 7};
  double norm = 0;
  must(lacuna_clip_gradient_norm(this->cpu.get(), type, 2, host, counts, 0.5, &norm, nullptr));
  Mirror& m = this->mirror;
  void* const device[] = {m.out(got_a), m.out(got_b)};
  must(lacuna_clip_gradient_norm(this->cuda.get(), type, 2, device, counts, 0.5, m.out(got_norm),
                                 nullptr));
  m.bring_back();
  expect_close(got_a, a, "a");
  expect_close(got_b, b, "b");
  EXPECT_NEAR(*got_norm.data(), norm, 1e-4);

  const lacuna_adam adam{1e-2, 0.9, 0.999, 1e-8, 0.01, 3};
  auto p = numbers<Real>(1000, 8), first = numbers<Real>(1000, 9), second = numbers<Real>(1000, 10);
  for (Real& v : second) v = std::abs(v);
  GuardedBuffer<Real> got_p(p), got_first(first), got_second(second);
  must(lacuna_adam_step(this->cpu.get(), &adam, type, 1000, a.data(), p.data(), first.data(),
                        second.data(), nullptr));
  Mirror again;
  must(lacuna_adam_step(this->cuda.get(), &adam, type, 1000, again.in(a.data(), a.size()),
                        again.out(got_p), again.out(got_first), again.out(got_second), nullptr));
  again.bring_back();
  expect_close(got_p, p, "parameters");
  expect_close(got_first, first, "first_moment");
  expect_close(got_second, second, "second_moment");
}

TYPED_TEST(CudaTraining, PackAndUnpack) {
  using Real = typename TypeParam::Real;
  const std::vector<std::int64_t> lengths{2, 0, 5, 1};
  constexpr std::size_t longest = 5, width = 3;
  const auto padded = numbers<Real>(lengths.size() * longest * width, 11);
  std::vector<std::int64_t> offsets(lengths.size() + 1);
  std::vector<Real> packed(8 * width), back(padded.size());
  const auto row = static_cast<std::int64_t>(width * sizeof(Real));
  must(lacuna_pack(this->cpu.get(), 4, longest, row, lengths.data(), padded.data(), offsets.data(),
                   packed.data(), nullptr));
  must(lacuna_unpack(this->cpu.get(), 4, longest, row, offsets.data(), packed.data(), back.data(),
                     nullptr));
  GuardedBuffer<std::int64_t> got_offsets(offsets.size());
  GuardedBuffer<Real> got_packed(packed.size()), got_back(back.size());
  Mirror& m = this->mirror;
  auto* const there = m.out(got_offsets);
  auto* const packed_there = m.out(got_packed);
  must(lacuna_pack(this->cuda.get(), 4, longest, row, m.in(lengths.data(), lengths.size()),
                   this->in(padded), there, packed_there, nullptr));
  must(lacuna_unpack(this->cuda.get(), 4, longest, row, there, packed_there, m.out(got_back),
                     nullptr));
  m.bring_back();
  EXPECT_EQ(got_offsets.vector(), offsets);
  EXPECT_EQ(got_packed.vector(), packed);
  EXPECT_EQ(got_back.vector(), back);
}

}  // namespace
