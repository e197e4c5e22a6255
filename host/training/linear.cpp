#include "host/training/linear.h"

#include <algorithm>

#include "host/training/chunks.h"

namespace lacuna::training {
namespace {

// Independent sums side by side: one chain of additions would wait for each of them, and the
// compiler may not reorder a sum on its own.
constexpr std::int64_t lanes = 8;

template <class Real>
double dot(const Real* a, const Real* b, std::int64_t count) {
  double sums[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (std::int64_t lane = 0; lane < lanes; ++lane)
      sums[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
  for (std::int64_t lane = 0; i < count; ++i, ++lane)
    sums[lane] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  for (std::int64_t half = lanes / 2; half > 0; half /= 2)
    for (std::int64_t lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  return sums[0];
}

// Rows that make at least this many products are worth a thread.
constexpr std::int64_t least_products = 16384;

Chunks row_chunks(const LinearShape& shape) {
  return Chunks(shape.rows, std::max<std::int64_t>(1, least_products / (shape.in * shape.out)));
}

// Columns that are summed at once, in registers and the first cache.
constexpr std::int64_t tile_width = 64;

struct Tile {
  std::int64_t row, begin, width;  // of the matrix that is summed into
};

Tile tile_of(std::int64_t number, std::int64_t columns) {
  const std::int64_t tiles = (columns + tile_width - 1) / tile_width;
  const std::int64_t begin = number % tiles * tile_width;
  return {number / tiles, begin, std::min(tile_width, columns - begin)};
}

// target [matrix_rows, columns] += the sum over `rows` of add(row, tile, sums). Tiles are taken a
// few at a time, so that the partial sums of all their chunks of rows fit on the stack.
template <class Real, class Add>
void sum_over_rows(cpu::Team& team, const LinearShape& shape, std::int64_t matrix_rows,
                   std::int64_t columns, Real* target, Add add) {
  constexpr std::int64_t group = 4, most_chunks = 16;
  double partial[group][most_chunks][tile_width];
  const Chunks cut(shape.rows, least_products / tile_width, most_chunks);
  const std::int64_t chunks = cut.number();
  const std::int64_t tiles = matrix_rows * ((columns + tile_width - 1) / tile_width);
  for (std::int64_t first = 0; first < tiles; first += group) {
    const std::int64_t here = std::min(group, tiles - first);
    team.run(here * chunks, [&](std::int64_t task, int) {
      const Tile tile = tile_of(first + task / chunks, columns);
      const std::int64_t chunk = task % chunks;
      double* const sums = partial[task / chunks][chunk];
      std::fill(sums, sums + tile.width, 0.0);
      for (std::int64_t row = cut.begin(chunk); row < cut.end(chunk); ++row) add(row, tile, sums);
    });
    for (std::int64_t t = 0; t < here; ++t) {
      const Tile tile = tile_of(first + t, columns);
      Real* const out = target + tile.row * columns + tile.begin;
      for (std::int64_t j = 0; j < tile.width; ++j) {
        double sum = 0;
        for (std::int64_t chunk = 0; chunk < chunks; ++chunk) sum += partial[t][chunk][j];
        out[j] += static_cast<Real>(sum);
      }
    }
  }
}

}  // namespace

template <class Real>
void linear_forward(cpu::Team& team, const LinearShape& shape, const Real* x, const Real* weights,
                    const Real* bias, Real* y) {
  row_chunks(shape).run(team, [&](std::int64_t begin, std::int64_t end, std::int64_t) {
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t o = 0; o < shape.out; ++o) {
        const double start = bias ? static_cast<double>(bias[o]) : 0.0;
        y[row * shape.out + o] =
            static_cast<Real>(start + dot(x + row * shape.in, weights + o * shape.in, shape.in));
      }
  });
}

template <class Real>
void linear_backward(cpu::Team& team, const LinearShape& shape, const Real* x, const Real* weights,
                     const Real* d_y, Real* d_x, Real* d_weights, Real* d_bias) {
  if (d_x) {
    row_chunks(shape).run(team, [&](std::int64_t begin, std::int64_t end, std::int64_t) {
      for (std::int64_t row = begin; row < end; ++row)
        for (std::int64_t from = 0; from < shape.in; from += tile_width) {
          const std::int64_t width = std::min(tile_width, shape.in - from);
          double sums[tile_width] = {};
          for (std::int64_t o = 0; o < shape.out; ++o) {
            const auto slope = static_cast<double>(d_y[row * shape.out + o]);
            const Real* const w = weights + o * shape.in + from;
            for (std::int64_t j = 0; j < width; ++j) sums[j] += slope * static_cast<double>(w[j]);
          }
          for (std::int64_t j = 0; j < width; ++j)
            d_x[row * shape.in + from + j] = static_cast<Real>(sums[j]);
        }
    });
  }
  if (d_weights) {
    sum_over_rows(team, shape, shape.out, shape.in, d_weights,
                  [&](std::int64_t row, const Tile& tile, double* sums) {
                    const auto slope = static_cast<double>(d_y[row * shape.out + tile.row]);
                    const Real* const from = x + row * shape.in + tile.begin;
                    for (std::int64_t j = 0; j < tile.width; ++j)
                      sums[j] += slope * static_cast<double>(from[j]);
                  });
  }
  if (d_bias) {
    sum_over_rows(team, shape, 1, shape.out, d_bias,
                  [&](std::int64_t row, const Tile& tile, double* sums) {
                    const Real* const from = d_y + row * shape.out + tile.begin;
                    for (std::int64_t j = 0; j < tile.width; ++j)
                      sums[j] += static_cast<double>(from[j]);
                  });
  }
}

template void linear_forward(cpu::Team&, const LinearShape&, const float*, const float*,
                             const float*, float*);
template void linear_forward(cpu::Team&, const LinearShape&, const double*, const double*,
                             const double*, double*);
template void linear_backward(cpu::Team&, const LinearShape&, const float*, const float*,
                              const float*, float*, float*, float*);
template void linear_backward(cpu::Team&, const LinearShape&, const double*, const double*,
                              const double*, double*, double*, double*);

}  // namespace lacuna::training
