// Groups of blocks: what a block computes while the others' messages are on their way. A block holds its messages back until
// every thread of another one has come to its wait, and there it is counted what that thread has multiplied by then.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "emulator/emulator.h"
#include "kernels_recurrence/split_walk.h"

namespace overlap {

// A type of operands, tf32, whose products are counted.
struct Counted {};

// Of the block that is watched, the first of the first tile.
struct Watch {
  std::vector<int> products;             // of each thread, so far
  std::vector<std::vector<int>> before;  // each wait of it, how many
  std::vector<std::vector<int>> sent;    // when it had sent all of a step, how many
  unsigned waits = 0;                    // of all threads

  Watch() : products(256), before(256), sent(256) {}
};
Watch watch;

std::size_t thread() { return lacuna::simt::thread_rank(); }

void note_products() {
  if (lacuna::simt::block_index().x == 0) ++watch.products[thread()];
}
void note_wait() {
  watch.before[thread()].push_back(watch.products[thread()]);
  lacuna::simt::red_add_release<lacuna::simt::Scope::gpu>(&watch.waits, 1u);
}
// Until the watched block waits for the step.
void hold_back(int step) {
  const unsigned all = lacuna::simt::block_size().x * static_cast<unsigned>(step + 1);
  while (lacuna::simt::load_acquire<lacuna::simt::Scope::gpu>(&watch.waits) < all)
    lacuna::simt::pause(20);
}

}  // namespace overlap

namespace lacuna::resident {

template <>
struct Operand<overlap::Counted> : Operand<Tf32> {
  static void multiply(Sum& sum, const std::uint32_t (&weights)[4], const Column& column) {
    overlap::note_products();
    Operand<Tf32>::multiply(sum, weights, column);
  }
};

}  // namespace lacuna::resident

namespace {

using overlap::Counted;
using overlap::watch;

// Of the group of the first tile, the first block is watched and the second one holds back.
template <class Base>
struct Watched : Base {
  using Base::Base;
  bool is(int rank) const { return this->tile() == 0 && this->rank() == rank; }
  void send(const lacuna::resident::Own& own, int channel) {
    if (is(1)) overlap::hold_back(sent_++);
    Base::send(own, channel);
  }
  void meet_others(int channel) {
    if (is(0)) overlap::note_wait();
    Base::meet_others(channel);
  }
  int sent_ = 0;  // one in each step
};

template <class Base>
struct WatchedSums : Base {
  using Base::Base;

  bool is(int rank) const { return this->tile() == 0 && this->rank() == rank; }
  void send(int distance, const lacuna::resident::Own& own, const lacuna::simt::Float4& sum) {
    if (is(1)) overlap::hold_back(met_);
    Base::send(distance, own, sum);
  }
  void all_sent() {
    if (is(0)) watch.sent[overlap::thread()].push_back(watch.products[overlap::thread()]);
    Base::all_sent();
  }
  void meet() {
    if (is(0)) overlap::note_wait();
    Base::meet();
    ++met_;
  }
  int met_ = 0;
};

template <class Base>
struct Over : Base {
  template <class E>
  using Gather = Watched<typename Base::template Gather<E>>;
  using Scatter = WatchedSums<typename Base::Scatter>;
};

// A block that waits for the others before it begins.
template <class Base>
struct WaitsFirst : Watched<Base> {
  using Watched<Base>::Watched;
  void meet_own() {
    Base::meet_own();
    Base::meet_others(step_++ % 2);
  }
  int step_ = 0;
};
template <class Base>
struct OverSlow : Base {
  template <class E>
  using Gather = WaitsFirst<typename Base::template Gather<E>>;
};

// What a thread of a group's block multiplies in a step.
struct Share {
  lacuna::resident::Division division;
  int threads, all, own;

