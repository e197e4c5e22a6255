// Products whose one factor stays where it is: a warp's weights, in the registers of its threads, and what exceeds them in
// shared memory; the other factor, a few columns of state or gradients, comes from shared memory anew in
// every step.
//
// Within a fragment, rows and depth are numbered as they lie in memory, and shuffled for the tensor core: weights and
// columns in the same way.
//
// Two kinds of tensor core products serve all types:
//   16-bit operands   as they are
//   float             tf32, of which a float is two: w = w1 + w2 with 11 bits each. w1 s1 + (w1 s2 + w2 s1) is right to
//                     2^-21 of each term, which is fp32's class, in fp32's range
//   InTwoParts        the same of floats whose weights lie in two parts, where shared memory has room for the second: to
//                     split one takes three instructions, and each is needed in every step
//   Tf32              w1 s1 alone. Where weights have 11 bits at most and gradients are floats, it keeps the weights whole
//                     and lets no small gradient vanish, as fp16 would
//   Fp16InTf32        the same, of weights that lie in 16 bits, two to a register: to widen one takes an instruction, in every
//                     step, but twice as many stay on chip
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "kernels/recurrence/resident/tile.h"
#include "kernels/simt/mma.h"
#include "kernels/simt/vec.h"

namespace lacuna::resident {

// Types of operands: floats, rounded to 11 bits; and floats, the weights in two parts.
struct Tf32 {};
struct InTwoParts {};
struct Fp16InTf32 {};

// A number of which the tensor core, reading tf32, takes the first 11 bits: those of the nearest such number. Two
// instructions, for this is much of what a step issues. A NaN must be plain_nan().
SIMT_DEVICE std::uint32_t nearest_tf32(float value) {
  return simt::bits_as<std::uint32_t>(value) + 0x1000u;
}
// A NaN of all ones would be rounded up to 0.
SIMT_DEVICE float plain_nan(float value) {
  return value == value ? value : simt::bits_as<float>(0x7fc00000u);
}

// What one product adds to.
struct PlainSum {
  float all[pairs] = {};
  SIMT_DEVICE float total(int pair) const { return all[pair]; }
};

// Where in a fragment's depth the tensor core's k lies: all that a thread reads of a column is side by side.
template <int depth>
SIMT_BOTH constexpr int place_of(int k) {
  constexpr int half = depth / 2, each = half / 4;
  return k % half / each * (2 * each) + k / half * each + k % each;
}

// The weights of a fragment that one thread has: two neighbouring units by as many neighbouring k.
template <int n>
struct Patch {
  float of[2][n] = {};
};

// E: the type of the operands, as they lie in shared memory: Stored. A fragment of the weights is 16 rows by `depth`, one of
// a column `depth` long.
template <class E>
struct Operand {
  static constexpr int depth = 16;
  static constexpr bool has_second_part = false;
  using Stored = E;
  SIMT_DEVICE static simt::Vec<Stored, 2> stored(float first, float second) {
    return simt::bits_as<simt::Vec<Stored, 2>>(simt::pack<E>(first, second));
  }

  using Sum = PlainSum;

  // patch(unit, k): from there on, of the fragment; floats that E holds exactly.
  static constexpr int patch_depth = 4;
  template <class F>
  SIMT_DEVICE static void load_weights(std::uint32_t (&to)[4], int thread, F&& patch) {
    const Patch<patch_depth> all = patch(unit_of_row(simt::fragment::a16_row(thread, 0)),
                                         place_of<depth>(simt::fragment::a16_k(thread, 0)));
    SIMT_UNROLL
    for (int r = 0; r < 4; ++r) {
      const auto& row = all.of[r % 2];  // row and k of r: fragment.h
      to[r] = simt::pack<E>(row[r / 2 * 2], row[r / 2 * 2 + 1]);
    }
  }

  struct Column {
    std::uint32_t bits[2];
    SIMT_DEVICE Column(const Stored* column, int thread) {
      const auto both = simt::bits_as<simt::Vec<std::uint32_t, 2>>(
          simt::load<4>(column + place_of<depth>(simt::fragment::b16_k(thread, 0))));
      bits[0] = both[0];
      bits[1] = both[1];
    }
  };

