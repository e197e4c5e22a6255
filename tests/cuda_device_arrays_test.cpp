// Arrays in the device's memory that a call cannot do with: what the host is to read, and what it cannot size.
#include <string>
#include <vector>

#include "support/cuda.h"
#include "support/library_run.h"
#include "support/recording.h"
#include "support/stack_cases.h"
#include "support/stack_run.h"

namespace {

using support::Array;
using support::ContextHandle;
using support::must;
using support::refused;

template <class T>
struct OnDevice : Array<T> {
  explicit OnDevice(const std::vector<T>& content) : Array<T>(content.size()) {
    this->set(content.data(), content.size());
  }
};

// The backend can tell the device's memory, which Array has, from the host's.
class DeviceArrays : public testing::Test {
 protected:
  support::HostArrays host;
  ContextHandle context = support::make_context();
};

TEST_F(DeviceArrays, ThatCountRowsNeedAPackedArray) {
  OnDevice<std::int64_t> offsets({0, 2, 2, 6}), lengths({2, 0, 4});
  Array<std::int64_t> written(4);
  OnDevice<double> packed({1, 2, 3, 4, 5, 6}), padded(std::vector<double>(12, -7));
  const auto unpack = [&](std::int64_t max_length, const void* from, void* to) {
    return lacuna_unpack(context.get(), 3, max_length, 8, offsets.data(), from, to, nullptr);
  };
  const auto pack = [&](const void* from, void* to) {
    return lacuna_pack(context.get(), 3, 4, 8, lengths.data(), from, written.data(), to, nullptr);
  };
  EXPECT_TRUE(
      refused(unpack(4, nullptr, padded.data()), LACUNA_INVALID_ARGUMENT,
              "packed: null, expected an array of as many rows as offsets of the device say"));
  EXPECT_TRUE(refused(pack(padded.data(), nullptr), LACUNA_INVALID_ARGUMENT,
                      "packed: null, expected both arrays or neither"));
  EXPECT_TRUE(refused(unpack(4, padded.data() + 3, padded.data()), LACUNA_INVALID_ARGUMENT,
                      "padded: overlaps packed"));
  EXPECT_TRUE(refused(pack(padded.data(), padded.data()), LACUNA_INVALID_ARGUMENT,
                      "packed: overlaps padded"));
  EXPECT_EQ(padded.get(), std::vector<double>(12, -7));
  must(unpack(0, nullptr, padded.data()));
  EXPECT_EQ(padded.get(), std::vector<double>(12, -7));
  must(unpack(4, packed.data(), padded.data()));
  EXPECT_EQ(padded.get(), (std::vector<double>{1, 2, 0, 0, 0, 0, 0, 0, 3, 4, 5, 6}));
  must(pack(nullptr, nullptr));
  EXPECT_EQ(written.get(), (std::vector<std::int64_t>{0, 2, 2, 6}));
  must(pack(padded.data(), packed.data()));
  EXPECT_EQ(packed.get(), (std::vector<double>{1, 2, 3, 4, 5, 6}));
}

constexpr const char* not_the_hosts = "memory of device 0, expected the host's";

TEST_F(DeviceArrays, CannotBeOffsetsWithoutSayingSo) {
  const support::Case c = support::parse_case("gru_f32_n3_d2_h4_len1-5_seed1");
  support::LibraryRun<float> run(c);
  lacuna_capacity room = run.capacity();
  room.max_length = 5;
  const auto plan = support::make_plan(context.get(), run.layer(), room);
  const auto tape = support::make_tape(plan.get());
  const lacuna_parameters parameters = run.parameters();
  lacuna_batch batch = run.batch();
  const std::int64_t* const of_host = batch.offsets;
  OnDevice<std::int64_t> offsets(std::vector<std::int64_t>(of_host, of_host + 4));
  const lacuna_outputs outputs{};
  const lacuna_output_gradients d_outputs{};
  const auto forward = [&] {
    return lacuna_forward(plan.get(), &parameters, &batch, &outputs, tape.get(), nullptr);
  };
  const auto backward = [&] {
    return lacuna_backward(plan.get(), &parameters, &batch, &d_outputs, tape.get(), nullptr,
                           nullptr, nullptr);
  };
  must(forward());
  batch.offsets = offsets.data();
  for (const bool forwards : {true, false}) {
    const lacuna_status status = forwards ? forward() : backward();
    EXPECT_TRUE(refused(status, LACUNA_INVALID_ARGUMENT, "batch.offsets: address 0x"));
    EXPECT_TRUE(refused(status, LACUNA_INVALID_ARGUMENT,
                        std::string(not_the_hosts) + ", for batch.offsets_on_device is 0"));
  }
  std::size_t length = 0;
  const lacuna_status status =
      lacuna_plan_explain_batch(plan.get(), offsets.data(), 3, nullptr, &length);
  EXPECT_TRUE(refused(status, LACUNA_INVALID_ARGUMENT, "offsets: address 0x"));
  EXPECT_TRUE(refused(status, LACUNA_INVALID_ARGUMENT, not_the_hosts));
  batch.offsets_on_device = 1;
  must(forward());
  must(backward());
  must(lacuna_plan_explain_batch(plan.get(), of_host, 3, nullptr, &length));
}

TEST_F(DeviceArrays, CannotBeAStacksOffsets) {
  support::StackCase c;
  c.stack = lacuna::stacked(lacuna::lstm(3, 8), {.depth = 1});
  c.lengths = {4, 0, 7};
  const auto data = support::generate<float>(c);
  const lacuna::StackParameters<float> weights(c.stack, 1);
  const auto of_stack = support::stack_context();
  lacuna::StackPlan plan(of_stack, c.stack, support::capacity_of(data));
  OnDevice<std::int64_t> offsets(data.offsets);
  lacuna_batch batch{};
  batch.sequences = data.sequences();
  batch.tokens = data.tokens();
  batch.offsets = offsets.data();
  batch.values = data.values.data();
  const auto parameters = weights.c();
  const lacuna_stack_outputs outputs{};
  const lacuna_status status =
      lacuna_stack_forward(plan.get(), parameters.data(), &batch, nullptr, 0, &outputs, nullptr);
  EXPECT_TRUE(refused(status, LACUNA_INVALID_ARGUMENT, "batch.offsets: address 0x"));
  EXPECT_TRUE(refused(status, LACUNA_INVALID_ARGUMENT, not_the_hosts));
  batch.offsets = data.offsets.data();
  must(lacuna_stack_forward(plan.get(), parameters.data(), &batch, nullptr, 0, &outputs, nullptr));
}

}  // namespace
