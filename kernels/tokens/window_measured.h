// At which tokens of a window anything was measured.
#pragma once
#include "kernels/tokens/measured.h"
#include "kernels/tokens/window.h"

namespace lacuna {

template <class T>
struct WindowMeasured {
  DeviceWindow window;  // offsets null: the rows are the batch's
  std::int64_t rows = 0, features = 0;
  const T* values = nullptr;           // [N, features] of the batch
  const std::uint8_t* mask = nullptr;  // [N, features]; null: NaN in values marks the missing ones
  std::uint8_t* measured = nullptr;    // [rows] "=": 1 or 0
};

inline namespace SIMT_PATH {
namespace tokens {

// A warp per token.
template <class T>
SIMT_KERNEL(flat_threads)
void find_measured(WindowMeasured<T> args) {
  const DeviceWindow& window = args.window;
  for (std::int64_t own = flat_index() / simt::warp_size; own < args.rows;
       own += flat_step() / simt::warp_size) {
    const std::int64_t row =
        window.offsets != nullptr ? batch_row(window, find_token(window, own)) : own;
    const bool measured = row_is_measured(args.values, args.mask, args.features, row);
    if (simt::lane_index() == 0) args.measured[own] = measured ? 1 : 0;
  }
}

}  // namespace tokens

template <class T>
void window_measured(simt::Stream stream, const WindowMeasured<T>& args) {
  if (args.rows > 0)
    simt::launch(tokens::flat_launch(args.rows * simt::warp_size), stream, tokens::find_measured<T>,
                 args);
}

}  // namespace SIMT_PATH
}  // namespace lacuna
