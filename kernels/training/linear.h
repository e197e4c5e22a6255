// The linear head, y = x W^T + b, and its gradients: three products of one tiled kernel. Heads are
// small, a few outputs over many rows, so tiles are narrow on the side of the outputs.
//
// x [rows, in] and y [rows, out] are T; W [out, in], b [out] and their gradients R. Sums are in R.
#pragma once
#include "kernels/tokens/reduce.h"
#include "kernels/training/blocks.h"

namespace lacuna {
inline namespace SIMT_PATH {

template <class T>
struct LinearForward {
  std::int64_t rows, in, out;
  const T* x;
  const simt::Real<T>* weights;
  const simt::Real<T>* bias;  // may be null
  T* y;                       // "="
};

template <class T>
struct LinearBackward {
  std::int64_t rows, in, out;
  const T* x;
  const simt::Real<T>* weights;
  const T* d_y;
  T* d_x;                    // "="; each gradient may be null
  simt::Real<T>* d_weights;  // "+="
  simt::Real<T>* d_bias;     // "+="
  void* workspace;           // linear_workspace_bytes<T>(rows, in, out), aligned to 16
};

// ---- The kernel ----

namespace train {

enum class LinearProduct {
  y,          // [rows, out] = x W^T
  d_x,        // [rows, in] = d_y W
  d_weights,  // [out, in] = d_y^T x, a piece of rows at a time
};

// What is multiplied: out [m, n] = left * right over `depth`.
template <class T, LinearProduct product>
struct LinearOperands {
  using R = simt::Real<T>;
  static constexpr bool over_rows = product == LinearProduct::d_weights;
  using Right = std::conditional_t<over_rows, T, R>;
  using Out = std::conditional_t<over_rows, R, T>;
  // Which of them lie with the depth contiguous: [m, depth] and [n, depth].
  static constexpr bool left_by_row = !over_rows;
  static constexpr bool right_by_row = product == LinearProduct::y;

  const T* left;
  const Right* right;
  const R* bias;  // of y: [n] or null
  Out* out;       // [pieces of depth, m, n]
  std::int64_t m, n, depth, piece_depth;
  bool aligned;  // rows of `out` are, and made of as many values as a thread stores together
};

// What a block computes, and how much of it one thread does.
template <int m_, int n_, int thread_m_, int thread_n_>
struct LinearTile {
  static constexpr int m = m_, n = n_, thread_m = thread_m_, thread_n = thread_n_;
  static_assert(m / thread_m * (n / thread_n) == block_threads);
};
// The outputs' side is the narrow one.
template <LinearProduct product, bool few_outputs>
using LinearTileOf =
    std::conditional_t<product == LinearProduct::d_weights,
                       std::conditional_t<few_outputs, LinearTile<8, 128, 1, 4>,  //
                                          LinearTile<32, 128, 4, 4>>,
                       std::conditional_t<few_outputs, LinearTile<128, 8, 4, 1>,  //
                                          LinearTile<128, 32, 4, 4>>>;

inline constexpr int linear_depth = 16;  // of one stage

// `extent` rows (or columns) of one operand, a stage of the depth at a time: from global memory to
// registers, and from there to shared memory, where the depth is the outer index.
template <class E, int extent, bool by_row>
class LinearPanel {
 public:
  // A little more than the extent, which spreads the depth over the banks; 16-byte alignment stays.
  static constexpr int stride = extent + 4;

  SIMT_DEVICE LinearPanel(const E* matrix, std::int64_t first, std::int64_t rows,
                          std::int64_t depth) {
    const std::int64_t row = first + own_row();
    from_ = matrix + (by_row ? row * depth + own_depth() : own_depth() * rows + row);
    depth_stride_ = by_row ? 1 : rows;
    piece_stride_ = by_row ? rows_apart * depth : depth_apart * rows;
    const int present = rows - first < extent ? static_cast<int>(rows - first) : extent;
    rows_left_ = present - own_row();
  }

  // Beyond the matrix and from `end` of the depth on there are zeros.
  SIMT_DEVICE void fetch(std::int64_t begin, std::int64_t end) {
    const E* from = from_ + begin * depth_stride_;
    const int depth_left =
        (end - begin < linear_depth ? static_cast<int>(end - begin) : linear_depth) - own_depth();
    SIMT_UNROLL
    for (int piece = 0; piece < pieces; ++piece, from += piece_stride_) {
      const bool inside = piece * rows_apart < rows_left_ && piece * depth_apart < depth_left;
      held_[piece] = inside ? *from : E{};
    }
  }

  template <class R>
  SIMT_DEVICE void put(R* tile) const {
    if (!takes_part()) return;
    R* const to = tile + own_depth() * stride + own_row();
    SIMT_UNROLL
    for (int piece = 0; piece < pieces; ++piece)
      to[piece * (rows_apart + depth_apart * stride)] = simt::to_real(held_[piece]);
  }

 private:
  // Neighbouring threads read neighbouring values, and each of them so many that lie as far apart
  // as all threads together reach.
  static constexpr int neighbours = by_row ? linear_depth : extent;
  static constexpr int apart = block_threads / neighbours;
  static constexpr int rows_apart = by_row ? apart : 0, depth_apart = by_row ? 0 : apart;
  static constexpr int pieces = (extent * linear_depth + block_threads - 1) / block_threads;

  static SIMT_DEVICE int rank() { return static_cast<int>(simt::thread_rank()); }
  static SIMT_DEVICE int own_row() { return by_row ? rank() / neighbours : rank() % neighbours; }
  static SIMT_DEVICE int own_depth() { return by_row ? rank() % neighbours : rank() / neighbours; }
  // False where there are fewer values than threads.
  static SIMT_DEVICE bool takes_part() { return own_row() < extent && own_depth() < linear_depth; }

  const E* from_;
  std::int64_t depth_stride_, piece_stride_;
  int rows_left_;
  E held_[pieces];
};

template <class T, LinearProduct product, class Tile>
SIMT_KERNEL(block_threads)
void linear_kernel(LinearOperands<T, product> a) {
  using Operands = LinearOperands<T, product>;
  using Out = typename Operands::Out;
  using R = simt::Real<T>;
  using Left = LinearPanel<T, Tile::m, Operands::left_by_row>;
  using Right = LinearPanel<typename Operands::Right, Tile::n, Operands::right_by_row>;
  simt::SharedCarver shared;
  // Two of each: one is filled while the other is read.
  R* const left_stages = shared.take<R>(2 * linear_depth * Left::stride);
  R* const right_stages = shared.take<R>(2 * linear_depth * Right::stride);
  const int rank = static_cast<int>(simt::thread_rank());
  const int at_m = rank / (Tile::n / Tile::thread_n) * Tile::thread_m;
  const int at_n = rank % (Tile::n / Tile::thread_n) * Tile::thread_n;

  const std::int64_t tiles_n = pieces_of(a.n, Tile::n);
  const std::int64_t tiles = pieces_of(a.m, Tile::m) * tiles_n;
  const std::int64_t tasks = tiles * pieces_of(a.depth, a.piece_depth);
  int stage = 0;
  for (std::int64_t task = simt::block_index().x; task < tasks; task += simt::grid_size().x) {
    const std::int64_t piece = task / tiles, tile = task % tiles;
    const std::int64_t first_m = tile / tiles_n * Tile::m, first_n = tile % tiles_n * Tile::n;
    const std::int64_t begin = piece * a.piece_depth;
    const std::int64_t end = begin + a.piece_depth < a.depth ? begin + a.piece_depth : a.depth;
    Left left(a.left, first_m, a.m, a.depth);
    Right right(a.right, first_n, a.n, a.depth);
    R sums[Tile::thread_m][Tile::thread_n] = {};

    left.fetch(begin, end);
    right.fetch(begin, end);
    for (std::int64_t k = begin; k < end; k += linear_depth, stage = 1 - stage) {
      R* const left_tile = left_stages + stage * linear_depth * Left::stride;
      R* const right_tile = right_stages + stage * linear_depth * Right::stride;
      left.put(left_tile);
      right.put(right_tile);
      // The only barrier: who passes it has done with the stage before, which is filled next.
      simt::sync_block();
      if (k + linear_depth < end) {
        left.fetch(k + linear_depth, end);
        right.fetch(k + linear_depth, end);
      }
      // A short depth, such as that of d_x, does not pay for a whole stage. In double more than one
      // step at a time would take too many registers for two blocks.
      constexpr int step = sizeof(R) == 8 ? 1 : 4;
      SIMT_UNROLL
      for (int from = 0; from < linear_depth; from += step) {
        if (k + from >= end) break;
        SIMT_UNROLL
        for (int depth = from; depth < from + step; ++depth) {
          R l[Tile::thread_m], r[Tile::thread_n];
          load_aligned(left_tile + depth * Left::stride + at_m, l);
          load_aligned(right_tile + depth * Right::stride + at_n, r);
          SIMT_UNROLL
          for (int i = 0; i < Tile::thread_m; ++i) {
            SIMT_UNROLL
            for (int j = 0; j < Tile::thread_n; ++j) sums[i][j] += l[i] * r[j];
          }
        }
      }
    }

    const std::int64_t m = first_m + at_m, n = first_n + at_n;
    const int rows = a.m - m < Tile::thread_m ? static_cast<int>(a.m - m) : Tile::thread_m;
    const int columns = a.n - n < Tile::thread_n ? static_cast<int>(a.n - n) : Tile::thread_n;
    const auto value = [&](int i, int j) { return simt::from_real<Out>(sums[i][j]); };
    if (product == LinearProduct::y && a.bias) {
      SIMT_UNROLL
      for (int j = 0; j < Tile::thread_n; ++j) {
        const R bias = j < columns ? a.bias[n + j] : R(0);
        SIMT_UNROLL
        for (int i = 0; i < Tile::thread_m; ++i) sums[i][j] += bias;
      }
    }
    if (a.aligned && columns == Tile::thread_n) {
      // Written as a product, for the compiler to see the alignment: it stores one by one otherwise.
      const std::int64_t width = a.n / Tile::thread_n;
      Out* const first_row =
          a.out + ((piece * a.m + m) * width + n / Tile::thread_n) * Tile::thread_n;
      SIMT_UNROLL
      for (int i = 0; i < Tile::thread_m; ++i) {
        Out values[Tile::thread_n];
        SIMT_UNROLL
        for (int j = 0; j < Tile::thread_n; ++j) values[j] = value(i, j);
        if (i < rows) store_aligned(first_row + i * width * Tile::thread_n, values);
      }
    } else {
      SIMT_UNROLL
      for (int i = 0; i < Tile::thread_m; ++i) {
        SIMT_UNROLL
        for (int j = 0; j < Tile::thread_n; ++j)
          if (i < rows && j < columns) a.out[(piece * a.m + m + i) * a.n + n + j] = value(i, j);
      }
    }
  }
}

// ---- Launches ----

inline constexpr std::int64_t few_linear_outputs = 8;

template <LinearProduct product, bool few_outputs, class T>
void launch_linear_tile(simt::Stream stream, LinearOperands<T, product> a) {
  using R = simt::Real<T>;
  using Tile = LinearTileOf<product, few_outputs>;
  a.aligned = a.n % Tile::thread_n == 0 && all_aligned(a.out);
  simt::SharedLayout shared;
  shared.add<R>(2 * linear_depth * (Tile::m + 4));
  shared.add<R>(2 * linear_depth * (Tile::n + 4));
  const std::int64_t tasks =
      pieces_of(a.m, Tile::m) * pieces_of(a.n, Tile::n) * pieces_of(a.depth, a.piece_depth);
  simt::launch(
      {.grid = {blocks_for(tasks)}, .block = {block_threads}, .shared_bytes = shared.bytes}, stream,
      linear_kernel<T, product, Tile>, a);
}

// How rows, one or more, are cut for d_weights: into multiples of a stage, the fewer pieces the more
// tiles there are.
inline std::int64_t linear_piece_rows(std::int64_t rows, std::int64_t in, std::int64_t out) {
  constexpr std::int64_t least_rows = 64, most_blocks = 512;
  const std::int64_t tiles =
      pieces_of(in, 128) * pieces_of(out, out <= few_linear_outputs ? 8 : 32);
  const std::int64_t pieces =
      std::min(pieces_of(rows, least_rows), std::max<std::int64_t>(1, most_blocks / tiles));
  return pieces_of(pieces_of(rows, pieces), linear_depth) * linear_depth;
}

}  // namespace train

// Of linear_backward, whichever gradients are asked for: 0 for no rows.
template <class T>
std::size_t linear_workspace_bytes(std::int64_t rows, std::int64_t in, std::int64_t out) {
  if (rows == 0) return 0;
  const std::int64_t weights =
      train::pieces_of(rows, train::linear_piece_rows(rows, in, out)) * out * in;
  const std::int64_t bias = column_sum_partials(rows, out);
  return static_cast<std::size_t>(std::max(weights, bias)) * sizeof(simt::Real<T>);
}

template <class T>
void linear_forward(simt::Stream stream, const LinearForward<T>& a) {
  if (a.rows == 0) return;
  const train::LinearOperands<T, train::LinearProduct::y> operands{
      a.x, a.weights, a.bias, a.y, a.rows, a.out, a.in, a.in, false};
  if (a.out <= train::few_linear_outputs)
    train::launch_linear_tile<train::LinearProduct::y, true>(stream, operands);
  else
    train::launch_linear_tile<train::LinearProduct::y, false>(stream, operands);
}

template <class T>
void linear_backward(simt::Stream stream, const LinearBackward<T>& a) {
  using R = simt::Real<T>;
  if (a.rows == 0) return;
  if (a.d_x) {
    const train::LinearOperands<T, train::LinearProduct::d_x> operands{
        a.d_y, a.weights, nullptr, a.d_x, a.rows, a.in, a.out, a.out, false};
    train::launch_linear_tile<train::LinearProduct::d_x, false>(stream, operands);
  }
  R* const sums = static_cast<R*>(a.workspace);  // of pieces of rows
  if (a.d_weights) {
    const std::int64_t piece_rows = train::linear_piece_rows(a.rows, a.in, a.out);
    const train::LinearOperands<T, train::LinearProduct::d_weights> operands{
        a.d_y, a.x, nullptr, sums, a.out, a.in, a.rows, piece_rows, false};
    if (a.out <= train::few_linear_outputs)
      train::launch_linear_tile<train::LinearProduct::d_weights, true>(stream, operands);
    else
      train::launch_linear_tile<train::LinearProduct::d_weights, false>(stream, operands);
    const std::int64_t elements = a.out * a.in;
    ColumnSums<R> pieces;
    pieces.add({.columns = elements, .out = a.d_weights});
    tokens::launch_add_partials(stream, pieces, sums, train::pieces_of(a.rows, piece_rows));
  }
  if (a.d_bias) {
    ColumnSums<T> bias;
    bias.add({a.d_y, a.out, a.out, a.d_bias});
    column_sums(stream, a.rows, bias, sums);
  }
}

}  // namespace SIMT_PATH
}  // namespace lacuna
