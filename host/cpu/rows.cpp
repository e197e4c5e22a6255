#include "host/cpu/rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/cpu/measured.h"
#include "kernels/cells/gap.h"

namespace lacuna::cpu {
namespace {

// Calls work(first row, end row, sequence or -1) for pieces of the rows, side by side.
template <class Work>
void over_pieces(Team& team, const WindowRows* window, std::int64_t rows, Work&& work) {
  if (window != nullptr) {
    team.run(window->sequences,
             [&](std::int64_t b, int) { work(window->packed[b], window->packed[b + 1], b); });
    return;
  }
  constexpr std::int64_t piece = 256;
  team.run((rows + piece - 1) / piece, [&](std::int64_t p, int) {
    work(p * piece, std::min(rows, (p + 1) * piece), std::int64_t{-1});
  });
}

template <class T>
T* row_of(const RowArray& array, std::int64_t own, std::int64_t of_batch) {
  return static_cast<T*>(array.data) + (array.of_batch ? of_batch : own) * array.stride;
}

// A token's columns, from `column` on. `number`: how many tokens of the sequence were read before it.
template <class T>
void drop(const RowsRun& run, std::int64_t b, std::int64_t number, std::int64_t column,
          std::int64_t width, T* values) {
  const Dropout& dropout = run.dropout;
  const std::int64_t name = run.names.name(b), position = run.names.first_position(b) + number;
  const std::uint32_t threshold = dropout.threshold();
  const T scale = static_cast<T>(1 / (1 - dropout.probability));
  PhiloxNumbers numbers{};
  for (std::int64_t d = 0; d < width; ++d) {
    const std::int64_t at = column + d;
    if (d == 0 || at % 4 == 0) numbers = dropout.draw(name, position, at);
    values[d] = numbers.word[at % 4] < threshold ? T(0) : values[d] * scale;
  }
}

// Rows that are moved as they are: where they lie back to back in both arrays, all at once.
template <class T>
void copy_rows(Team& team, const RowsRun& run) {
  const bool dense = run.from.stride == run.width && run.to.stride == run.width &&
                     (run.window == nullptr || !run.window->reverse);
  over_pieces(team, run.window, run.rows,
              [&](std::int64_t first, std::int64_t end, std::int64_t b) {
                const std::int64_t at_once = dense ? end - first : 1;
                for (std::int64_t own = first; own < end; own += at_once) {
                  const std::int64_t of_batch = b < 0 ? own : run.window->row(b, own - first);
                  std::copy_n(row_of<const T>(run.from, own, of_batch), at_once * run.width,
                              row_of<T>(run.to, own, of_batch));
                }
              });
}

template <class T>
void combine_rows(Team& team, const RowsRun& run) {
  over_pieces(team, run.window, run.rows,
              [&](std::int64_t first, std::int64_t end, std::int64_t b) {
                constexpr std::int64_t part = 64;
                T values[part];
                for (std::int64_t own = first; own < end; ++own) {
                  const std::int64_t of_batch = b < 0 ? own : run.window->row(b, own - first);
                  const T* const from = row_of<const T>(run.from, own, of_batch);
                  const T* const add =
                      run.add.data != nullptr ? row_of<const T>(run.add, own, of_batch) : nullptr;
                  T* const to = row_of<T>(run.to, own, of_batch);
                  for (std::int64_t d = 0; d < run.width; d += part) {
                    const std::int64_t n = std::min(part, run.width - d);
                    std::copy_n(from + d, n, values);
                    if (add != nullptr)
                      for (std::int64_t i = 0; i < n; ++i) values[i] += add[d + i];
                    if (run.dropout.active())
                      drop(run, b, run.window->first + own - first, run.column + d, n, values);
                    if (run.accumulate)
                      for (std::int64_t i = 0; i < n; ++i) values[i] += to[d + i];
                    std::copy_n(values, n, to + d);
                  }
                }
              });
}

template <class T>
void rows_typed(Team& team, const RowsRun& run) {
  if (run.add.data == nullptr && !run.dropout.active() && !run.accumulate)
    copy_rows<T>(team, run);
  else
    combine_rows<T>(team, run);
}

template <class T>
void endings_typed(Team& team, const RowsRun& run) {
  team.run(run.window->sequences, [&](std::int64_t b, int) {
    T* const to = row_of<T>(run.to, b, b);
    if (run.window->ends(b))
      std::copy_n(row_of<const T>(run.from, b, b), run.width, to);
    else
      std::fill_n(to, run.width, T(0));
  });
}

template <class T>
void measured_typed(Team& team, const MeasuredRun& run) {
  const auto is_measured = [&](std::int64_t row) {
    const std::int64_t at = row * run.features;
    return MeasuredRow<T>{run.mask != nullptr ? run.mask + at : nullptr,
                          static_cast<const T*>(run.values) + at, run.features}
        .any();
  };
  over_pieces(
      team, run.window, run.rows, [&](std::int64_t first, std::int64_t end, std::int64_t b) {
        for (std::int64_t own = first; own < end; ++own)
          run.measured[own] = is_measured(b < 0 ? own : run.window->row(b, own - first)) ? 1 : 0;
      });
}

template <class T>
void gaps_typed(Team& team, const GapsRun& run) {
  const WindowRows& window = *run.window;
  const auto* const delta_t = static_cast<const T*>(run.delta_t);
  auto* const gaps = static_cast<T*>(run.gaps);
  const lacuna_carry none{};
  const lacuna_carry& in = run.carry_in != nullptr ? *run.carry_in : none;
  const auto* const first_gap = static_cast<const T*>(in.first_gap);

  const GapSource<T> source{delta_t, run.times, in.last_time, first_gap, window.reverse};
  const auto gap = [&](std::int64_t b, std::int64_t step) {
    return gap_before_row(source, b, window.row(b, step), window.first + step == 0);
  };

  team.run(window.sequences, [&](std::int64_t b, int) {
    const std::int64_t first = window.packed[b], length = window.packed[b + 1] - first;
    if (gaps != nullptr)
      for (std::int64_t step = 0; step < length; ++step) gaps[first + step] = gap(b, step);
    if (run.carry_out == nullptr) return;
    // Of the last token read; of a sequence without tokens what it came with.
    const bool empty = window.offsets[b] == window.offsets[b + 1];
    double* const last_time = run.carry_out->last_time;
    auto* const out_gap = static_cast<T*>(run.carry_out->first_gap);
    if (last_time != nullptr) {
      if (length > 0) last_time[b] = run.times[window.row(b, length - 1)];
      if (empty) last_time[b] = in.last_time != nullptr ? in.last_time[b] : std::nan("");
    }
    if (out_gap != nullptr) {
      if (length > 0) out_gap[b] = delta_t[window.offsets[b]];
      if (empty) out_gap[b] = first_gap != nullptr ? first_gap[b] : T(0);
    }
  });
}

template <class T>
void gap_gradients_typed(Team& team, const GapGradientsRun& run) {
  const WindowRows& window = *run.window;
  const auto* const d_gaps = static_cast<const T*>(run.d_gaps);
  auto* const out = static_cast<T*>(run.d_delta_t);
  const auto put = [&](std::int64_t row, T value) {
    if (run.accumulate)
      out[row] += value;
    else
      out[row] = value;
  };
  team.run(window.sequences, [&](std::int64_t b, int) {
    const std::int64_t first = window.packed[b], length = window.packed[b + 1] - first;
    for (std::int64_t step = 0; step < length; ++step) {
      const std::int64_t row = window.row(b, step);
      if (!window.reverse)
        put(row, d_gaps[first + step]);
      else if (window.first + step > 0)
        put(row + 1, d_gaps[first + step]);
      else
        put(window.offsets[b], T(0));  // nothing reads the gap of a sequence's first row
    }
  });
}

}  // namespace

void rows(Team& team, const RowsRun& run) {
  if (run.over == RowsRun::Over::endings)
    return run.type == LACUNA_F64 ? endings_typed<double>(team, run)
                                  : endings_typed<float>(team, run);
  if (run.element == RowsRun::Element::byte) return copy_rows<std::uint8_t>(team, run);
  if (run.type == LACUNA_F64) return rows_typed<double>(team, run);
  rows_typed<float>(team, run);
}

void measured(Team& team, const MeasuredRun& run) {
  if (run.type == LACUNA_F64) return measured_typed<double>(team, run);
  measured_typed<float>(team, run);
}

void gaps(Team& team, const GapsRun& run) {
  if (run.type == LACUNA_F64) return gaps_typed<double>(team, run);
  gaps_typed<float>(team, run);
}

void gap_gradients(Team& team, const GapGradientsRun& run) {
  if (run.type == LACUNA_F64) return gap_gradients_typed<double>(team, run);
  gap_gradients_typed<float>(team, run);
}

}  // namespace lacuna::cpu
