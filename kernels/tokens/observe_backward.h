// The way back of observe: from the gradient of every token's input to those of the values, of the
// times since they were measured and of the imputation's parameters. The same two walks over
// chunks, against the order of reading; or a copy, where observe copies.
#pragma once
#include "kernels/simt/vec.h"
#include "kernels/tokens/chunks.h"
#include "kernels/tokens/missing.h"
#include "kernels/tokens/reduce.h"

namespace lacuna {

// What a feature's cells in a chunk pass on to the tokens read before it. `open`: what the chunk
// itself received from behind goes on as well, for it met neither a measurement nor the beginning
// of a sequence.
template <class T>
struct ObserveGradient {
  simt::Real<T> d_last;  // dL/dx_last
  simt::Real<T> d_age;   // dL/ddelta of the token behind, as far as it depends on this one's
  bool open;
};

template <class T>
struct ObserveBackward {
  using R = simt::Real<T>;

  DeviceBatch<T> batch;
  lacuna_impute impute = LACUNA_IMPUTE_NONE;
  const std::int32_t* sequence_of = nullptr;  // [N] from locate
  const R* d_input = nullptr;                 // [N, d_input_stride], columns as observe's input
  std::int64_t d_input_stride = 0;
  const R* d_delta = nullptr;  // [N, d_delta_stride]: what evolve adds to dL/ddelta; null: nothing
  std::int64_t d_delta_stride = 0;
  // What observe wrote, where impute is decay or relax; not read otherwise.
  const T* input = nullptr;  // [N, input_stride]
  std::int64_t input_stride = 0;
  const R* delta = nullptr;  // [N, delta_stride]
  std::int64_t delta_stride = 0;
  const R* mean = nullptr;  // [D] the layer's parameters, null where it has none
  const R* weight = nullptr;
  const R* bias = nullptr;
  // Workspaces of observe_backward_summaries and observe_backward_sums elements; unused without a
  // mask.
  ObserveGradient<T>* summaries = nullptr;
  R* sums = nullptr;

  // [B, D] what the pieces that come later found of what this one hands to them; null: 0.
  const R* d_last_out = nullptr;
  const R* d_since_out = nullptr;

  // Null: not wanted. Rows beyond the tokens in use are not written in d_values, which is the
  // caller's, and zero in d_age.
  T* d_values = nullptr;  // [N, D] "="
  // [N, D] "=": dL/ddelta of every cell, with what later ones pass on to it. Each depends on its
  // token's gap with slope 1, so a row's sum is a part of dL/dgap. 0 where delta was ready-made.
  R* d_age = nullptr;
  R* d_mean = nullptr;    // [D] "+="
  R* d_weight = nullptr;  // [D] "+=" with respect to the parameter
  R* d_bias = nullptr;    // [D] "+="
  // [B, D] "=" of what the piece before handed to this one: 0 where it handed no value, whose part
  // is in d_mean. Of sequences without tokens pass_carry_gradients writes them.
  R* d_last_in = nullptr;
  R* d_since_in = nullptr;

