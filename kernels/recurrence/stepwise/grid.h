// How the pointwise kernels of a step are spread over threads: rows over blocks, a row's units over neighbouring threads,
// several rows to a block where they are short.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/recurrence/units.h"
#include "kernels/simt/index.h"
#include "kernels/simt/launch.h"

namespace lacuna::stepwise {

inline constexpr int threads_per_block = 128;
// Told so, the compiler has 128 registers to a thread; left to itself it aims at full occupancy, and spills in double.
inline constexpr int resident_blocks = 4;

// Small blocks: a step has few rows, and all multiprocessors should see some. A thread takes `each` units of a row.
template <int each>
simt::LaunchConfig spread(std::int64_t rows, std::int64_t units) {
  const std::int64_t groups = units / each;
  const std::int64_t across = std::min<std::int64_t>(groups, threads_per_block);
  const std::int64_t down = std::min(rows, threads_per_block / across);
  constexpr std::int64_t most_x = 0x7fffffff, most_y = 65535;
  const auto blocks = [](std::int64_t count, std::int64_t of_block, std::int64_t most) {
    return static_cast<unsigned>(std::min((count + of_block - 1) / of_block, most));
  };
  return {.grid = {blocks(rows, down, most_x), blocks(groups, across, most_y)},
          .block = {static_cast<unsigned>(across), static_cast<unsigned>(down)}};
}

// f(row, first unit) for this thread's share.
template <int each, class F>
SIMT_DEVICE void for_each_of(std::int64_t rows, std::int64_t units, F&& f) {
  const simt::Dim3 block = simt::block_index(), thread = simt::thread_index();
  const simt::Dim3 size = simt::block_size(), grid = simt::grid_size();
  const std::int64_t first_row = static_cast<std::int64_t>(block.x) * size.y + thread.y;
  const std::int64_t first_unit = (static_cast<std::int64_t>(block.y) * size.x + thread.x) * each;
  const std::int64_t row_stride = static_cast<std::int64_t>(grid.x) * size.y;
  const std::int64_t unit_stride = static_cast<std::int64_t>(grid.y) * size.x * each;
  for (std::int64_t row = first_row; row < rows; row += row_stride)
    for (std::int64_t unit = first_unit; unit < units; unit += unit_stride) f(row, unit);
}

template <class R, class F>
SIMT_DEVICE void for_each_group(std::int64_t rows, std::int64_t units, F&& f) {
  for_each_of<units_per_thread<R>>(rows, units, f);
}

// Launches kernel(args, step, rows) over `rows` rows of `width` units, if there are any.
template <int each, class Args>
void launch_of(simt::Stream stream, void (*kernel)(Args, std::int64_t, std::int64_t),
               const Args& args, std::int64_t step, std::int64_t rows, std::int64_t width) {
  if (rows > 0) simt::launch(spread<each>(rows, width), stream, kernel, args, step, rows);
}
template <class R, class Args>
void launch_rows(simt::Stream stream, void (*kernel)(Args, std::int64_t, std::int64_t),
                 const Args& args, std::int64_t step, std::int64_t rows, std::int64_t width) {
  launch_of<units_per_thread<R>>(stream, kernel, args, step, rows, width);
}
template <class R, class Args>
void launch_rows(simt::Stream stream, void (*kernel)(Args, std::int64_t, std::int64_t),
                 const Args& args, std::int64_t step, std::int64_t rows) {
  launch_rows<R>(stream, kernel, args, step, rows, args.units);
}

}  // namespace lacuna::stepwise
