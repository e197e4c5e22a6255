// The gaps before a window's tokens, and the way back of their gradients to the batch's delta_t.
#pragma once
#include "kernels/cells/gap.h"
#include "kernels/tokens/batch.h"
#include "kernels/tokens/window.h"

namespace lacuna {

// R: float or double.
template <class R>
struct WindowGaps {
  DeviceWindow window;
  std::int64_t rows = 0;              // of the window
  const R* delta_t = nullptr;         // [N], or
  const double* times = nullptr;      // [N]
  const double* last_time = nullptr;  // [B] carried; NaN: none
  const R* first_gap = nullptr;       // [B] carried; with delta_t in reverse
  R* gaps = nullptr;                  // [rows] "=". Null: not wanted
  // [B] "=" in the window that knows them. Null: not wanted.
  double* last_time_out = nullptr;
  R* first_gap_out = nullptr;
};

template <class R>
struct WindowGapGradients {
  DeviceWindow window;
  std::int64_t rows = 0;
  const R* d_gaps = nullptr;  // [rows]
  R* d_delta_t = nullptr;     // [N] "=", "+=" if `accumulate`
  bool accumulate = false;
};

inline namespace SIMT_PATH {
namespace tokens {

template <class R>
SIMT_DEVICE R window_gap(const WindowGaps<R>& args, const WindowToken& token) {
  const DeviceWindow& window = args.window;
  const std::int64_t row = batch_row(window, token), b = token.sequence;
  const bool first = window.first + token.step == 0;
  return gap_before_row(
      GapSource<R>{args.delta_t, args.times, args.last_time, args.first_gap, window.reverse}, b,
      row, first);
}

template <class R>
SIMT_KERNEL(flat_threads)
void store_window_gaps(WindowGaps<R> args) {
  for (std::int64_t own = flat_index(); own < args.rows; own += flat_step())
    args.gaps[own] = window_gap(args, find_token(args.window, own));
}

// Of the last token read; of a sequence without tokens what it came with. One that has none in this
// window alone is left as it is.
template <class R>
SIMT_KERNEL(flat_threads)
void store_window_carry(WindowGaps<R> args) {
  const DeviceWindow& window = args.window;
  for (std::int64_t b = flat_index(); b < window.sequences; b += flat_step()) {
    const std::int64_t length = window.packed[b + 1] - window.packed[b];
    const bool empty = window.offsets[b] == window.offsets[b + 1];
    if (length == 0 && !empty) continue;
    if (args.last_time_out != nullptr) {
      double last = args.last_time != nullptr ? args.last_time[b] : absent<double>();
      if (length > 0) last = args.times[batch_row(window, WindowToken{b, length - 1})];
      args.last_time_out[b] = last;
    }
    if (args.first_gap_out != nullptr) {
      R gap = args.first_gap != nullptr ? args.first_gap[b] : R(0);
      if (length > 0) gap = args.delta_t[window.offsets[b]];
      args.first_gap_out[b] = gap;
    }
  }
}

template <class R>
SIMT_KERNEL(flat_threads)
void store_window_gap_gradients(WindowGapGradients<R> args) {
  const DeviceWindow& window = args.window;
  for (std::int64_t own = flat_index(); own < args.rows; own += flat_step()) {
    const WindowToken token = find_token(window, own);
    std::int64_t row = batch_row(window, token);
    R gradient = args.d_gaps[own];
    if (window.reverse) {
      // The gap before a token stands at the token behind it. Before the first one read there is
      // none, and nothing reads the one of a sequence's first row.
      if (window.first + token.step > 0) {
        row += 1;
      } else {
        row = window.offsets[token.sequence];
        gradient = 0;
      }
    }
    args.d_delta_t[row] = args.accumulate ? args.d_delta_t[row] + gradient : gradient;
  }
}

}  // namespace tokens

template <class R>
void window_gaps(simt::Stream stream, const WindowGaps<R>& args) {
  if (args.gaps != nullptr && args.rows > 0)
    simt::launch(tokens::flat_launch(args.rows), stream, tokens::store_window_gaps<R>, args);
  if (args.window.sequences > 0 && (args.last_time_out != nullptr || args.first_gap_out != nullptr))
    simt::launch(tokens::flat_launch(args.window.sequences), stream, tokens::store_window_carry<R>,
                 args);
}

template <class R>
void window_gap_gradients(simt::Stream stream, const WindowGapGradients<R>& args) {
  if (args.rows > 0)
    simt::launch(tokens::flat_launch(args.rows), stream, tokens::store_window_gap_gradients<R>,
                 args);
}

}  // namespace SIMT_PATH
}  // namespace lacuna
