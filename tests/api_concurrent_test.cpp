// Plans that share a context and run at once give the bits they give alone, and one plan refuses a
// second thread.
#include <atomic>
#include <thread>

#include "api/example.h"

namespace {

using api_tests::Context;
using api_tests::Example;
using api_tests::Plan;
using api_tests::refused;
using api_tests::Tape;

// Few where each token takes long, above all under ThreadSanitizer.
constexpr int most_rounds = support::on_emulator ? 1 : 25;
std::vector<std::int64_t> some_lengths() {
  if (support::on_emulator) return {4, 0, 2, 6, 1, 3};
  return {30, 0, 7, 41, 1, 12};
}

template <class Real>
std::string run(lacuna_context* context, const lacuna_layer& layer, unsigned seed) {
  Example<Real> example(layer, some_lengths(), seed);
  const Plan plan(context, example.layer, example.capacity());
  const Tape tape(plan);
  EXPECT_EQ(example.forward(plan, tape), LACUNA_OK) << lacuna_last_error();
  EXPECT_EQ(example.backward(plan, tape), LACUNA_OK) << lacuna_last_error();
  return example.bytes() +
         std::string(reinterpret_cast<const char*>(example.d_parameter_values.data()),
                     example.d_parameter_values.size() * sizeof(Real));
}

TEST(Concurrency, ConcurrentPlansGiveTheBitsTheyGiveAlone) {
  constexpr unsigned threads = 4;
  const lacuna_layer layers[threads] = {api_tests::gru_d(), api_tests::relaxing_lstm(),
                                        api_tests::plain_gru(), api_tests::gru_d()};
  std::vector<std::string> alone;
  for (unsigned i = 0; i < threads; ++i) {
    const Context own(api_tests::with_threads(3));
    alone.push_back(i % 2 ? run<double>(own, layers[i], i) : run<float>(own, layers[i], i));
  }
  const Context shared(api_tests::with_threads(3));
  std::atomic<int> different{0};
  std::vector<std::thread> users;
  for (unsigned i = 0; i < threads; ++i) {
    users.emplace_back([&, i] {
      for (int round = 0; round < most_rounds; ++round)
        different += (i % 2 ? run<double>(shared, layers[i], i)
                            : run<float>(shared, layers[i], i)) != alone[i];
    });
  }
  for (std::thread& user : users) user.join();
  EXPECT_EQ(different, 0);
  EXPECT_EQ(shared.info().bytes_in_use, 0u);
}

TEST(Concurrency, RepeatableBitByBitAtAnyNumberOfThreads) {
  if (!support::on_cpu) GTEST_SKIP() << "threads are the CPU's";
  for (const lacuna_layer& layer :
       {api_tests::gru_d(), api_tests::relaxing_lstm(), api_tests::plain_gru()}) {
    std::string first;
    for (const int threads : {1, 2, 3, 7}) {
      const Context context(api_tests::with_threads(threads));
      const std::string result = run<float>(context, layer, 5);
      if (first.empty()) first = result;
      EXPECT_EQ(result, first) << threads << " threads";
    }
  }
}

// Either a run is let in and is right, or it is told why not. An emulated one takes long enough without many tokens.
TEST(Concurrency, ASecondThreadOnOnePlanIsTurnedAway) {
  const std::vector<std::int64_t> lengths = support::on_emulator
                                                ? std::vector<std::int64_t>{30, 0, 7, 41, 1, 12}
                                                : std::vector<std::int64_t>{300, 0, 7, 410, 1, 120};
  const Context context(api_tests::with_threads(1));
  const lacuna_layer layer = api_tests::gru_d();
  const Plan plan(context, layer, {1000, 6});
  std::string expected;
  {
    Example<float> example(layer, lengths);
    ASSERT_EQ(example.forward(plan, nullptr), LACUNA_OK);
    expected = example.bytes();
  }
  std::atomic<int> right{0}, wrong{0};
  std::vector<std::thread> users;
  for (int user = 0; user < 3; ++user) {
    users.emplace_back([&] {
      Example<float> example(layer, lengths);
      for (int round = 0; round < (support::on_emulator ? 4 : 40); ++round) {
        example.poison();
        const lacuna_status status = example.forward(plan, nullptr);
        if (status == LACUNA_OK) {
          ++(example.bytes() == expected ? right : wrong);
        } else if (!refused(status, LACUNA_INVALID_ARGUMENT,
                            {"plan: already running on another thread"}) ||
                   !example.is_untouched()) {
          ++wrong;
        }
      }
    });
  }
  for (std::thread& user : users) user.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(right, 0);
}

}  // namespace