  Share(std::int64_t hidden, int blocks)
      : division(lacuna::split::division_of(hidden, blocks)),
        threads(division.warps() * 32),
        all(lacuna::resident::fragments_of<Counted>(division)),
        own(division.slice / lacuna::resident::Operand<Counted>::depth) {}
  // Only warps that own units have to do with the block's own slice.
  int own_of(int thread) const { return thread / 32 < division.rows() ? own : 0; }
};

using Cell = lacuna::RnnStep<lacuna::RnnTanh>;  // one matrix: a large slice fits a block
constexpr std::size_t steps = 5;                // of the first tile

template <class Exchange>
void expect_own_product_first(std::int64_t hidden, int blocks) {
  SCOPED_TRACE(std::to_string(hidden) + " units by " + std::to_string(blocks));
  split_walk::Walk<Cell, float, Counted> walk(hidden, blocks);
  const auto hasty = walk.forward<Exchange>();
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const lacuna::emulator::WithSettings random(split_walk::random_order(seed));
    watch = {};
    EXPECT_EQ(walk.forward<Over<Exchange>>(), hasty);
    const Share share(hidden, blocks);
    for (int thread = 0; thread < share.threads; ++thread) {
      const auto& before = watch.before[static_cast<std::size_t>(thread)];
      ASSERT_EQ(before.size(), steps);
      for (std::size_t step = 0; step < steps; ++step)
        ASSERT_EQ(before[step], static_cast<int>(step) * share.all + share.own_of(thread))
            << "thread " << thread << ", step " << step;
    }
  }
}

template <class Exchange>
void expect_own_product_last(std::int64_t hidden, int blocks) {
  SCOPED_TRACE(std::to_string(hidden) + " units by " + std::to_string(blocks));
  split_walk::Walk<Cell, float, Counted> walk(hidden, blocks);
  const auto hasty = walk.backward<Exchange>();
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const lacuna::emulator::WithSettings random(split_walk::random_order(seed));
    watch = {};
    EXPECT_EQ(walk.backward<Over<Exchange>>(), hasty);
    const Share share(hidden, blocks);
    for (int thread = 0; thread < share.threads; ++thread) {
      const auto& before = watch.before[static_cast<std::size_t>(thread)];
      const auto& sent = watch.sent[static_cast<std::size_t>(thread)];
      ASSERT_EQ(before.size(), steps);
      ASSERT_EQ(sent.size(), steps);
      for (std::size_t step = 0; step < steps; ++step) {
        ASSERT_EQ(before[step], static_cast<int>(step + 1) * share.all)
            << "thread " << thread << ", step " << step;
        ASSERT_EQ(sent[step], before[step] - share.own_of(thread))
            << "thread " << thread << ", step " << step;
      }
    }
  }
}

// A warp for each 16 units; several that share the depth, of which some or all have no own slice to begin with.
TEST(SplitOverlap, ForwardTheOwnSliceIsMultipliedBeforeTheOthersAreThere) {
  expect_own_product_first<lacuna::split::OverCluster>(200, 2);
  expect_own_product_first<lacuna::split::OverCluster>(250, 8);
  expect_own_product_first<lacuna::split::OverCluster>(37, 2);
  expect_own_product_first<lacuna::split::OverGrid>(200, 2);
  expect_own_product_first<lacuna::split::OverGrid>(100, 4);
}

TEST(SplitOverlap, BackwardTheOthersPartsAreSentBeforeTheOwnIsMultiplied) {
  expect_own_product_last<lacuna::split::OverCluster>(200, 2);
  expect_own_product_last<lacuna::split::OverCluster>(250, 8);
  expect_own_product_last<lacuna::split::OverCluster>(37, 2);
  expect_own_product_last<lacuna::split::OverGrid>(200, 2);
  expect_own_product_last<lacuna::split::OverGrid>(100, 4);
}

template <class Exchange>
std::string failure() {
  split_walk::Walk<Cell, float, Counted> walk(37, 2);
  watch = {};
  try {
    walk.forward<OverSlow<Exchange>>();
  } catch (const lacuna::emulator::Error& error) {
    return error.what();
  }
  return "nothing";
}

TEST(SplitOverlap, ABlockThatWaitsFirstIsFound) {
  EXPECT_NE(failure<lacuna::split::OverCluster>().find("hung"), std::string::npos);
  EXPECT_NE(failure<lacuna::split::OverGrid>().find("hung"), std::string::npos);
}

}  // namespace
