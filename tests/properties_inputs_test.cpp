// The same input in another form gives the same bits: whatever an unmeasured cell holds, a mask or
// NaN, time stamps or gaps, packed from padded rows or ragged from the start.
#include <limits>

#include "support/properties.h"

namespace {

using support::Case;
using support::Data;
using support::in_type;
using support::library_run;
using support::LibraryRun;

struct Inputs : support::PropertyTest {};
struct MaskedInputs : support::PropertyTest {};

INSTANTIATE_TEST_SUITE_P(Each, Inputs, testing::ValuesIn(support::property_cases),
                         support::test_name);
INSTANTIATE_TEST_SUITE_P(Each, MaskedInputs,
                         testing::ValuesIn(support::property_cases_where(support::has_mask)),
                         support::test_name);

// Two forms of one case, run on every instruction set and in either direction.
template <class Change>
void expect_no_difference(Case c, Change change) {
  for (const bool reverse : {false, true}) {
    c.layer.reverse = reverse;
    const Data data(c);
    Data other = data;
    change(c, other);
    in_type(c, [&]<class Real>(Real) {
      for (const lacuna_isa isa : support::instruction_sets()) {
        SCOPED_TRACE(support::to_string(c) + " isa " + std::to_string(isa));
        const auto context = support::make_context(1, isa);
        auto expected = library_run<Real>(c, data), result = library_run<Real>(c, other);
        expected.run(context.get());
        result.run(context.get());
        // Gaps to be carried on are told in the form in which they were given.
        result.last_time.reset();
        for (const auto& [name, buffer] : result.results.entries()) {
          if (name == "carry_first_gap") continue;
          const auto* other_buffer = expected.results.find(name);
          ASSERT_NE(other_buffer, nullptr) << name;
          EXPECT_TRUE(support::are_same_bits(name, buffer->vector(), other_buffer->vector()));
        }
      }
    });
  }
}

TEST_P(MaskedInputs, WhatAnUnmeasuredCellHoldsIsNotRead) {
  for (const double poison : {0.0, -7.25, std::numeric_limits<double>::quiet_NaN(),
                              std::numeric_limits<double>::infinity(), 1e30}) {
    expect_no_difference(c, [&](const Case&, Data& data) {
      for (std::size_t at = 0; at < data.batch.values.size(); ++at)
        if (!data.batch.mask[at]) data.batch.values[at] = poison;
    });
  }
}

TEST_P(MaskedInputs, PoisonReachesNoOutputAndNoGradient) {
  in_type(c, [&]<class Real>(Real) {
    for (const lacuna_isa isa : support::instruction_sets()) {
      const auto context = support::make_context(1, isa);
      LibraryRun<Real> run(c);
      run.run(context.get());
      for (const auto& [name, buffer] : run.results.entries()) {
        if (name == "carry_last_values") continue;  // NaN where there has been none
        for (const Real element : buffer->span()) ASSERT_TRUE(std::isfinite(element)) << name;
      }
      const auto* d_values = run.results.find("d_values");
      const Data data(c);
      for (std::size_t at = 0; at < data.batch.mask.size(); ++at)
        if (!data.batch.mask[at]) {
          ASSERT_EQ(d_values->span()[at], 0) << at;
        }
    }
  });
}

TEST_P(MaskedInputs, NanMarksWhatTheMaskWould) {
  expect_no_difference(c, [](Case from_nan, Data& data) {
    from_nan.mask_from_nan = true;
    data = Data(from_nan);
    ASSERT_TRUE(data.batch.mask.empty());
  });
}

TEST_P(MaskedInputs, AnyNonzeroByteOfTheMaskMeansMeasured) {
  expect_no_difference(c, [](const Case&, Data& data) {
    std::uint8_t turn = 0;
    for (std::uint8_t& m : data.batch.mask)
      if (m) m = static_cast<std::uint8_t>(1 << (turn++ % 8));
  });
}

// Gaps are multiples of 2^-10 and so exact in either form.
TEST_P(Inputs, TimeStampsGiveWhatTheirGapsGive) {
  c.times = true;
  expect_no_difference(c, [](const Case& stamped, Data& data) {
    auto& batch = data.batch;
    const auto seen = reference::observe(stamped.layer, batch);
    batch.delta_t.assign(batch.times.size(), 0);
    for (std::int64_t b = 0; b < batch.sequences(); ++b) {
      const auto read = reference::reading(stamped.layer, batch, b);
      for (std::int64_t step = 0; step < read.length(); ++step) {
        const auto s = static_cast<std::size_t>(read.token(step));
        if (!stamped.layer.reverse) batch.delta_t[s] = seen.delta_t[s];
        if (stamped.layer.reverse && step > 0) batch.delta_t[s + 1] = seen.delta_t[s];
      }
      if (!stamped.layer.reverse || batch.context.last_time.empty()) continue;
      const auto last = static_cast<std::size_t>(read.end) - 1;
      batch.context.first_gap.push_back(read.length() > 0 ? seen.delta_t[last] : 0);
    }
    batch.times.clear();
    batch.context.last_time.clear();
  });
}

// The whole way of a padded batch, forward and backward, with padding that would be noticed.
TEST_P(Inputs, PackedFromPaddedRowsIsTheRaggedBatch) {
  const auto context = support::make_context(2);
  expect_no_difference(c, [&](const Case& ragged, Data& data) {
    auto& batch = data.batch;
    const std::int64_t longest = ragged.max_length();
    std::vector<std::int64_t> lengths, offsets(batch.offsets.size());
    for (std::int64_t b = 0; b < batch.sequences(); ++b)
      lengths.push_back(reference::reading(ragged.layer, batch, b).length());
    const auto there_and_back = [&](auto& rows, auto padding) {
      if (rows.empty()) return;
      using T = std::remove_cvref_t<decltype(rows[0])>;
      const auto width = static_cast<std::int64_t>(rows.size()) / batch.tokens();
      const auto row_bytes = width * static_cast<std::int64_t>(sizeof(T));
      std::vector<T> padded(static_cast<std::size_t>(batch.sequences() * longest * width), padding);
      for (std::int64_t b = 0; b < batch.sequences(); ++b) {
        const auto at = static_cast<std::size_t>(b);
        std::copy_n(rows.begin() + batch.offsets[at] * width, lengths[at] * width,
                    padded.begin() + b * longest * width);
      }
      std::vector<T> packed(rows.size());
      support::must(lacuna_pack(context.get(), batch.sequences(), longest, row_bytes,
                                lengths.data(), padded.data(), offsets.data(), packed.data(),
                                nullptr));
      EXPECT_EQ(offsets, batch.offsets);
      rows = packed;
      // The way back fills with zeros, and leaves the rows what they were.
      std::vector<T> unpacked(padded.size(), padding);
      support::must(lacuna_unpack(context.get(), batch.sequences(), longest, row_bytes,
                                  offsets.data(), packed.data(), unpacked.data(), nullptr));
      for (std::int64_t b = 0; b < batch.sequences(); ++b) {
        const auto at = unpacked.begin() + b * longest * width;
        const auto end = at + lengths[static_cast<std::size_t>(b)] * width;
        EXPECT_EQ(std::memcmp(&*at, &padded[static_cast<std::size_t>(b * longest * width)],
                              static_cast<std::size_t>(end - at) * sizeof(T)),
                  0);
        EXPECT_TRUE(std::all_of(end, at + longest * width, [](T x) { return x == T(0); }));
      }
    };
    there_and_back(batch.values, std::numeric_limits<double>::quiet_NaN());
    there_and_back(batch.mask, std::uint8_t{1});
    there_and_back(batch.delta_t, -1.0);
    there_and_back(data.upstream.d_hidden, std::numeric_limits<double>::infinity());
  });
}

}  // namespace
