// Groups of blocks that walk a sequence of 20,000 tokens beside 500 short ones: as many meetings of blocks.
#include "support/against_oracle.h"
#include "support/cuda.h"
#include "support/groups.h"

namespace {

using support::cluster;
using support::grid;
using support::Group;

class SplitOneIsLong : public testing::TestWithParam<Group> {};

TEST_P(SplitOneIsLong, Agrees) {
  const Group group = GetParam();
  if (!support::serves(group.regime)) GTEST_SKIP() << "no clusters here";
  const support::InRegime regime(group.regime);
  const support::InGroups groups(group.blocks, 9);
  support::expect_agreement("gru_decay_f32_n501_d1_h3_len0-3+20000_miss30_seed7");
}
INSTANTIATE_TEST_SUITE_P(Groups, SplitOneIsLong, testing::Values(cluster(2), grid(2)));

}  // namespace
