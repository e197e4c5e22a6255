// The kernels between padded and ragged batches on the emulator, against plain loops.
#include <gtest/gtest.h>

#include "kernels/training/padded.h"
#include "kernels_training/arrays.h"

namespace lacuna::training_tests {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Batch {
  std::int64_t max_length;
  std::vector<std::int64_t> lengths;

  std::int64_t sequences() const { return static_cast<std::int64_t>(lengths.size()); }
  std::vector<std::int64_t> offsets() const {
    std::vector<std::int64_t> all = {0};
    for (const std::int64_t length : lengths) all.push_back(all.back() + length);
    return all;
  }
};

Batch batch_of(std::int64_t sequences, std::int64_t max_length) {
  support::Random random(static_cast<std::uint64_t>(sequences * 100 + max_length));
  Batch batch{max_length, {}};
  for (std::int64_t b = 0; b < sequences; ++b)
    batch.lengths.push_back(b % 5 == 0   ? 0
                            : b % 5 == 1 ? max_length
                                         : random.below(max_length + 1));
  return batch;
}

Bytes random_bytes(std::int64_t count) {
  support::Random random(5);
  Bytes bytes;
  for (std::int64_t i = 0; i < count; ++i)
    bytes.push_back(static_cast<std::uint8_t>(1 + random.below(255)));  // not the padding's 0
  return bytes;
}

std::vector<std::int64_t> offsets_of(std::int64_t max_length,
                                     const std::vector<std::int64_t>& lengths) {
  support::GuardedBuffer<std::int64_t> offsets(lengths.size() + 1);
  offsets_from_lengths(nullptr, {static_cast<std::int64_t>(lengths.size()), max_length,
                                 lengths.data(), offsets.data()});
  EXPECT_EQ(offsets.damage(), "");
  return offsets.vector();
}

class KernelsTrainingOffsets : public testing::TestWithParam<std::int64_t> {};

TEST_P(KernelsTrainingOffsets, AreRunningSumsInAnyOrder) {
  const std::int64_t max_length = std::int64_t{1} << 40;  // beyond 32 bits
  const Batch batch = batch_of(GetParam(), max_length);
  for (const auto& order : thread_orders(3)) {
    const emulator::WithSettings with(order);
    EXPECT_EQ(offsets_of(max_length, batch.lengths), batch.offsets());
  }
}

INSTANTIATE_TEST_SUITE_P(Sequences, KernelsTrainingOffsets,
                         testing::Values(0, 1, 3, 31, 33, 257, 1000, 4095, 4096, 4097, 9001));

TEST(KernelsTrainingOffsetsWrong, LengthsOutsideCountAsTheNearest) {
  EXPECT_EQ(offsets_of(7, {3, -2, 8, 7, std::numeric_limits<std::int64_t>::min(),
                           std::numeric_limits<std::int64_t>::max()}),
            (std::vector<std::int64_t>{0, 3, 3, 10, 17, 17, 24}));
}

// At `shift` bytes behind alignment.
struct Placed {
  Placed(const Bytes& content, std::int64_t shift)
      : shift_(size(shift)), buffer_(content.size() + shift_) {
    std::copy(content.begin(), content.end(), data());
  }
  std::uint8_t* data() { return buffer_.data() + shift_; }
  Bytes vector() { return {data(), data() + (buffer_.size() - shift_)}; }
  std::string damage() const {
    for (std::size_t i = 0; i < shift_; ++i)
      if (buffer_.span()[i] != support::GuardedBuffer<std::uint8_t>::guard_byte)
        return "written to before its begin";
    return buffer_.damage();
  }

