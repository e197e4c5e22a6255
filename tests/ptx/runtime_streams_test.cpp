// The order of streams on the stand-in for the CUDA runtime: what waits, what does not, what a capture forbids.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "ptx/runtime.h"

namespace {

using namespace lacuna::ptx;

constexpr int seeds = 40;

// Two streams of one device with delays, and what ran in them.
struct Two {
  explicit Two(std::uint64_t seed, bool blocking = false)
      : streams(1, seed),
        first(streams.at(streams.create(0, blocking), 0)),
        second(streams.at(streams.create(0, blocking), 0)),
        event(streams.event_at(streams.create_event(0, false))) {}
  void add(Stream& stream, char letter) {
    streams.enqueue(stream, [this, letter] { ran += letter; });
  }
  std::string all() {
    streams.finish_device(0);
    return ran;
  }

  Streams streams;
  Stream &first, &second;
  Event& event;
  std::string ran;
};

bool before(const std::string& text, char first, char second) {
  return text.find(first) < text.find(second);
}

TEST(RuntimeStreams, RunInAnyOrderThatNothingForbids) {
  int reversed = 0;
  for (int seed = 0; seed < seeds; ++seed) {
    Two two(static_cast<std::uint64_t>(seed));
    two.add(two.first, 'a');
    two.add(two.first, 'b');
    two.add(two.second, 'c');
    const std::string ran = two.all();
    EXPECT_EQ(ran.size(), 3u);
    EXPECT_TRUE(before(ran, 'a', 'b')) << ran;
    reversed += before(ran, 'c', 'a');
  }
  EXPECT_GT(reversed, 0);
  EXPECT_LT(reversed, seeds);
}

TEST(RuntimeStreams, AnEventOrdersThem) {
  for (int seed = 0; seed < seeds; ++seed) {
    Two two(static_cast<std::uint64_t>(seed));
    two.add(two.first, 'a');
    two.streams.record(two.first, two.event);
    two.add(two.first, 'x');
    two.streams.wait(two.second, two.event);
    two.add(two.second, 'b');
    EXPECT_TRUE(before(two.all(), 'a', 'b')) << two.ran;
  }
}

TEST(RuntimeStreams, OnlyWhatIsWaitedForIsDone) {
  int undone = 0;
  for (int seed = 0; seed < seeds; ++seed) {
    Two two(static_cast<std::uint64_t>(seed));
    two.add(two.first, 'a');
    two.add(two.second, 'b');
    two.streams.finish(two.first);
    EXPECT_NE(two.ran.find('a'), std::string::npos);
    undone += two.ran == "a";
  }
  EXPECT_GT(undone, 0);
}

TEST(RuntimeStreams, TheLegacyStreamOrdersBlockingStreamsAlone) {
  int unordered = 0;
  for (int seed = 0; seed < seeds; ++seed)
    for (const bool blocking : {true, false}) {
      Two two(static_cast<std::uint64_t>(seed), blocking);
      two.add(two.first, 'a');
      two.add(two.streams.at(nullptr, 0), 'b');
      two.add(two.second, 'c');
      const std::string ran = two.all();
      if (blocking) {
        EXPECT_EQ(ran, "abc");
      } else {
        unordered += ran != "abc";
      }
    }
  EXPECT_GT(unordered, 0);
}

TEST(RuntimeStreams, AGraphKeepsItsForksAndJoins) {
  int c_before_b = 0;
  for (int seed = 0; seed < seeds; ++seed) {
    Two two(static_cast<std::uint64_t>(seed));
    Event& join = two.streams.event_at(two.streams.create_event(0, false));
    two.streams.begin_capture(two.first, cudaStreamCaptureModeGlobal);
    two.add(two.first, 'a');
    two.streams.record(two.first, two.event);
    two.streams.wait(two.second, two.event);
    two.add(two.first, 'b');
    two.add(two.second, 'c');
    two.streams.record(two.second, join);
    two.streams.wait(two.first, join);
    two.add(two.first, 'd');
    const auto graph = two.streams.end_capture(two.first);
    EXPECT_EQ(two.ran, "");
    two.add(two.first, '(');
    two.streams.launch(two.first, *graph);
    two.add(two.first, ')');
    const std::string ran = two.all();
    EXPECT_TRUE(ran == "(abcd)" || ran == "(acbd)") << ran;
    c_before_b += ran == "(acbd)";
  }
  EXPECT_GT(c_before_b, 0);
}

// --- what a capture forbids, by CUDA's functions ------------------------------------------------

class Captured : public testing::Test {
 protected:
  void begin(unsigned flags) {
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream, flags), cudaSuccess);
    ASSERT_EQ(cudaStreamCreateWithFlags(&other, flags), cudaSuccess);
    ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
    ASSERT_EQ(cudaMalloc(&block, 64), cudaSuccess);
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
  }
  void expect_end(cudaError_t expected) {
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), expected);
    EXPECT_EQ(graph != nullptr, expected == cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  }
  void TearDown() override {
    (void)cudaGetLastError();
    EXPECT_EQ(cudaFree(block), cudaSuccess);
    EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(other), cudaSuccess);
  }
  cudaStream_t stream = nullptr, other = nullptr;
  cudaEvent_t event = nullptr;
  void* block = nullptr;
};