  SIMT_DEVICE static void multiply(Sum& sum, const std::uint32_t (&weights)[4],
                                   const Column& column) {
    simt::mma_m16n8k16<E>(sum.all, weights, column.bits);
  }
};

template <>
struct Operand<Tf32> {
  static constexpr int depth = 8;
  static constexpr bool has_second_part = false;
  using Stored = std::uint32_t;
  SIMT_DEVICE static simt::Vec<Stored, 2> stored(float first, float second) {
    return {nearest_tf32(plain_nan(first)), nearest_tf32(plain_nan(second))};
  }

  using Sum = PlainSum;

  static constexpr int patch_depth = 2;
  template <class F>
  SIMT_DEVICE static void load_weights(std::uint32_t (&to)[4], int thread, F&& patch) {
    load_weights(to, thread, patch, [](float weight) { return simt::to_tf32(weight); });
  }
  template <class F, class G>
  SIMT_DEVICE static void load_weights(std::uint32_t (&to)[4], int thread, F&& patch, G&& stored) {
    const Patch<patch_depth> all = patch(unit_of_row(simt::fragment::a32_row(thread, 0)),
                                         place_of<depth>(simt::fragment::a32_k(thread, 0)));
    SIMT_UNROLL
    for (int r = 0; r < 4; ++r) to[r] = stored(all.of[r % 2][r / 2]);
  }

  struct Column {
    std::uint32_t bits[2];
    SIMT_DEVICE Column(const Stored* column, int thread) {
      const auto both = simt::load<2>(column + place_of<depth>(simt::fragment::b32_k(thread, 0)));
      bits[0] = both[0];
      bits[1] = both[1];
    }
  };

  SIMT_DEVICE static void multiply(Sum& sum, const std::uint32_t (&weights)[4],
                                   const Column& column) {
    simt::mma_m16n8k8_tf32(sum.all, weights, column.bits);
  }
};

template <>
struct Operand<float> {
  static constexpr int depth = Operand<Tf32>::depth;
  static constexpr bool has_second_part = false;
  using Stored = float;
  SIMT_DEVICE static simt::Vec<Stored, 2> stored(float first, float second) {
    return {plain_nan(first), plain_nan(second)};
  }

  struct Sum {
    float large[pairs] = {}, small[pairs] = {};
    // An infinite factor has no second part, and NaN for it; the products of first parts are right there by themselves.
    SIMT_DEVICE float total(int pair) const {
      const float all = large[pair];
      return fabsf(all) < HUGE_VALF ? all + small[pair] : all;
    }
  };

  // A float in two parts: the nearest number of 11 bits, and the rest, of at most 12, of which the tensor core reads the
  // first 11.
  struct Two {
    std::uint32_t large, small;
    SIMT_DEVICE explicit Two(float value)
        : large(nearest_tf32(value) & ~0x1fffu),
          small(simt::bits_as<std::uint32_t>(value - simt::bits_as<float>(large))) {}
  };

  static constexpr int patch_depth = Operand<Tf32>::patch_depth;
  template <class F>
  SIMT_DEVICE static void load_weights(std::uint32_t (&to)[4], int thread, F&& patch) {
    Operand<Tf32>::load_weights(to, thread, patch, [](float weight) {
      return simt::bits_as<std::uint32_t>(plain_nan(weight));
    });
  }

  struct Column {
    std::uint32_t large[2], small[2];
    SIMT_DEVICE Column(const Stored* column, int thread) {
      const auto both = simt::load<2>(column + place_of<depth>(simt::fragment::b32_k(thread, 0)));
      SIMT_UNROLL
      for (int r = 0; r < 2; ++r) {
        const Two two(both[r]);
        large[r] = two.large;
        small[r] = two.small;
      }
    }
  };

  SIMT_DEVICE static void multiply(Sum& sum, const std::uint32_t (&weights)[4],
                                   const Column& column) {
    std::uint32_t large[4], small[4];
    SIMT_UNROLL
    for (int r = 0; r < 4; ++r) {
      // Split here, not once before all steps: that would take twice the registers.
      const Two two(simt::bits_as<float>(simt::opaque(weights[r])));
      large[r] = two.large;
      small[r] = two.small;
    }
    multiply(sum, large, small, column);
  }
  SIMT_DEVICE static void multiply(Sum& sum, const std::uint32_t (&large)[4],
                                   const std::uint32_t (&small)[4], const Column& column) {
    simt::mma_m16n8k8_tf32(sum.large, large, column.large);
    simt::mma_m16n8k8_tf32(sum.small, large, column.small);
    simt::mma_m16n8k8_tf32(sum.small, small, column.large);
  }
};

template <>
struct Operand<InTwoParts> : Operand<float> {
  static constexpr bool has_second_part = true;

