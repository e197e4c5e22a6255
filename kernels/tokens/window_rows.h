// Rows between a batch and a window of it, added, dropped and scaled on the way: every element is
// read once and written once.
#pragma once
#include "kernels/cells/noise.h"
#include "kernels/simt/number.h"
#include "kernels/simt/shared.h"
#include "kernels/simt/sync.h"
#include "kernels/simt/vec.h"
#include "kernels/tokens/window.h"

namespace lacuna {

// An array's rows: all of the batch's, or the window's own.
template <class T>
struct WindowArray {
  T* data = nullptr;        // at the first column that takes part
  std::int64_t stride = 0;  // in elements
  bool of_batch = false;
};

// to (= | +=) dropped(from + add). T: float, double, Fp16 or Bf16, sums in Real<T>; or
// std::uint8_t, which is copied and nothing else.
template <class T>
struct WindowRowsMove {
  DeviceWindow window;
  std::int64_t rows = 0, width = 0;
  WindowArray<T> to;  // may be `from`
  WindowArray<const T> from, add;
  bool accumulate = false;
  Dropout dropout;          // needs a window that is not the batch itself
  NoiseNames names;         // for dropout
  std::int64_t column = 0;  // `to`'s first column, as dropout counts them
};

inline namespace SIMT_PATH {
namespace tokens {

// Columns that share a draw, and that a thread moves at once.
inline constexpr int row_unit = 4;
// About as many units as a block is given.
inline constexpr std::int64_t units_per_block = 1024;

template <class T>
inline constexpr bool is_byte = std::is_same_v<T, std::uint8_t>;

// In one access, or two where they do not fit one.
template <class T>
inline constexpr int row_access = sizeof(T) == 8 ? row_unit / 2 : row_unit;

// Which of a unit's columns are in the row.
struct UnitColumns {
  std::int64_t first;  // of lane 0, counted from the row's first column; may be before it
  std::int64_t width;

  SIMT_DEVICE bool contain(int lane) const { return first + lane >= 0 && first + lane < width; }
};

// `aligned`: the columns are all there, and aligned to an access.
template <bool aligned, class T>
SIMT_DEVICE void load_unit(const T* row, const UnitColumns& columns, T (&values)[row_unit]) {
  if constexpr (aligned) {
    constexpr int access = row_access<T>;
    SIMT_UNROLL
    for (int i = 0; i < row_unit; i += access) {
      const simt::Vec<T, access> part = simt::load<access>(row + columns.first + i);
      SIMT_UNROLL
      for (int j = 0; j < access; ++j) values[i + j] = part[j];
    }
  } else {
    SIMT_UNROLL
    for (int i = 0; i < row_unit; ++i)
      values[i] = columns.contain(i) ? row[columns.first + i] : T{};
  }
}

template <bool aligned, class T>
SIMT_DEVICE void store_unit(T* row, const UnitColumns& columns, const T (&values)[row_unit]) {
  if constexpr (aligned) {
    constexpr int access = row_access<T>;
    SIMT_UNROLL
    for (int i = 0; i < row_unit; i += access) {
      simt::Vec<T, access> part;
      SIMT_UNROLL
      for (int j = 0; j < access; ++j) part[j] = values[i + j];
      simt::store(row + columns.first + i, part);
    }
  } else {
    SIMT_UNROLL
    for (int i = 0; i < row_unit; ++i)
      if (columns.contain(i)) row[columns.first + i] = values[i];
  }
}

// Which row a window's row is: of the batch, and to dropout.
struct RowPlace {
  std::int64_t of_batch, name, position;
};

template <class T>
SIMT_DEVICE RowPlace find_place(const WindowRowsMove<T>& args, std::int64_t own) {
  const DeviceWindow& window = args.window;
  if (window.offsets == nullptr) return {own, 0, 0};
  const WindowToken token = find_token(window, own);
  RowPlace place{batch_row(window, token), 0, 0};
  if (args.dropout.active()) {
    place.name = args.names.name(token.sequence);
    place.position = args.names.first_position(token.sequence) + window.first + token.step;
  }
  return place;
}

// What dropout makes of a unit.
template <class R>
struct Dropped {
  std::uint32_t threshold = 0;
  R scale = 1;

  SIMT_DEVICE void apply(const Dropout& dropout, const RowPlace& place, std::int64_t column,
                         R (&values)[row_unit]) const {
    const PhiloxNumbers numbers = dropout.draw(place.name, place.position, column);
    SIMT_UNROLL
    for (int i = 0; i < row_unit; ++i)
      values[i] = numbers.word[i] < threshold ? R(0) : values[i] * scale;
  }
};

template <bool aligned, class T>
SIMT_DEVICE void move_unit(const WindowRowsMove<T>& args, const Dropped<simt::Real<T>>& dropped,
                           std::int64_t own, const RowPlace& place, const UnitColumns& columns) {
  const auto row = [&](const auto& array) {
    return array.data + (array.of_batch ? place.of_batch : own) * array.stride;
  };
  T values[row_unit];
  load_unit<aligned>(row(args.from), columns, values);
  if constexpr (!is_byte<T>) {
    using R = simt::Real<T>;
    R sums[row_unit];
    SIMT_UNROLL
    for (int i = 0; i < row_unit; ++i) sums[i] = simt::to_real(values[i]);
    const auto add = [&](const T* more) {
      T added[row_unit];
      load_unit<aligned>(more, columns, added);
      SIMT_UNROLL
      for (int i = 0; i < row_unit; ++i) sums[i] += simt::to_real(added[i]);
    };
    if (args.add.data != nullptr) add(row(args.add));
    if (args.dropout.active())
      dropped.apply(args.dropout, place, args.column + columns.first, sums);
    if (args.accumulate) add(row(args.to));
    SIMT_UNROLL
    for (int i = 0; i < row_unit; ++i) values[i] = simt::from_real<T>(sums[i]);
  }
  store_unit<aligned>(row(args.to), columns, values);
}

// A block takes `block_rows` rows at a time, of which there are no more than threads. Units begin
// at multiples of row_unit as dropout counts columns.
template <bool aligned, class T>
SIMT_KERNEL(flat_threads)
void move_rows_of_window(WindowRowsMove<T> args, Dropped<simt::Real<T>> dropped, unsigned row_units,
                         unsigned block_rows) {
  SIMT_SHARED(places, RowPlace[flat_threads]);
  const unsigned thread = simt::thread_index().x;
  const std::int64_t stride = std::int64_t{simt::grid_size().x} * block_rows;
  for (std::int64_t first = std::int64_t{simt::block_index().x} * block_rows; first < args.rows;
       first += stride) {
    const std::int64_t left = args.rows - first;
    const unsigned rows = left < block_rows ? static_cast<unsigned>(left) : block_rows;
    if (thread < rows) places[thread] = find_place(args, first + thread);
    simt::sync_block();
    for (unsigned unit = thread; unit < rows * row_units; unit += flat_threads) {
      const unsigned row = unit / row_units, in_row = unit % row_units;
      const UnitColumns columns{std::int64_t{in_row} * row_unit - args.column % row_unit,
                                args.width};
      move_unit<aligned>(args, dropped, first + row, places[row], columns);
    }
    simt::sync_block();
  }
}

// A row for each sequence: of those that end in the window; 0 for others.
template <class T>
SIMT_KERNEL(flat_threads)
void move_endings(WindowRowsMove<T> args) {
  const DeviceWindow& window = args.window;
  for (std::int64_t i = flat_index(); i < window.sequences * args.width; i += flat_step()) {
    const std::int64_t b = i / args.width, column = i % args.width;
    args.to.data[b * args.to.stride + column] =
        ends_in(window, b) ? args.from.data[b * args.from.stride + column] : T{};
  }
}

template <class T>
bool is_aligned(const WindowArray<T>& array) {
  return reinterpret_cast<std::uintptr_t>(array.data) % (row_access<T> * sizeof(T)) == 0 &&
         array.stride % row_unit == 0;
}

}  // namespace tokens

template <class T>
void move_window_rows(simt::Stream stream, const WindowRowsMove<T>& args) {
  using namespace tokens;
  using R = simt::Real<T>;
  if (args.rows == 0 || args.width == 0) return;
  const std::int64_t units = (args.column % row_unit + args.width + row_unit - 1) / row_unit;
  const std::int64_t block_rows =
      std::clamp<std::int64_t>(units_per_block / units, 1, flat_threads);
  const std::int64_t blocks = (args.rows + block_rows - 1) / block_rows;
  Dropped<R> dropped;
  if (args.dropout.active())
    dropped = {args.dropout.threshold(), static_cast<R>(1 / (1 - args.dropout.probability))};
  const auto launch = [&](auto kernel) {
    simt::launch(block_launch(std::min<std::int64_t>(blocks, 0x7fffffff)), stream, kernel, args,
                 dropped, static_cast<unsigned>(units), static_cast<unsigned>(block_rows));
  };
  const bool aligned = args.column % row_unit == 0 && args.width % row_unit == 0 &&
                       is_aligned(args.to) && is_aligned(args.from) && is_aligned(args.add);
  if (aligned)
    launch(move_rows_of_window<true, T>);
  else
    launch(move_rows_of_window<false, T>);
}

template <class T>
void move_window_endings(simt::Stream stream, const WindowRowsMove<T>& args) {
  const std::int64_t count = args.window.sequences * args.width;
  if (count > 0) simt::launch(tokens::flat_launch(count), stream, tokens::move_endings<T>, args);
}

}  // namespace SIMT_PATH
}  // namespace lacuna