TEST_F(Captured, FillsAreRecorded) {
  begin(cudaStreamNonBlocking);
  EXPECT_EQ(cudaMemsetAsync(block, 0, 64, stream), cudaSuccess);
  expect_end(cudaSuccess);
}

TEST_F(Captured, NothingWaits) {
  begin(cudaStreamNonBlocking);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
  expect_end(cudaErrorStreamCaptureInvalidated);
}

TEST_F(Captured, NorAnotherThing) {
  begin(cudaStreamNonBlocking);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaMemsetAsync(block, 0, 64, stream), cudaErrorStreamCaptureInvalidated);
  expect_end(cudaErrorStreamCaptureInvalidated);
}

TEST_F(Captured, NoMemoryIsTaken) {
  begin(cudaStreamNonBlocking);
  void* more = nullptr;
  EXPECT_EQ(cudaMalloc(&more, 4), cudaErrorStreamCaptureUnsupported);
  expect_end(cudaErrorStreamCaptureInvalidated);
}

TEST_F(Captured, PageableMemoryIsNotCopied) {
  begin(cudaStreamNonBlocking);
  char host[64] = {};
  EXPECT_EQ(cudaMemcpyAsync(block, host, 64, cudaMemcpyDefault, stream),
            cudaErrorStreamCaptureUnsupported);
  expect_end(cudaErrorStreamCaptureInvalidated);
}

TEST_F(Captured, TheLegacyStreamWouldWaitForABlockingOne) {
  begin(cudaStreamDefault);
  EXPECT_EQ(cudaMemsetAsync(block, 0, 64, nullptr), cudaErrorStreamCaptureImplicit);
  expect_end(cudaErrorStreamCaptureInvalidated);
}

TEST_F(Captured, TheLegacyStreamGoesOnBesideANonBlockingOne) {
  begin(cudaStreamNonBlocking);
  EXPECT_EQ(cudaMemsetAsync(block, 0, 64, nullptr), cudaSuccess);
  expect_end(cudaSuccess);
}

TEST_F(Captured, ForkedWorkIsJoined) {
  begin(cudaStreamNonBlocking);
  EXPECT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(other, event, 0), cudaSuccess);
  EXPECT_EQ(cudaMemsetAsync(block, 0, 64, other), cudaSuccess);
  expect_end(cudaErrorStreamCaptureUnjoined);
}

TEST_F(Captured, WorkOutsideIsNotWaitedFor) {
  begin(cudaStreamNonBlocking);
  EXPECT_EQ(cudaEventRecord(event, other), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(stream, event, 0), cudaErrorStreamCaptureIsolation);
  expect_end(cudaErrorStreamCaptureInvalidated);
}

TEST_F(Captured, AnEventWithinCannotBeWaitedForOutside) {
  begin(cudaStreamNonBlocking);
  EXPECT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  expect_end(cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(event), cudaErrorCapturedEvent);
}

// Of a capture by this thread and in another, and what the calling thread has chosen.
struct Modes {
  cudaStreamCaptureMode captures, thread;
  bool own, allowed;
};
class Unsafe : public Captured, public testing::WithParamInterface<Modes> {};

TEST_P(Unsafe, CallsAreForbiddenByTheModesOfCaptureAndThread) {
  const Modes modes = GetParam();
  const auto in_thread = [&](bool own, const std::function<void()>& work) {
    if (own)
      work();
    else
      std::thread(work).join();
  };
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream, modes.captures), cudaSuccess);
  in_thread(modes.own, [&] {
    cudaStreamCaptureMode mode = modes.thread;
    EXPECT_EQ(cudaThreadExchangeStreamCaptureMode(&mode), cudaSuccess);
    EXPECT_EQ(mode, cudaStreamCaptureModeGlobal);
    EXPECT_EQ(cudaMalloc(&block, 4),
              modes.allowed ? cudaSuccess : cudaErrorStreamCaptureUnsupported);
    EXPECT_EQ(cudaThreadExchangeStreamCaptureMode(&mode), cudaSuccess);
    EXPECT_EQ(mode, modes.thread);
  });
  expect_end(modes.allowed ? cudaSuccess : cudaErrorStreamCaptureInvalidated);
}

constexpr auto global = cudaStreamCaptureModeGlobal, local = cudaStreamCaptureModeThreadLocal,
               relaxed = cudaStreamCaptureModeRelaxed;
INSTANTIATE_TEST_SUITE_P(
    Modes, Unsafe,
    testing::Values(Modes{global, global, true, false}, Modes{global, local, true, false},
                    Modes{global, relaxed, true, true}, Modes{local, global, true, false},
                    Modes{local, local, true, false}, Modes{local, relaxed, true, true},
                    Modes{relaxed, global, true, true}, Modes{global, global, false, false},
                    Modes{global, local, false, true}, Modes{global, relaxed, false, true},
                    Modes{local, global, false, true}, Modes{relaxed, global, false, true}));

TEST_F(Captured, ADeviceIsNotWaitedForInAnyMode) {
  begin(cudaStreamNonBlocking);
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  ASSERT_EQ(cudaThreadExchangeStreamCaptureMode(&mode), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(other), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorStreamCaptureUnsupported);
  ASSERT_EQ(cudaThreadExchangeStreamCaptureMode(&mode), cudaSuccess);
  expect_end(cudaErrorStreamCaptureInvalidated);
}

}  // namespace
