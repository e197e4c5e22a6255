// What moves rows between a batch and a window of it, and adds, drops or scales them on the way. Part of what a backend does.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cells/noise.h"
#include "lacuna/lacuna.h"

namespace lacuna {

// Of every sequence the tokens that are read as number first .. first+count-1. The window holds them back to back in the
// order of reading.
struct WindowRows {
  std::int64_t sequences = 0, first = 0, count = 0;
  bool reverse = false;                   // sequences are read from their ends
  const std::int64_t* offsets = nullptr;  // [B+1] of the batch, on the host
  const std::int64_t* packed = nullptr;   // [B+1] of the window, on the host
  std::byte* prepared = nullptr;          // what Backend::prepare_window has made of it

  std::int64_t rows() const { return sequences > 0 ? packed[sequences] : 0; }
  // Whether the sequence's last token to be read is in the window; of one without tokens: whether the window is the first.
  LACUNA_FN bool ends(std::int64_t b) const {
    const std::int64_t length = offsets[b + 1] - offsets[b];
    return length <= first + count && (length > first || first == 0);
  }
  // The batch's row of a window's token `step` of sequence `b`.
  LACUNA_FN std::int64_t row(std::int64_t b, std::int64_t step) const {
    return reverse ? offsets[b + 1] - 1 - first - step : offsets[b] + first + step;
  }
};

// An array's rows: all of the batch's, or the window's own.
struct RowArray {
  void* data = nullptr;     // at the first column that takes part
  std::int64_t stride = 0;  // in elements
  bool of_batch = false;
};

// to (= | +=) dropped(from + add), row by row.
struct RowsRun {
  enum class Element { byte, real, wide };  // byte: copied, nothing else
  enum class Over {
    tokens,   // of the window, or all `rows`
    endings,  // a row for each sequence: 0 for those that do not end in the window
  };
  lacuna_type type;
  Over over = Over::tokens;
  Element element = Element::real;
  const WindowRows* window = nullptr;  // null: every array has the same `rows` rows
  std::int64_t rows = 0, width = 0;
  RowArray to, from, add;  // add.data null: 0. `to` may be `from`
  bool accumulate = false;
  Dropout
      dropout;  // needs a window, if only one that is the whole batch: it knows a token by sequence and number
  NoiseNames names;         // for dropout
  std::int64_t column = 0;  // `to`'s first column, as dropout counts them; a multiple of 4 or not
  void* stream = nullptr;
};

// measured[s] "=" 1 at tokens at which any feature was measured, else 0.
struct MeasuredRun {
  lacuna_type type;
  const WindowRows* window = nullptr;  // null: of all `rows`
  std::int64_t rows = 0, features = 0;
  const void* values = nullptr;        // real [N, features] of the batch
  const std::uint8_t* mask = nullptr;  // [N, features]; null: NaN in values marks the missing ones
  std::uint8_t* measured = nullptr;    // of the window
  void* stream = nullptr;
};

// The gap before each token of a window, wide; and what a piece of a sequence has to hand on of its times.
struct GapsRun {
  lacuna_type type;
  const WindowRows* window = nullptr;
  const void* delta_t = nullptr;  // wide [N]; or
  const double* times = nullptr;  // [N]
  const lacuna_carry* carry_in = nullptr;
  void* gaps = nullptr;  // [window's rows] "="
  lacuna_carry* carry_out =
      nullptr;  // last_time, first_gap: "=" in the window that knows them; null: not wanted
  void* stream = nullptr;
};

// d_delta_t [N] (= | +=) the gradients of a window's gaps. "=" covers the window's tokens, and in reverse the rows that
// have no gap.
struct GapGradientsRun {
  lacuna_type type;
  const WindowRows* window = nullptr;
  const void* d_gaps = nullptr;
  void* d_delta_t = nullptr;
  bool accumulate = false;
  void* stream = nullptr;
};

}  // namespace lacuna
