// Blocks that hold W_h whole, resident's and lone's, in random orders: the same bits in each, and what ThreadSanitizer sees,
// nothing in the right ones and a race where a warp multiplies what it has not waited for.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "emulator/emulator.h"
#include "kernels/recurrence/lone/backward.h"
#include "kernels/recurrence/lone/forward.h"
#include "kernels_recurrence/split_walk.h"

namespace {

using namespace lacuna;
using E = resident::InTwoParts;
using Form = resident::Usual;
template <class Cell>
using Walk = split_walk::Walk<Cell, float, E>;

constexpr std::int64_t hidden = 40;
constexpr resident::Division division{.slice = resident::padded_units(hidden)};

// ---- Planted mistakes ----

struct NoBarrier : resident::OwnOperands<E> {
  using OwnOperands::OwnOperands;
  void meet_own() {}
};

template <class Cell>
SIMT_KERNEL(resident::most_threads, 1)
void resident_without_barrier(ResidentForward<float> args) {
  simt::SharedCarver shared;
  NoBarrier gather(shared, division, resident::channels<Cell>);
  resident::walk_forward<Cell, float, E, Form>(args, division, gather, shared);
}

template <class Cell>
struct NoMeeting : lone::BackwardProduct<Cell, float, Form> {
  using NoMeeting::BackwardProduct::BackwardProduct;
  void meet() const {}
};

template <class Cell>
SIMT_KERNEL(lone::most_threads, 1)
void lone_without_barrier(ResidentBackward<float> args) {
  const lone::BackwardMemory<Cell, float, Form> memory{division};
  simt::SharedCarver shared;
  const resident::UnitNumbers evolve(shared, division);
  auto* const gradients = shared.take<float>(static_cast<std::size_t>(2 * memory.gradients()));
  auto* const weights = shared.take<float>(memory.weights());
  resident::BackwardWalk<Cell, float, NoMeeting<Cell>, Form>(args, lone::Own(), evolve, division,
                                                             gradients, weights)
      .run();
}

// ---- Runs ----

template <class Memory, class Kernel>
auto tiles(Kernel kernel) {
  return [kernel](const auto& args) {
    simt::launch(resident::launch_of_tiles(args.lanes, division, Memory{division}.bytes()), nullptr,
                 kernel, args);
  };
}
template <class Memory, class Kernel>
auto lanes(Kernel kernel) {
  return [kernel](const auto& args) {
    simt::launch(lone::launch_of_lanes(args.lanes, division, Memory{division}.bytes()), nullptr,
                 kernel, args);
  };
}

// Two tiles of eight lanes; three blocks of one.
template <class Cell, class Kernel>
std::vector<float> resident_forward_by(Kernel kernel) {
  using Memory = resident::ForwardMemory<Cell, E, resident::OwnOperands<E>>;
  return Walk<Cell>(hidden, 2).whole_forward(16, tiles<Memory>(kernel));
}
template <class Cell>
std::vector<float> resident_forward_of() {
  return resident_forward_by<Cell>(resident::forward<Cell, float, E, Form>);
}
template <class Cell>
std::vector<float> resident_backward_of() {
  using Memory = resident::BackwardMemory<Cell, E, resident::OwnSums>;
  return Walk<Cell>(hidden, 2).whole_backward(
      16, tiles<Memory>(resident::backward<Cell, float, E, Form>));
}
template <class Cell>
std::vector<float> lone_forward_of() {
  using Memory = lone::ForwardMemory<Cell, float, Form>;
  return Walk<Cell>(hidden, 2).whole_forward(3, lanes<Memory>(lone::forward<Cell, float, Form>));
}
template <class Cell, class Kernel>
std::vector<float> lone_backward_by(Kernel kernel) {
  using Memory = lone::BackwardMemory<Cell, float, Form>;
  return Walk<Cell>(hidden, 2).whole_backward(3, lanes<Memory>(kernel));
}
template <class Cell>
std::vector<float> lone_backward_of() {
  return lone_backward_by<Cell>(lone::backward<Cell, float, Form>);
}

// Of so many runs in random orders, those that end with other bits than `right` or not at all.
template <class Run>
int found(int runs, const std::vector<float>& right, Run&& run) {
  int wrong = 0;
  for (int seed = 1; seed <= runs; ++seed) {
    const emulator::WithSettings random(split_walk::random_order(static_cast<std::uint64_t>(seed)));
    try {
      wrong += run() == right ? 0 : 1;
    } catch (const emulator::Error&) {
      ++wrong;
    }
  }
  return wrong;
}

template <class Cell>
class WholeThreads : public testing::Test {};
using Cells = testing::Types<LstmStep, GruResetBeforeStep>;
TYPED_TEST_SUITE(WholeThreads, Cells);

TYPED_TEST(WholeThreads, MakeTheSameBitsInAnyOrder) {
  for (const auto run : {resident_forward_of<TypeParam>, resident_backward_of<TypeParam>,
                         lone_forward_of<TypeParam>, lone_backward_of<TypeParam>})
    EXPECT_EQ(found(2, run(), run), 0);
}

#ifndef __SANITIZE_THREAD__

TEST(WholeRecurrence, NeedsTheBlocksBarrierForward) {
  const auto planted = [] {
    return resident_forward_by<LstmStep>(resident_without_barrier<LstmStep>);
  };
  EXPECT_GT(found(20, resident_forward_of<LstmStep>(), planted), 0);
}
TEST(WholeRecurrence, NeedsTheBlocksBarrierBackward) {
  const auto planted = [] { return lone_backward_by<LstmStep>(lone_without_barrier<LstmStep>); };
  EXPECT_GT(found(20, lone_backward_of<LstmStep>(), planted), 0);
}

#else

constexpr int tsan_exit = 66;  // of a program with a report

template <class Run>
void run_and_exit(Run&& run) {
  found(1, {}, run);
  std::exit(0);
}

class WholeThreadsDeathTest : public testing::Test {
 protected:
  // The child of a forking death test would inherit one live thread and the sanitizer's locks.
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(WholeThreadsDeathTest, AStateBeforeTheBlocksBarrierIsARace) {
  EXPECT_EXIT(run_and_exit(
                  [] { return resident_forward_by<LstmStep>(resident_without_barrier<LstmStep>); }),
              testing::ExitedWithCode(tsan_exit), "data race(.|\n)*ForwardProduct");
}

TEST_F(WholeThreadsDeathTest, GradientsBeforeTheBlocksBarrierAreARace) {
  EXPECT_EXIT(
      run_and_exit([] { return lone_backward_by<LstmStep>(lone_without_barrier<LstmStep>); }),
      testing::ExitedWithCode(tsan_exit), "data race(.|\n)*BackwardProduct");
}

#endif

}  // namespace
