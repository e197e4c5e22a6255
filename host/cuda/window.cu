#include "host/cuda/window.h"

#include <cstdint>
#include <type_traits>

#include "kernels/tokens/window.h"
#include "kernels/tokens/window_gaps.h"
#include "kernels/tokens/window_measured.h"
#include "kernels/tokens/window_rows.h"

namespace lacuna::cuda {
namespace {

simt::Stream stream_of(void* stream) { return static_cast<simt::Stream>(stream); }

DeviceWindow device_window(const WindowRows& window) {
  const auto* const prepared = reinterpret_cast<const std::int64_t*>(window.prepared);
  return {.sequences = window.sequences,
          .first = window.first,
          .count = window.count,
          .reverse = window.reverse,
          .offsets = prepared,
          .packed = prepared + window.sequences + 1};
}

template <class T>
void move(const RowsRun& run) {
  WindowRowsMove<T> args;
  if (run.window != nullptr) args.window = device_window(*run.window);
  args.rows = run.window != nullptr ? run.window->rows() : run.rows;
  args.width = run.width;
  args.to = {static_cast<T*>(run.to.data), run.to.stride, run.to.of_batch};
  args.from = {static_cast<const T*>(run.from.data), run.from.stride, run.from.of_batch};
  args.add = {static_cast<const T*>(run.add.data), run.add.stride, run.add.of_batch};
  args.accumulate = run.accumulate;
  args.dropout = run.dropout;
  args.names = run.names;
  args.column = run.column;
  // Of gradients; masks have no endings.
  if constexpr (!std::is_same_v<T, std::uint8_t>)
    if (run.over == RowsRun::Over::endings) return move_window_endings(stream_of(run.stream), args);
  move_window_rows(stream_of(run.stream), args);
}

template <class T>
void find_measured(const MeasuredRun& run) {
  WindowMeasured<T> args;
  if (run.window != nullptr) args.window = device_window(*run.window);
  args.rows = run.window != nullptr ? run.window->rows() : run.rows;
  args.features = run.features;
  args.values = static_cast<const T*>(run.values);
  args.mask = run.mask;
  args.measured = run.measured;
  window_measured(stream_of(run.stream), args);
}

template <class R>
void find_gaps(const GapsRun& run) {
  const lacuna_carry none{};
  const lacuna_carry& in = run.carry_in != nullptr ? *run.carry_in : none;
  WindowGaps<R> args;
  args.window = device_window(*run.window);
  args.rows = run.window->rows();
  args.delta_t = static_cast<const R*>(run.delta_t);
  args.times = run.times;
  args.last_time = in.last_time;
  args.first_gap = static_cast<const R*>(in.first_gap);
  args.gaps = static_cast<R*>(run.gaps);
  if (run.carry_out != nullptr) {
    args.last_time_out = run.carry_out->last_time;
    args.first_gap_out = static_cast<R*>(run.carry_out->first_gap);
  }
  window_gaps(stream_of(run.stream), args);
}

template <class R>
void add_gap_gradients(const GapGradientsRun& run) {
  WindowGapGradients<R> args;
  args.window = device_window(*run.window);
  args.rows = run.window->rows();
  args.d_gaps = static_cast<const R*>(run.d_gaps);
  args.d_delta_t = static_cast<R*>(run.d_delta_t);
  args.accumulate = run.accumulate;
  window_gap_gradients(stream_of(run.stream), args);
}

}  // namespace

std::size_t window_bytes(std::int64_t sequences) {
  return static_cast<std::size_t>(window_offsets(sequences)) * sizeof(std::int64_t);
}

void queue_window(const WindowRows& window, void* stream) {
  if (window.sequences > 0)
    write_window(stream_of(stream), window.offsets, window.packed, window.sequences + 1,
                 reinterpret_cast<std::int64_t*>(window.prepared));
}

void queue_rows(const RowsRun& run) {
  if (run.element == RowsRun::Element::byte) return move<std::uint8_t>(run);
  if (run.type == LACUNA_F64) return move<double>(run);
  if (run.element == RowsRun::Element::wide) return move<float>(run);
  switch (run.type) {
    case LACUNA_F16: return move<simt::Fp16>(run);
    case LACUNA_BF16: return move<simt::Bf16>(run);
    default: return move<float>(run);
  }
}

void queue_measured(const MeasuredRun& run) {
  switch (run.type) {
    case LACUNA_F64: return find_measured<double>(run);
    case LACUNA_F16: return find_measured<simt::Fp16>(run);
    case LACUNA_BF16: return find_measured<simt::Bf16>(run);
    default: return find_measured<float>(run);
  }
}

void queue_gaps(const GapsRun& run) {
  if (run.type == LACUNA_F64) return find_gaps<double>(run);
  find_gaps<float>(run);
}

void queue_gap_gradients(const GapGradientsRun& run) {
  if (run.type == LACUNA_F64) return add_gap_gradients<double>(run);
  add_gap_gradients<float>(run);
}

}  // namespace lacuna::cuda