  SIMT_DEVICE static void split(std::uint32_t (&words)[4], std::uint32_t (&second)[4]) {
    SIMT_UNROLL
    for (int r = 0; r < 4; ++r) {
      const Two two(simt::bits_as<float>(words[r]));
      words[r] = two.large;
      second[r] = two.small;
    }
  }
};

template <>
struct Operand<Fp16InTf32> : Operand<Tf32> {
  // Of two products one behind the other.
  static constexpr int depth = Operand<simt::Fp16>::depth;

  static constexpr int patch_depth = Operand<simt::Fp16>::patch_depth;
  template <class F>
  SIMT_DEVICE static void load_weights(std::uint32_t (&to)[4], int thread, F&& patch) {
    Operand<simt::Fp16>::load_weights(to, thread, patch);
  }

  // Which four of the depth a thread has is for both factors to agree on: those that Operand<Fp16> gives it.
  struct Column {
    std::uint32_t bits[4];
    SIMT_DEVICE Column(const Stored* column, int thread) {
      const auto four = simt::load<4>(column + place_of<depth>(simt::fragment::b16_k(thread, 0)));
      SIMT_UNROLL
      for (int r = 0; r < 4; ++r) bits[r] = four[r];
    }
  };

  SIMT_DEVICE static void multiply(Sum& sum, const std::uint32_t (&weights)[4],
                                   const Column& column) {
    SIMT_UNROLL
    for (int half = 0; half < 2; ++half) {
      std::uint32_t wide[4];
      SIMT_UNROLL
      for (int row = 0; row < 2; ++row) {
        // Widened here, not once before all steps: see Operand<float>.
        const std::uint32_t two = simt::opaque(weights[2 * half + row]);
        wide[row] = simt::bits_as<std::uint32_t>(simt::unpack_low<simt::Fp16>(two));
        wide[2 + row] = simt::bits_as<std::uint32_t>(simt::unpack_high<simt::Fp16>(two));
      }
      const std::uint32_t narrow[2] = {column.bits[2 * half], column.bits[2 * half + 1]};
      simt::mma_m16n8k8_tf32(sum.all, wide, narrow);
    }
  }
};

// Elements from one column in shared memory to the next: an odd number of times what four threads read of it at once, 32 or
// 64 bytes, so that the columns which are read together have banks of their own. `units`: whole warps.
template <class E>
SIMT_BOTH constexpr int column_stride(int units) {
  return units | Operand<E>::depth;
}

// How many fragments of each matrix a thread's 255 registers have room for beside the rest of a step. Found by trying:
// ctest fails where a kernel spills more than cmake/kernels_that_may_spill.txt says.
template <class E>
SIMT_BOTH constexpr int kept_fragments(int blocks, bool backward, bool in_group) {
  const bool wide = Operand<E>::depth == Operand<Tf32>::depth,  // a register to each weight
      in_parts = Operand<E>::has_second_part;
  const bool split = in_parts || std::is_same_v<E, float>;
  if (blocks < 3) return in_group ? 24 : 8;
  if (blocks == 3)
    return 8 - (in_group ? 1 : 0) - ((in_group ? wide : split) ? 1 : 0) - (in_group && in_parts);
  if (in_group) return in_parts ? (backward ? 4 : 3) : 5;
  if (backward) return split ? 5 : 6;
  return in_parts ? 5 : wide ? 6 : 7;
}

// A warp's fragments of `blocks` matrices, as many of each. `kept` of each, 4 registers a thread, stay in registers; those
// beyond lie in shared memory, in the order in which the warp reads them, behind the second parts of all.
template <class E, int blocks, int kept>
class StationaryWeights {
 public:
  using Op = Operand<E>;
  using Sum = typename Op::Sum;

  // Words of shared memory of a warp that has so many fragments of each matrix.
  SIMT_BOTH static constexpr std::size_t shared_words(int fragments) {
    const int second = Op::has_second_part ? fragments : 0;
    return static_cast<std::size_t>(blocks * (beyond(fragments) + second) * 4) * simt::warp_size;
  }

