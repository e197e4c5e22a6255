// Which features were measured, how long ago, and what the missing ones read as: the cell's input
// of every token. Two walks over chunks of tokens: the first leaves of each chunk what a feature's
// state is behind it, the second finds the state before its chunk in those summaries and writes.
// Where every value is measured and no time is read there is nothing to walk along: rows are copied.
#pragma once
#include <cmath>

#include "kernels/simt/vec.h"
#include "kernels/simt/warp.h"
#include "kernels/tokens/chunks.h"
#include "kernels/tokens/measured.h"
#include "kernels/tokens/missing.h"

namespace lacuna {

// A feature behind a chunk. `open`: neither a measurement nor the beginning of a sequence was in
// it, so that its elapsed time adds to what came before. Elapsed time is summed in double, which
// makes it independent, but for its last bit, of where chunks begin.
template <class T>
struct ObserveSummary {
  double since;
  simt::Real<T> last;  // NaN: nothing has been measured; nothing of meaning while open
  bool open;
};

template <class T>
struct Observe {
  using R = simt::Real<T>;

  DeviceBatch<T> batch;
  lacuna_impute impute = LACUNA_IMPUTE_NONE;
  bool mask_input = false, gap_input = false;
  const std::int32_t* sequence_of = nullptr;  // [N] and
  const R* gaps = nullptr;                    // [N], from locate
  const R* mean = nullptr;                    // [D] the layer's parameters, null where it has none
  const R* weight = nullptr;                  // [D]
  const R* bias = nullptr;                    // [D]
  // Workspace of observe_summaries(tokens, features) elements; unused without a mask.
  ObserveSummary<T>* summaries = nullptr;

  // All "=". Null: not wanted, except for `input`.
  // [N, input_stride]: x, m and log(1+gap) as the layer has them, then zeros. Aligned to 16 bytes, as
  // rows are: the stride is a multiple of 8.
  T* input = nullptr;
  std::int64_t input_stride = 0;
  R* delta = nullptr;  // [N, delta_stride]: time since the feature was measured, then zeros
  std::int64_t delta_stride = 0;
  T* imputed = nullptr;           // [N, D]: x
  std::uint8_t* fires = nullptr;  // [N]: 1 where any feature was measured
  T* last_values = nullptr;       // [B, D] the carry; needs a mask
  R* since = nullptr;             // [B, D] needs a mask
  double* last_time = nullptr;    // [B] needs times
  R* first_gap = nullptr;         // [B] needs delta_t

