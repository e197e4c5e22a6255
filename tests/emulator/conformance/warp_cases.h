// Conformance of what one warp does: conversions, shuffles, votes, tensor cores, matrix moves.
#pragma once
#include <cmath>

#include "emulator/conformance/case.h"
#include "kernels/cells/activations.h"

namespace lacuna::conformance {
inline namespace SIMT_PATH {

inline constexpr unsigned product_words = 6;

// Conversions of arbitrary bits. A NaN's payload is nobody's business in tf32.
SIMT_KERNEL(256) void convert(Buffers b) {
  for (unsigned i = simt::thread_rank(); i < input_words; i += 256) {
    const float value = simt::bits_as<float>(b.in[i]);
    const bool nan = value != value;
    Word* out = b.out + 8 * i;
    out[0] = simt::from_float<simt::Fp16>(value).bits;
    out[1] = simt::from_float<simt::Bf16>(value).bits;
    out[2] = nan ? 0 : simt::to_tf32(value);
    const auto low = static_cast<std::uint16_t>(b.in[i]);
    out[3] = simt::bits_as<Word>(simt::to_float(simt::Fp16{low}));
    out[4] = simt::bits_as<Word>(simt::to_float(simt::Bf16{low}));
    const float next = simt::bits_as<float>(b.in[(i + 1) % input_words]);
    out[5] = simt::pack<simt::Fp16>(value, next);
    out[6] = simt::pack<simt::Bf16>(value, next);
    out[7] = simt::bits_as<Word>(simt::unpack_high<simt::Fp16>(b.in[i])) ^
             simt::bits_as<Word>(simt::unpack_low<simt::Bf16>(b.in[i]));
  }
}

// A NaN's payload is nobody's business in a sum either.
template <class T>
SIMT_DEVICE T without_payload(T value) {
  return value == value ? value : T(-1);
}

SIMT_DEVICE void write_wide(Word* out, std::uint64_t bits) {
  out[0] = static_cast<Word>(bits);
  out[1] = static_cast<Word>(bits >> 32);
}

// Products that must be rounded before they are added to, which a compiler may not make one instruction of; and whole.
SIMT_KERNEL(256) void products(Buffers b) {
  for (unsigned i = simt::thread_rank(); i < input_words; i += 256) {
    const Word first = b.in[i], second = b.in[(i + 1) % input_words],
               third = b.in[(i + 2) % input_words], fourth = b.in[(i + 3) % input_words];
    Word* out = b.out + product_words * i;
    const auto product =
        simt::rounded_product(simt::bits_as<float>(first), simt::bits_as<float>(second));
    out[0] = simt::bits_as<Word>(without_payload(product - simt::bits_as<float>(third)));
    // Exponents around one, so that the sum keeps digits of both.
    const auto near_one = [](Word high, Word low) {
      return simt::bits_as<double>(std::uint64_t{(high & 0x801fffffu) | 0x3fe00000u} << 32 | low);
    };
    const double wide = simt::rounded_product(near_one(first, second), near_one(third, fourth));
    write_wide(out + 1, simt::bits_as<std::uint64_t>(wide - near_one(second, third)));
    write_wide(out + 3, static_cast<std::uint64_t>(simt::wide_product(
                            static_cast<std::int32_t>(first), static_cast<std::int32_t>(second))));
    out[5] = simt::opaque(first);
  }
}

// How many results are off by more than kernels/simt/nonlinear.h says, of values over the range of a
// sigmoid's normal results and close to 0. None, on either side, though their bits differ.
SIMT_KERNEL(256) void nonlinearities(Buffers b) {
  constexpr int each = 64;
  Word wrong = 0;
  for (int k = 0; k < each; ++k)
    for (const double scale : {80.0, 1.0, 1e-4}) {
      const int place = static_cast<int>(simt::thread_rank()) * each + k - 128 * each;
      const float x = static_cast<float>(scale * place / (128 * each));
      const double exact = x, sigmoid_of_x = 1 / (1 + std::exp(-exact)),
                   tanh_of_x = std::tanh(exact);
      const double off = std::fabs(sigmoid(x) - sigmoid_of_x);
      if (!(off <= 2e-7 && off <= (4e-7 + 1e-7 * std::fabs(exact)) * sigmoid_of_x)) ++wrong;
      if (!(std::fabs(hyperbolic_tangent(x) - tanh_of_x) <= 5e-7 * std::fabs(tanh_of_x))) ++wrong;
#ifdef __CUDA_ARCH__  // of layers of 16 bits, whatever x is
      if (!(std::fabs(simt::gpu::large_tangent(x) - tanh_of_x) <= 4e-7)) ++wrong;
#endif
    }
  b.out[simt::thread_rank()] = wrong;
}

// Every shuffle at every width and three distances, then under two disjoint masks, then 8 bytes; then exclusive or beyond a
// group: what lies in a group before is read, in one behind it is not.
SIMT_KERNEL(32) void shuffles(Buffers b) {
  const unsigned lane = simt::lane_index();
  const Word value = b.in[lane];
  Word* out = b.out + lane;
  for (unsigned width = 2; width <= 32; width *= 2)
    for (unsigned by : {1u, width / 2, width - 1}) {
      *out = simt::shuffle(value, by, simt::full_mask, width), out += 32;
      *out = simt::shuffle_xor(value, by, simt::full_mask, width), out += 32;
      *out = simt::shuffle_down(value, by, simt::full_mask, width), out += 32;
      *out = simt::shuffle_up(value, by, simt::full_mask, width), out += 32;
    }
  const bool even = lane % 2 == 0;
  if (even)
    *out = simt::shuffle(value, 30 - lane, 0x55555555u);
  else
    *out = simt::shuffle(value, 32 - lane, 0xaaaaaaaau);
  out += 32;
  const double wide = static_cast<double>(value) * 0x1p20 + lane;
  const auto moved = simt::bits_as<std::uint64_t>(simt::shuffle_xor(wide, 5));
  out[0] = static_cast<Word>(moved);
  out[32] = static_cast<Word>(moved >> 32);
  out += 64;
  for (unsigned width = 2; width < 32; width *= 2)
    for (unsigned by : {width, width + 1, 31u})
      *out = simt::shuffle_xor(value, by, simt::full_mask, width), out += 32;
}
inline constexpr unsigned shuffle_words = 32 * (5 * 3 * 4 + 1 + 2 + 4 * 3);

SIMT_KERNEL(32) void votes(Buffers b) {
  const unsigned lane = simt::lane_index();
  const bool yes = b.in[lane] % 3 == 0;
  Word* out = b.out + 8 * lane;
  out[0] = simt::ballot(yes);
  out[1] = simt::any(yes);
  out[2] = simt::all(yes);
  out[3] = simt::all(true);
  out[4] = simt::any(false);
  if (lane < 8) out[5] = simt::ballot(!yes, 0xffu);
  out[6] = static_cast<Word>(simt::count_bits(b.in[lane]));
  out[7] = lane;
}

// Small whole numbers: their products and sums are exact in whatever order a tensor core adds.
SIMT_DEVICE float small_integer(const Word* in, int row, int column) {
  return static_cast<float>(static_cast<int>(in[row * 16 + column] % 17) - 8);
}

template <class T>
SIMT_KERNEL(32)
void mma16(Buffers b) {
  const int lane = static_cast<int>(simt::lane_index());
  std::uint32_t a[4], bt[2];
  namespace at = simt::fragment;
  for (int r = 0; r < 4; ++r) {
    const int row = at::a16_row(lane, r), k = at::a16_k(lane, r);
    a[r] = simt::pack<T>(small_integer(b.in, row, k), small_integer(b.in, row, k + 1));
  }
  for (int r = 0; r < 2; ++r) {
    const int k = at::b16_k(lane, r), column = at::b16_column(lane);
    bt[r] = simt::pack<T>(small_integer(b.in + 512, column, k),
                          small_integer(b.in + 512, column, k + 1));
  }
  float c[4];
  for (int i = 0; i < 4; ++i) c[i] = static_cast<float>(4 * lane + i);
  simt::mma_m16n8k16<T>(c, a, bt);
  for (int i = 0; i < 4; ++i)
    b.out[at::c_row(lane, i) * 8 + at::c_column(lane, i)] = simt::bits_as<Word>(c[i]);
}

SIMT_KERNEL(32) void mma_tf32(Buffers b) {
  const int lane = static_cast<int>(simt::lane_index());
  std::uint32_t a[4], bt[2];
  namespace at = simt::fragment;
  for (int r = 0; r < 4; ++r)
    a[r] = simt::to_tf32(small_integer(b.in, at::a32_row(lane, r), at::a32_k(lane, r)));
  for (int r = 0; r < 2; ++r)
    bt[r] = simt::to_tf32(small_integer(b.in + 512, at::b32_column(lane), at::b32_k(lane, r)));
  float c[4];
  for (int i = 0; i < 4; ++i) c[i] = static_cast<float>(4 * lane + i);
  simt::mma_m16n8k8_tf32(c, a, bt);
  for (int i = 0; i < 4; ++i)
    b.out[at::c_row(lane, i) * 8 + at::c_column(lane, i)] = simt::bits_as<Word>(c[i]);
}

SIMT_KERNEL(32) void mma_fp64(Buffers b) {
  const int lane = static_cast<int>(simt::lane_index());
  namespace at = simt::fragment;
  const double a = small_integer(b.in, at::a64_row(lane), at::a64_k(lane));
  const double bt = small_integer(b.in + 512, at::b64_column(lane), at::b64_k(lane));
  double c[2] = {lane + 0.25, lane + 0.5};
  simt::mma_m8n8k4(c, a, bt);
  for (int i = 0; i < 2; ++i) {
    const auto bits = simt::bits_as<std::uint64_t>(c[i]);
    Word* out = b.out + 2 * (at::c_row(lane, i) * 8 + at::c_column(lane, i));
    out[0] = static_cast<Word>(bits);
    out[1] = static_cast<Word>(bits >> 32);
  }
}

// Four tiles of 16-bit elements in rows of 24, loaded every way there is.
SIMT_KERNEL(32) void matrix_moves(Buffers b) {
  constexpr int stride = 24;
  simt::SharedCarver shared;
  auto* tiles = shared.take<std::uint16_t>(32 * stride);
  const unsigned lane = simt::lane_index();
  for (unsigned i = lane; i < 32 * stride; i += 32) tiles[i] = static_cast<std::uint16_t>(b.in[i]);
  simt::sync_block();
  const std::uint16_t* row = tiles + lane * stride + 8 * (lane / 16);
  std::uint32_t one[1], two[2], four[4];
  Word* out = b.out + 16 * lane;
  simt::load_matrix<1>(one, row), out[0] = one[0];
  simt::load_matrix<1, true>(one, row), out[1] = one[0];
  simt::load_matrix<2>(two, row), out[2] = two[0], out[3] = two[1];
  simt::load_matrix<2, true>(two, row), out[4] = two[0], out[5] = two[1];
  simt::load_matrix<4>(four, row);
  for (int i = 0; i < 4; ++i) out[6 + i] = four[i];
  simt::load_matrix<4, true>(four, row);
  for (int i = 0; i < 4; ++i) out[10 + i] = four[i];
  out[14] = simt::transpose_matrix(b.in[lane]);
  out[15] = simt::transpose_matrix(four[1]) ^ lane;
}

}  // namespace SIMT_PATH
}  // namespace lacuna::conformance