  // patch(block, fragment, unit, k), 0 beyond the matrix. `shared`: the warp's own, shared_words(fragments); each thread
  // reads back only what it has written itself.
  template <class F>
  SIMT_DEVICE StationaryWeights(int fragments, int thread, std::uint32_t* shared, F&& patch)
      : fragments_(fragments), thread_(thread), shared_(shared) {
    SIMT_UNROLL
    for (int b = 0; b < blocks; ++b) {
      const auto put = [&](int place, const std::uint32_t(&words)[4]) {
        simt::store(shared_ + place,
                    simt::Vec<std::uint32_t, 4>{words[0], words[1], words[2], words[3]});
      };
      const auto load = [&](std::uint32_t(&words)[4], int q) {
        Op::load_weights(words, thread_, [&](int unit, int k) { return patch(b, q, unit, k); });
        if constexpr (Op::has_second_part) {
          std::uint32_t second[4];
          Op::split(words, second);
          put(at_second(b, q), second);
        }
      };
      SIMT_UNROLL
      for (int q = 0; q < kept; ++q)
        if (q < fragments_) load(kept_[b][q], q);
      for (int q = kept; q < fragments_; ++q) {
        std::uint32_t words[4];
        load(words, q);
        put(at(b, q), words);
      }
    }
  }

  SIMT_DEVICE int fragments() const { return fragments_; }

  // sums[b - first] += fragments of block b times what stands at columns(b, fragment) of this thread's lane, for
  // first <= b < end; the same for all b where they share one column. after(fragment): called behind each. Whoever
  // waits in the middle of a product does so there: two calls, for a part each, take more registers.
  template <int first, int end, bool one_column, class F, class G>
  SIMT_DEVICE void multiply(Sum (&sums)[end - first], F&& columns, G&& after) const {
    SIMT_UNROLL
    for (int q = 0; q < kept; ++q) {
      if (q >= fragments_) continue;
      step<first, end, one_column>(sums, columns, q, [&](int b, std::uint32_t(&words)[4]) {
        SIMT_UNROLL
        for (int r = 0; r < 4; ++r) words[r] = kept_[b][q][r];
      });
      after(q);
    }
    for (int q = kept; q < fragments_; ++q) {
      step<first, end, one_column>(sums, columns, q,
                                   [&](int b, std::uint32_t(&words)[4]) { get(at(b, q), words); });
      after(q);
    }
  }

 private:
  template <int first, int end, bool one_column, class F, class G>
  SIMT_DEVICE void step(Sum (&sums)[end - first], F&& columns, int q, G&& weights) const {
    using Column = typename Op::Column;
    Column column(columns(first, q), thread_);
    SIMT_UNROLL
    for (int b = first; b < end; ++b) {
      std::uint32_t words[4];
      weights(b, words);
      if constexpr (!one_column)
        if (b > first) column = Column(columns(b, q), thread_);
      if constexpr (Op::has_second_part) {
        std::uint32_t second[4];
        get(at_second(b, q), second);
        Op::multiply(sums[b - first], words, second, column);
      } else {
        Op::multiply(sums[b - first], words, column);
      }
    }
  }

  SIMT_DEVICE void get(int place, std::uint32_t (&words)[4]) const {
    const auto from = simt::load<4>(static_cast<const std::uint32_t*>(shared_ + place));
    SIMT_UNROLL
    for (int r = 0; r < 4; ++r) words[r] = from[r];
  }

  SIMT_BOTH static constexpr int beyond(int fragments) {
    return fragments > kept ? fragments - kept : 0;
  }
  SIMT_DEVICE int at(int block, int q) const {
    return at_place(block, (Op::has_second_part ? fragments_ : 0) + q - kept);
  }
  SIMT_DEVICE int at_second(int block, int q) const { return at_place(block, q); }
  SIMT_DEVICE int at_place(int block, int place) const {
    return ((place * blocks + block) * static_cast<int>(simt::warp_size) + thread_) * 4;
  }

  int fragments_, thread_;
  std::uint32_t* shared_;
  std::uint32_t kept_[blocks][kept][4];
};

}  // namespace lacuna::resident