  // Rows of the input are the caller's, then zeros; sequence_of and gaps are not read.
  bool copies() const { return impute == LACUNA_IMPUTE_NONE && !gap_input && delta == nullptr; }
};

inline namespace SIMT_PATH {
namespace tokens {

// Cells that a thread fetches at once.
inline constexpr unsigned observe_ahead = 8;

// What has been seen of one feature so far.
template <class T>
struct Seen {
  using R = simt::Real<T>;
  double since = 0;
  R last = 0;

  SIMT_DEVICE void begin(const Observe<T>& args, std::int32_t sequence, std::int64_t feature) {
    const DeviceBatch<T>& batch = args.batch;
    const std::int64_t at = sequence * batch.features + feature;
    last = batch.carry_last_values != nullptr ? simt::to_real(batch.carry_last_values[at])
                                              : absent<R>();
    // Without a mask every feature was measured at the token before.
    const bool carried = batch.carry_since != nullptr && args.impute != LACUNA_IMPUTE_NONE;
    since = carried ? static_cast<double>(batch.carry_since[at]) : 0;
  }

  // `delta`: since the latest measurement before the cell.
  SIMT_DEVICE void pass(bool measured, R value, double delta) {
    last = measured ? value : last;
    since = measured ? 0 : delta;
  }
};

template <class T>
SIMT_KERNEL(chunk_threads)
void summarize_chunks(Observe<T> args) {
  const std::int64_t features = args.batch.features;
  const Reading read = reading(args.batch, args.sequence_of);
  const std::int64_t count = chunk_count(read.used) * features;
  for (std::int64_t i = flat_index(); i < count; i += flat_step()) {
    const std::int64_t chunk = i / features, feature = i % features;
    Seen<T> seen;
    bool open = true;
    for (unsigned step = 0; step < chunk_length; step += observe_ahead) {
      const std::int64_t first = chunk * chunk_length + step;
      if (first >= read.used) break;
      const auto cells = fetch_cells<observe_ahead>(args.batch, read, true, first, feature);
      simt::Real<T> gap[observe_ahead];
      SIMT_UNROLL
      for (unsigned c = 0; c < observe_ahead; ++c) gap[c] = args.gaps[cells.token[c]];
      SIMT_UNROLL
      for (unsigned c = 0; c < observe_ahead; ++c) {
        if (!cells.in_use(c)) continue;
        if (cells.begins(c)) seen.begin(args, cells.sequence[c + 1], feature);
        seen.pass(cells.measured[c], cells.value[c], seen.since + static_cast<double>(gap[c]));
        open = open && !cells.begins(c) && !cells.measured[c];
      }
    }
    args.summaries[i] = {seen.since, seen.last, open};
  }
}

// The state before a chunk. The first chunk of all begins with a sequence, and so is never open.
template <class T>
SIMT_DEVICE Seen<T> seen_before(const Observe<T>& args, std::int64_t chunk, std::int64_t feature) {
  Seen<T> seen;
  while (chunk-- > 0) {
    const ObserveSummary<T> before = args.summaries[chunk * args.batch.features + feature];
    seen.since += before.since;
    seen.last = before.last;
    if (!before.open) break;
  }
  return seen;
}

// One feature of one chunk. Rows beyond the tokens in use become zeros, but for the caller's.
template <class T>
SIMT_DEVICE void observe_feature(const Observe<T>& args, const Reading& read, std::int64_t chunk,
                                 std::int64_t feature) {
  using R = simt::Real<T>;
  const DeviceBatch<T>& batch = args.batch;
  const std::int64_t features = batch.features;
  const bool masked = args.impute != LACUNA_IMPUTE_NONE;
  const Missing<R> missing(args.impute, args.mean, args.weight, args.bias, feature);
  const std::int64_t begin = chunk * chunk_length;
  const std::int64_t end =
      begin + chunk_length < batch.tokens ? begin + chunk_length : batch.tokens;
  Seen<T> seen;
  if (masked && begin < read.used) seen = seen_before(args, chunk, feature);
  std::int64_t first = begin;
  for (; first < end && first < read.used; first += observe_ahead) {
    const auto cells = fetch_cells<observe_ahead>(batch, read, masked, first, feature);
    R gap[observe_ahead], ready[observe_ahead];
    SIMT_UNROLL
    for (unsigned c = 0; c < observe_ahead; ++c) gap[c] = args.gaps[cells.token[c]];
    if (batch.delta != nullptr) {
      SIMT_UNROLL
      for (unsigned c = 0; c < observe_ahead; ++c)
        ready[c] = batch.delta[cells.token[c] * features + feature];
    }
    SIMT_UNROLL
    for (unsigned c = 0; c < observe_ahead; ++c) {
      if (!cells.in_use(c)) continue;
      const std::int64_t s = cells.token[c];
      if (cells.begins(c)) seen.begin(args, cells.sequence[c + 1], feature);
      const double delta = batch.delta != nullptr ? static_cast<double>(ready[c])
                                                  : seen.since + static_cast<double>(gap[c]);
      const R x =
          cells.measured[c] ? cells.value[c] : missing.read_as(seen.last, static_cast<R>(delta));
      T* const row = args.input + s * args.input_stride;
      row[feature] = simt::from_real<T>(x);
      if (args.mask_input)
        row[features + feature] = simt::from_real<T>(cells.measured[c] ? R(1) : R(0));
      if (args.delta != nullptr)
        args.delta[s * args.delta_stride + feature] = static_cast<R>(delta);
      if (args.imputed != nullptr) args.imputed[s * features + feature] = simt::from_real<T>(x);
      seen.pass(cells.measured[c], cells.value[c], delta);
      if (cells.ends(c)) {
        const std::int64_t at = cells.sequence[c + 1] * features + feature;
        if (args.last_values != nullptr) args.last_values[at] = simt::from_real<T>(seen.last);
        if (args.since != nullptr) args.since[at] = static_cast<R>(seen.since);
      }
    }
  }
  for (std::int64_t s = begin > read.used ? begin : read.used; s < end; ++s) {
    T* const row = args.input + s * args.input_stride;
    row[feature] = simt::from_real<T>(R(0));
    if (args.mask_input) row[features + feature] = simt::from_real<T>(R(0));
    if (args.delta != nullptr) args.delta[s * args.delta_stride + feature] = 0;
  }
}

// Columns beyond the features: log(1+gap) where the layer has it, then padding.
template <class T>
SIMT_DEVICE void observe_padding(const Observe<T>& args, std::int64_t chunk, std::int64_t column) {
  using R = simt::Real<T>;
  const std::int64_t features = args.batch.features;
  const std::int64_t input = features * (args.mask_input ? 2 : 1) + column;
  const bool in_input = input < args.input_stride;
  const bool in_delta = args.delta != nullptr && features + column < args.delta_stride;
  const std::int64_t begin = chunk * chunk_length;
  for (std::int64_t s = begin; s < begin + chunk_length && s < args.batch.tokens; ++s) {
    // Gaps beyond the tokens in use are 0.
    const R value = args.gap_input && column == 0 ? std::log1p(args.gaps[s]) : R(0);
    if (in_input) args.input[s * args.input_stride + input] = simt::from_real<T>(value);
    if (in_delta) args.delta[s * args.delta_stride + features + column] = 0;
  }
}

template <class T>
SIMT_KERNEL(chunk_threads)
void observe_chunks(Observe<T> args, std::int64_t columns) {
  const Reading read = reading(args.batch, args.sequence_of);
  const std::int64_t count = chunk_count(args.batch.tokens) * columns;
  for (std::int64_t i = flat_index(); i < count; i += flat_step()) {
    const std::int64_t chunk = i / columns, column = i % columns;
    if (column < args.batch.features)
      observe_feature(args, read, chunk, column);
    else
      observe_padding(args, chunk, column - args.batch.features);
  }
}

// 16 bytes to a thread.
template <class T>
SIMT_KERNEL(flat_threads)
void copy_rows(Observe<T> args) {
  constexpr int each = 16 / sizeof(T);
  const DeviceBatch<T>& batch = args.batch;
  const std::int64_t used = used_tokens(batch), features = batch.features;
  const std::int64_t pieces = args.input_stride / each, i = flat_index();
  if (i >= batch.tokens * pieces) return;
  const std::int64_t s = i / pieces, first = i % pieces * each;
  const T* const source = batch.values + s * features + first;
  const std::int64_t there = s < used ? features - first : 0;
  simt::Vec<T, each> piece;
  SIMT_UNROLL
  for (int c = 0; c < each; ++c) piece[c] = c < there ? source[c] : simt::from_real<T>(0);
  simt::store<each>(args.input + s * args.input_stride + first, piece);
  if (args.imputed == nullptr) return;
  SIMT_UNROLL
  for (int c = 0; c < each; ++c)
    if (c < there) args.imputed[s * features + first + c] = piece[c];
}

// A warp per token. Rows beyond the tokens in use do not fire.
template <class T>
SIMT_KERNEL(flat_threads)
void find_firing(Observe<T> args) {
  const DeviceBatch<T>& batch = args.batch;
  const std::int64_t used = used_tokens(batch), features = batch.features;
  const bool masked = args.impute != LACUNA_IMPUTE_NONE;
  for (std::int64_t s = flat_index() / simt::warp_size; s < batch.tokens;
       s += flat_step() / simt::warp_size) {
    const bool measured =
        s < used && (!masked || row_is_measured(batch.values, batch.mask, features, s));
    if (simt::lane_index() == 0) args.fires[s] = measured ? 1 : 0;
  }
}

// What is carried per sequence, and for sequences of no tokens all that is carried: what came in.
template <class T>
SIMT_KERNEL(flat_threads)
void carry_out(Observe<T> args, std::int64_t columns) {
  using R = simt::Real<T>;
  const DeviceBatch<T>& batch = args.batch;
  for (std::int64_t i = flat_index(); i < batch.sequences * columns; i += flat_step()) {
    const std::int64_t b = i / columns, feature = i % columns;
    const std::int64_t begin = batch.offsets[b], end = batch.offsets[b + 1];
    if (begin == end) {
      if (args.last_values != nullptr)
        args.last_values[i] = batch.carry_last_values != nullptr ? batch.carry_last_values[i]
                                                                 : simt::from_real<T>(absent<R>());
      if (args.since != nullptr)
        args.since[i] = batch.carry_since != nullptr ? batch.carry_since[i] : R(0);
    }
    if (feature > 0) continue;
    if (args.last_time != nullptr) {
      if (begin < end)
        args.last_time[b] = batch.times[batch.reverse ? begin : end - 1];
      else
        args.last_time[b] =
            batch.carry_last_time != nullptr ? batch.carry_last_time[b] : absent<double>();
    }
    if (args.first_gap != nullptr) {
      if (begin < end)
        args.first_gap[b] = batch.delta_t[begin];
      else
        args.first_gap[b] = batch.carry_first_gap != nullptr ? batch.carry_first_gap[b] : R(0);
    }
  }
}

}  // namespace tokens

inline constexpr std::int64_t observe_summaries(std::int64_t tokens, std::int64_t features) {
  return tokens::chunk_count(tokens) * features;
}

template <class T>
void observe(simt::Stream stream, const Observe<T>& args) {
  const DeviceBatch<T>& batch = args.batch;
  const std::int64_t features = batch.features, chunks = tokens::chunk_count(batch.tokens);
  if (batch.tokens > 0) {
    if (args.copies()) {
      const std::int64_t pieces = args.input_stride * static_cast<std::int64_t>(sizeof(T)) / 16;
      simt::launch(tokens::flat_launch(batch.tokens * pieces), stream, tokens::copy_rows<T>, args);
    } else {
      if (args.impute != LACUNA_IMPUTE_NONE)
        simt::launch(tokens::flat_launch(chunks * features, tokens::chunk_threads), stream,
                     tokens::summarize_chunks<T>, args);
      const std::int64_t in_input = args.input_stride - features * (args.mask_input ? 2 : 1);
      const std::int64_t in_delta = args.delta != nullptr ? args.delta_stride - features : 0;
      const std::int64_t columns = features + std::max(in_input, in_delta);
      simt::launch(tokens::flat_launch(chunks * columns, tokens::chunk_threads), stream,
                   tokens::observe_chunks<T>, args, columns);
    }
    if (args.fires != nullptr)
      simt::launch(tokens::flat_launch(batch.tokens * simt::warp_size), stream,
                   tokens::find_firing<T>, args);
  }
  const bool rows = args.last_values != nullptr || args.since != nullptr;
  if (batch.sequences > 0 && (rows || args.last_time != nullptr || args.first_gap != nullptr)) {
    const std::int64_t columns = rows ? features : 1;
    simt::launch(tokens::flat_launch(batch.sequences * columns), stream, tokens::carry_out<T>, args,
                 columns);
  }
}

}  // namespace SIMT_PATH
}  // namespace lacuna