 private:
  std::size_t shift_;
  support::GuardedBuffer<std::uint8_t> buffer_;
};

void expect_moves(const Batch& batch, std::int64_t row, std::int64_t padded_shift,
                  std::int64_t packed_shift) {
  const auto offsets = batch.offsets();
  const PaddedRows rows{batch.sequences(), batch.max_length, row, offsets.data()};
  const std::int64_t sequence = batch.max_length * row;
  const Bytes content = random_bytes(batch.sequences() * sequence);
  Bytes packed, padded(content.size());
  for (std::int64_t b = 0; b < batch.sequences(); ++b) {
    const auto begin = content.begin() + b * sequence, end = begin + batch.lengths[size(b)] * row;
    packed.insert(packed.end(), begin, end);
    std::copy(begin, end, padded.begin() + b * sequence);
  }
  SCOPED_TRACE(std::to_string(batch.sequences()) + " sequences of " +
               std::to_string(batch.max_length) + ", rows of " + std::to_string(row) +
               " bytes, shifts " + std::to_string(padded_shift) + " and " +
               std::to_string(packed_shift));
  Placed from_padded(content, padded_shift), to_packed(Bytes(packed.size(), 0xee), packed_shift);
  pack_rows(nullptr, rows, from_padded.data(), to_packed.data());
  EXPECT_EQ(to_packed.vector(), packed);
  EXPECT_EQ(to_packed.damage() + from_padded.damage(), "");

  Placed from_packed(packed, packed_shift), to_padded(Bytes(content.size(), 0xee), padded_shift);
  unpack_rows(nullptr, rows, from_packed.data(), to_padded.data());
  EXPECT_EQ(to_padded.vector(), padded);
  EXPECT_EQ(to_padded.damage() + from_packed.damage(), "");
}

TEST(KernelsTrainingPadded, RowsOfAnySizeAndAlignment) {
  for (const std::int64_t row : {1, 2, 3, 4, 6, 8, 12, 16, 24, 31, 32, 33, 48, 257, 1000})
    for (const std::int64_t shift : {0, 1, 2, 4, 8}) {
      expect_moves(batch_of(7, 13), row, shift, 0);
      expect_moves(batch_of(7, 13), row, 0, shift);
    }
}

TEST(KernelsTrainingPadded, BatchesOfAnySizeInAnyOrder) {
  for (const auto& order : thread_orders(3)) {
    const emulator::WithSettings with(order);
    for (const std::int64_t sequences : {0, 1, 3, 31, 33, 257})
      for (const std::int64_t max_length : {0, 1, 3, 31, 33, 257})
        expect_moves(batch_of(sequences, max_length), 4, 0, 0);
  }
}

// Sequences of several pieces, which end in the middle of one and at its end.
TEST(KernelsTrainingPadded, LongSequences) {
  for (const std::int64_t row : {1, 16, 20})
    expect_moves({3000, {1023, 1024, 1025, 0, 3000, 2048, 2999}}, row, 0, 0);
}

TEST(KernelsTrainingPadded, StridesOverItsSequences) { expect_moves(batch_of(33000, 1), 1, 0, 0); }

// Offsets that claim more rows than there is room for, or fewer than none: nothing is touched
// outside the padded array.
TEST(KernelsTrainingPadded, LengthsOutsideCountAsTheNearest) {
  const std::vector<std::int64_t> offsets = {0, 6, 5};
  const Bytes packed = random_bytes(6);
  Placed padded(Bytes(8, 0xee), 0);
  unpack_rows(nullptr, {2, 4, 1, offsets.data()}, packed.data(), padded.data());
  EXPECT_EQ(padded.vector(), (Bytes{packed[0], packed[1], packed[2], packed[3], 0, 0, 0, 0}));
  EXPECT_EQ(padded.damage(), "");
  const Bytes content = random_bytes(8);
  Placed to_packed(Bytes(6, 0xee), 0);
  pack_rows(nullptr, {2, 4, 1, offsets.data()}, content.data(), to_packed.data());
  EXPECT_EQ(to_packed.vector(),
            (Bytes{content[0], content[1], content[2], content[3], 0xee, 0xee}));
  EXPECT_EQ(to_packed.damage(), "");
}

// Rows are read where there are any: none before the first, and none behind offsets[sequences].
TEST(KernelsTrainingPadded, NoOffsetsLeadOutOfThePackedArray) {
  constexpr std::int64_t lowest = std::numeric_limits<std::int64_t>::min(),
                         highest = std::numeric_limits<std::int64_t>::max();
  const Bytes packed = random_bytes(6);
  for (const std::vector<std::int64_t>& offsets : {std::vector<std::int64_t>{0, 200, 3, 6},
                                                   {-500, -1, 5, 6},
                                                   {lowest, highest, lowest, 6},
                                                   {highest, highest, highest, 6},
                                                   {6, 5, 4, 0},
                                                   {0, 4, 9, lowest}}) {
    const support::GuardedBuffer<std::uint8_t> from(packed);
    Placed padded(Bytes(12, 0xee), 0);
    unpack_rows(nullptr, {3, 4, 1, offsets.data()}, from.data(), padded.data());
    EXPECT_EQ(padded.damage(), "");
    for (const std::uint8_t byte : padded.vector())
      EXPECT_TRUE(byte == 0 || std::find(packed.begin(), packed.end(), byte) != packed.end());
    Placed to_packed(packed, 0);
    pack_rows(nullptr, {3, 4, 1, offsets.data()}, padded.data(), to_packed.data());
    EXPECT_EQ(to_packed.damage(), "");
  }
}

// Small enough for ThreadSanitizer to follow: two rounds of the scan.
TEST(KernelsTrainingPaddedThreads, MeetAtBarriersAlone) {
  const Batch batch = batch_of(4100, 9);
  emulator::Settings random;
  random.order = emulator::Order::random;
  const emulator::WithSettings with(random);
  EXPECT_EQ(offsets_of(9, batch.lengths), batch.offsets());
  expect_moves(batch_of(5, 13), 4, 0, 0);
}

}  // namespace
}  // namespace lacuna::training_tests
