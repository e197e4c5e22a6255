// Every argument of lacuna_pack and lacuna_unpack, spoiled one at a time.
#include "api/example.h"

namespace {

using api_tests::Context;
using api_tests::misaligned;
using api_tests::refused;

class PackErrors : public testing::Test {
 protected:
  // Three sequences of at most 4 rows of 8 bytes.
  lacuna_status pack() {
    packed.assign(packed.size(), -7), offsets.assign(offsets.size(), -7);
    const lacuna_status status =
        lacuna_pack(context, sequences, max_length, row_bytes, lengths_given, padded_given,
                    offsets_given, packed_given, nullptr);
    EXPECT_EQ(packed, std::vector<double>(packed.size(), -7));
    EXPECT_EQ(offsets, std::vector<std::int64_t>(offsets.size(), -7));
    return status;
  }

  Context context;
  std::int64_t sequences = 3, max_length = 4, row_bytes = 8;
  std::vector<std::int64_t> lengths{2, 0, 4};
  std::vector<double> padded = std::vector<double>(12), packed = std::vector<double>(6);
  std::vector<std::int64_t> offsets = std::vector<std::int64_t>(4);
  const std::int64_t* lengths_given = lengths.data();
  const void* padded_given = padded.data();
  std::int64_t* offsets_given = offsets.data();
  void* packed_given = packed.data();
};

TEST_F(PackErrors, EveryArgumentOfPack) {
  const auto expect = [&](const char* message) {
    EXPECT_TRUE(refused(pack(), LACUNA_INVALID_ARGUMENT, {message}));
  };
  EXPECT_TRUE(refused(
      lacuna_pack(nullptr, 3, 4, 8, lengths.data(), nullptr, offsets.data(), nullptr, nullptr),
      LACUNA_INVALID_ARGUMENT, {"context: null"}));
  sequences = -1, expect("sequences: -1, expected >= 0"), sequences = 3;
  max_length = -4, expect("max_length: -4, expected >= 0"), max_length = 4;
  row_bytes = 0, expect("row_bytes: 0, expected >= 1"), row_bytes = 8;
  lengths[1] = 5, expect("lengths[1]: 5, expected 0 to max_length = 4");
  lengths[1] = -1, expect("lengths[1]: -1, expected 0 to max_length = 4"), lengths[1] = 0;
  lengths_given = nullptr, expect("lengths: null, expected 3 elements");
  lengths_given = misaligned(lengths.data()), expect("lengths: address 0x"),
  lengths_given = lengths.data();
  offsets_given = nullptr, expect("offsets: null, expected 4 elements");
  offsets_given = misaligned(offsets.data()), expect("offsets: address 0x"),
  offsets_given = offsets.data();
  padded_given = nullptr, expect("padded: null, expected both arrays or neither"),
  padded_given = padded.data();
  packed_given = nullptr, expect("packed: null, expected both arrays or neither"),
  packed_given = packed.data();
  packed_given = padded.data() + 8, expect("packed: overlaps padded"), packed_given = packed.data();
  offsets_given = lengths.data(), expect("offsets: overlaps lengths"),
  offsets_given = offsets.data();
  max_length = std::numeric_limits<std::int64_t>::max(),
  expect("sequences: 3 of max_length 9223372036854775807"), max_length = 4;
  row_bytes = std::numeric_limits<std::int64_t>::max(), expect("elements do not fit in memory"),
  row_bytes = 8;
  EXPECT_EQ(lacuna_pack(context, 3, 4, 8, lengths.data(), padded.data(), offsets.data(),
                        packed.data(), nullptr),
            LACUNA_OK);
  EXPECT_EQ(offsets, (std::vector<std::int64_t>{0, 2, 2, 6}));
}

TEST_F(PackErrors, EveryArgumentOfUnpack) {
  offsets = {0, 2, 2, 6};
  const auto unpack = [&](const std::int64_t* from, const void* source, void* target) {
    return lacuna_unpack(context, sequences, max_length, row_bytes, from, source, target, nullptr);
  };
  const auto expect = [&](const char* message) {
    padded.assign(padded.size(), -7);
    EXPECT_TRUE(refused(unpack(offsets.data(), packed.data(), padded.data()),
                        LACUNA_INVALID_ARGUMENT, {message}));
    EXPECT_EQ(padded, std::vector<double>(padded.size(), -7));
  };
  EXPECT_TRUE(refused(
      lacuna_unpack(nullptr, 3, 4, 8, offsets.data(), packed.data(), padded.data(), nullptr),
      LACUNA_INVALID_ARGUMENT, {"context: null"}));
  sequences = -3, expect("sequences: -3, expected >= 0"), sequences = 3;
  max_length = -1, expect("max_length: -1, expected >= 0"), max_length = 4;
  row_bytes = -8, expect("row_bytes: -8, expected >= 1"), row_bytes = 8;
  offsets[0] = 1, expect("offsets[0]: 1, expected 0"), offsets[0] = 0;
  offsets[2] = 1, expect("offsets[2]: 1, expected offsets[1] = 2 plus 0 to max_length = 4"),
  offsets[2] = 2;
  offsets[3] = 7, expect("offsets[3]: 7, expected offsets[2] = 2 plus 0 to max_length = 4"),
  offsets[3] = 6;
  EXPECT_TRUE(refused(unpack(nullptr, packed.data(), padded.data()), LACUNA_INVALID_ARGUMENT,
                      {"offsets: null"}));
  EXPECT_TRUE(refused(unpack(misaligned(offsets.data()), packed.data(), padded.data()),
                      LACUNA_INVALID_ARGUMENT, {"offsets: address 0x"}));
  EXPECT_TRUE(refused(unpack(offsets.data(), nullptr, padded.data()), LACUNA_INVALID_ARGUMENT,
                      {"packed: null"}));
  EXPECT_TRUE(refused(unpack(offsets.data(), packed.data(), nullptr), LACUNA_INVALID_ARGUMENT,
                      {"padded: null"}));
  EXPECT_TRUE(refused(unpack(offsets.data(), padded.data(), padded.data()), LACUNA_INVALID_ARGUMENT,
                      {"padded: overlaps packed"}));
  EXPECT_EQ(unpack(offsets.data(), packed.data(), padded.data()), LACUNA_OK);
}

}  // namespace