  // All that may be wanted is d_values, each element its own element of d_input; sequence_of is not
  // read.
  bool copies() const {
    return impute == LACUNA_IMPUTE_NONE && d_age == nullptr && d_last_out == nullptr &&
           d_last_in == nullptr && d_since_in == nullptr;
  }
};

inline namespace SIMT_PATH {
namespace tokens {

// Cells that a thread fetches at once.
inline constexpr unsigned observe_backward_ahead = 4;

// What one cell adds to its feature's gradients.
template <class R>
struct CellGradient {
  R d_last;      // through x_last
  R d_mean;      // through x_mean
  R d_exponent;  // by the factor's exponent
  R d_age;       // by delta
};

// Gradients and what they are formed with, of a few cells in a row.
template <class T, unsigned length>
struct GradientCells {
  using R = simt::Real<T>;
  Cells<T, length> cells;
  R d_x[length], d_delta[length], x[length], delta[length];

  SIMT_DEVICE GradientCells(const ObserveBackward<T>& args, const Reading& read,
                            const Missing<R>& missing, std::int64_t first, std::int64_t feature)
      : cells(fetch_cells<length>(args.batch, read, args.impute != LACUNA_IMPUTE_NONE, first,
                                  feature)) {
    SIMT_UNROLL
    for (unsigned c = 0; c < length; ++c) {
      d_x[c] = args.d_input[cells.token[c] * args.d_input_stride + feature];
      d_delta[c] = args.d_delta != nullptr
                       ? args.d_delta[cells.token[c] * args.d_delta_stride + feature]
                       : R(0);
      x[c] = missing.timed()
                 ? simt::to_real(args.input[cells.token[c] * args.input_stride + feature])
                 : R(0);
      delta[c] = missing.timed() ? args.delta[cells.token[c] * args.delta_stride + feature] : R(0);
    }
  }

  SIMT_DEVICE CellGradient<R> gradient(const Missing<R>& missing, unsigned c) const {
    const R d_missing = cells.measured[c] ? R(0) : d_x[c];
    const R exponent = missing.exponent(delta[c]);
    const R factor = missing.factor(exponent);
    R d_exponent = 0;
    if (missing.timed()) {
      // x - x_mean is factor (x_last - x_mean), which is all that the factor's own gradient needs.
      // The mean is rounded as x was: the difference is 0 where x is the mean.
      const R mean = simt::to_real(simt::from_real<T>(missing.mean));
      const R decayed = cells.measured[c] ? R(0) : x[c] - mean;
      d_exponent = missing.d_exponent(exponent, decayed, d_missing);
    }
    return {factor * d_missing, (R(1) - factor) * d_missing, d_exponent,
            d_exponent * missing.weight + d_delta[c]};
  }
};

// What flows against the order of reading, from cell to cell of one feature.
template <class R>
struct Flow {
  R d_last = 0, d_age = 0;

  // Behind the token of a sequence that is read last. `at`: the sequence's feature.
  template <class T>
  SIMT_DEVICE void begin(const ObserveBackward<T>& args, std::int64_t at) {
    d_last = args.d_last_out != nullptr ? args.d_last_out[at] : R(0);
    d_age = args.d_since_out != nullptr ? args.d_since_out[at] : R(0);
  }

  // From behind the cell to before it.
  SIMT_DEVICE void pass(bool measured, const CellGradient<R>& cell) {
    d_last = (measured ? R(0) : d_last) + cell.d_last;
    d_age = (measured ? R(0) : d_age) + cell.d_age;
  }
};

template <class T>
SIMT_KERNEL(chunk_threads)
void summarize_gradients(ObserveBackward<T> args) {
  using R = simt::Real<T>;
  constexpr unsigned ahead = observe_backward_ahead;
  const std::int64_t features = args.batch.features;
  const Reading read = reading(args.batch, args.sequence_of);
  const std::int64_t count = chunk_count(read.used) * features;
  for (std::int64_t i = flat_index(); i < count; i += flat_step()) {
    const std::int64_t chunk = i / features, feature = i % features;
    const Missing<R> missing(args.impute, args.mean, args.weight, args.bias, feature);
    Flow<R> flow;
    bool open = true;
    const std::int64_t begin = chunk * chunk_length;
    for (std::int64_t first = begin + chunk_length - ahead; first >= begin; first -= ahead) {
      if (first >= read.used) continue;
      const GradientCells<T, ahead> at(args, read, missing, first, feature);
      SIMT_UNROLL
      for (unsigned c = ahead; c-- > 0;) {
        if (!at.cells.in_use(c)) continue;
        if (at.cells.ends(c)) flow.begin(args, at.cells.sequence[c + 1] * features + feature);
        flow.pass(at.cells.measured[c], at.gradient(missing, c));
        if (at.cells.begins(c)) flow = {};
        open = open && !at.cells.begins(c) && !at.cells.measured[c];
      }
    }
    args.summaries[i] = {flow.d_last, flow.d_age, open};
  }
}

template <class T>
SIMT_KERNEL(chunk_threads)
void observe_chunks_backward(ObserveBackward<T> args) {
  using R = simt::Real<T>;
  constexpr unsigned ahead = observe_backward_ahead;
  const DeviceBatch<T>& batch = args.batch;
  const std::int64_t features = batch.features;
  const bool masked = args.impute != LACUNA_IMPUTE_NONE;
  const Reading read = reading(batch, args.sequence_of);
  const std::int64_t used_chunks = chunk_count(read.used);
  const std::int64_t count = chunk_count(batch.tokens) * features;
  for (std::int64_t i = flat_index(); i < count; i += flat_step()) {
    const std::int64_t chunk = i / features, feature = i % features;
    const Missing<R> missing(args.impute, args.mean, args.weight, args.bias, feature);
    Flow<R> flow;
    if (masked) {
      for (std::int64_t behind = chunk + 1; behind < used_chunks; ++behind) {
        const ObserveGradient<T> summary = args.summaries[behind * features + feature];
        flow.d_last += summary.d_last;
        flow.d_age += summary.d_age;
        if (!summary.open) break;
      }
    }
    const std::int64_t begin = chunk * chunk_length;
    R d_mean = 0, d_weight = 0, d_bias = 0;
    for (std::int64_t first = begin + chunk_length - ahead; first >= begin; first -= ahead) {
      if (first >= read.used) continue;
      const GradientCells<T, ahead> at(args, read, missing, first, feature);
      SIMT_UNROLL
      for (unsigned c = ahead; c-- > 0;) {
        if (!at.cells.in_use(c)) continue;
        const bool measured = at.cells.measured[c];
        const std::int64_t carried = at.cells.sequence[c + 1] * features + feature;
        if (at.cells.ends(c)) flow.begin(args, carried);
        const std::int64_t cell = at.cells.token[c] * features + feature;
        if (args.d_values != nullptr)
          args.d_values[cell] = simt::from_real<T>(measured ? at.d_x[c] + flow.d_last : R(0));
        const CellGradient<R> own = at.gradient(missing, c);
        flow.pass(measured, own);
        if (args.d_age != nullptr) args.d_age[cell] = batch.delta != nullptr ? R(0) : flow.d_age;
        d_mean += own.d_mean;
        d_weight += own.d_exponent * at.delta[c];
        d_bias += own.d_exponent;
        if (!at.cells.begins(c)) continue;
        // What met no measurement belongs to the mean, which stood in for it, unless a carried
        // value did.
        const R before = batch.carry_last_values != nullptr
                             ? simt::to_real(batch.carry_last_values[carried])
                             : absent<R>();
        if (before != before) d_mean += flow.d_last;
        if (args.d_last_in != nullptr)
          args.d_last_in[carried] = before != before ? R(0) : flow.d_last;
        if (args.d_since_in != nullptr)
          args.d_since_in[carried] = batch.delta != nullptr ? R(0) : flow.d_age;
        flow = {};
      }
    }
    for (std::int64_t s = begin > read.used ? begin : read.used;
         args.d_age != nullptr && s < begin + chunk_length && s < batch.tokens; ++s)
      args.d_age[s * features + feature] = 0;
    // Three matrices [chunks, D].
    if (args.d_mean != nullptr) args.sums[i] = d_mean;
    if (args.d_weight != nullptr) args.sums[count + i] = d_weight;
    if (args.d_bias != nullptr) args.sums[2 * count + i] = d_bias;
  }
}

// 16 bytes to a thread, whole where d_values is `aligned` to them.
template <class T>
SIMT_KERNEL(flat_threads)
void copy_gradients(ObserveBackward<T> args, bool aligned) {
  constexpr int each = 16 / sizeof(T);
  const std::int64_t features = args.batch.features;
  const std::int64_t count = used_tokens(args.batch) * features;
  const std::int64_t first = flat_index() * each;
  if (first >= count) return;
  const int here = count - first < each ? static_cast<int>(count - first) : each;
  std::int64_t row = first / features, column = first % features;
  simt::Real<T> element[each];
  SIMT_UNROLL
  for (int c = 0; c < each; ++c) {
    element[c] = c < here ? args.d_input[row * args.d_input_stride + column] : 0;
    const bool ends = ++column == features;
    row += ends ? 1 : 0;
    column = ends ? 0 : column;
  }
  simt::Vec<T, each> piece;
  SIMT_UNROLL
  for (int c = 0; c < each; ++c) piece[c] = simt::from_real<T>(element[c]);
  if (aligned && here == each) return simt::store<each>(args.d_values + first, piece);
  SIMT_UNROLL
  for (int c = 0; c < each; ++c)
    if (c < here) args.d_values[first + c] = piece[c];
}

template <class T>
SIMT_KERNEL(flat_threads)
void pass_empty_sequences(ObserveBackward<T> args) {
  const DeviceBatch<T>& batch = args.batch;
  for (std::int64_t i = flat_index(); i < batch.sequences * batch.features; i += flat_step()) {
    const std::int64_t b = i / batch.features;
    if (batch.offsets[b] != batch.offsets[b + 1]) continue;
    Flow<simt::Real<T>> flow;
    flow.begin(args, i);
    if (args.d_last_in != nullptr) args.d_last_in[i] = flow.d_last;
    if (args.d_since_in != nullptr) args.d_since_in[i] = flow.d_age;
  }
}

}  // namespace tokens

inline constexpr std::int64_t observe_backward_summaries(std::int64_t tokens,
                                                         std::int64_t features) {
  return tokens::chunk_count(tokens) * features;
}

inline std::int64_t observe_backward_sums(std::int64_t tokens, std::int64_t features) {
  const std::int64_t chunks = tokens::chunk_count(tokens);
  return 3 * chunks * features + column_sum_partials(chunks, 3 * features);
}

// Of a sequence without tokens, what comes from later pieces goes on to earlier ones.
template <class T>
void pass_carry_gradients(simt::Stream stream, const ObserveBackward<T>& args) {
  const std::int64_t count = args.batch.sequences * args.batch.features;
  if (count > 0 && (args.d_last_in != nullptr || args.d_since_in != nullptr))
    simt::launch(tokens::flat_launch(count), stream, tokens::pass_empty_sequences<T>, args);
}

template <class T>
void observe_backward(simt::Stream stream, const ObserveBackward<T>& args) {
  using R = simt::Real<T>;
  const std::int64_t tokens = args.batch.tokens, features = args.batch.features;
  if (tokens == 0) return;
  if (args.copies()) {
    constexpr std::int64_t each = 16 / sizeof(T);
    if (args.d_values != nullptr)
      simt::launch(tokens::flat_launch((tokens * features + each - 1) / each), stream,
                   tokens::copy_gradients<T>, args,
                   reinterpret_cast<std::uintptr_t>(args.d_values) % 16 == 0);
    return;
  }
  const std::int64_t chunks = tokens::chunk_count(tokens), count = chunks * features;
  const simt::LaunchConfig config = tokens::flat_launch(count, tokens::chunk_threads);
  if (args.impute != LACUNA_IMPUTE_NONE)
    simt::launch(config, stream, tokens::summarize_gradients<T>, args);
  simt::launch(config, stream, tokens::observe_chunks_backward<T>, args);
  ColumnSums<R> sums;
  const auto total = [&](int matrix, R* out, const R* slope_of) {
    if (out == nullptr) return;
    ColumnSum<R> sum{args.sums + matrix * count, features, features, out};
    sum.slope_of = slope_of;
    sums.add(sum);
  };
  total(0, args.d_mean, nullptr);
  // A rate is softplus of its parameter, whose slope is the logistic function.
  total(1, args.d_weight, args.impute == LACUNA_IMPUTE_RELAX ? args.weight : nullptr);
  total(2, args.d_bias, nullptr);
  column_sums(stream, chunks, sums, args.sums + 3 * count);
}

}  // namespace SIMT_PATH
}  // namespace lacuna
