// The CPU's value type for the cell mathematics: one register of T on an instruction set that xsimd knows.
#pragma once

#include <cstdint>
#include <iterator>
#include <xsimd/xsimd.hpp>

#include "kernels/cells/activations.h"

namespace lacuna::cpu {

template <class T, class Arch>
struct Vec {
  using Batch = xsimd::batch<T, Arch>;
  using Mask = xsimd::batch_bool<T, Arch>;
  static constexpr int size = static_cast<int>(Batch::size);
  static constexpr bool streams = sizeof(Batch) == 64;  // stream() goes past the caches

  Batch b;

  Vec() = default;
  LACUNA_FN Vec(T scalar)
      : b(scalar) {}  // NOLINT(google-explicit-constructor): V(1) and a broadcast are one thing
  LACUNA_FN explicit Vec(Batch batch) : b(batch) {}

  LACUNA_FN static Vec load(const T* p) { return Vec(Batch::load_unaligned(p)); }
  LACUNA_FN void store(T* p) const { b.store_unaligned(p); }

  // The first n elements, zeros behind them. Nothing past p[n-1] is touched.
  LACUNA_FN static Vec load(const T* p, std::int64_t n) {
    if (n >= size) return load(p);
    alignas(64) T part[size] = {};
    for (std::int64_t i = 0; i < n; ++i) part[i] = p[i];
    return load(part);
  }
  LACUNA_FN void store(T* p, std::int64_t n) const {
    if (n >= size) return store(p);
    alignas(64) T part[size];
    store(part);
    for (std::int64_t i = 0; i < n; ++i) p[i] = part[i];
  }

  // Past the caches where one store fills a cache line, for what is not read again before they have been filled anew.
  // Parts of lines would wait for the rest in buffers that are too few. p is aligned to the vector.
  LACUNA_FN void stream(T* p) const {
#if defined(__AVX512F__)
    if constexpr (streams)
      return _mm512_stream_si512(reinterpret_cast<__m512i*>(p), __m512i(b.data));
#endif
    store(p);
  }

  // Before other threads may read what was streamed.
  LACUNA_FN static void end_streams() {
#if defined(__x86_64__)
    _mm_sfence();
#endif
  }

  LACUNA_FN friend Vec operator+(Vec x, Vec y) { return Vec(x.b + y.b); }
  LACUNA_FN friend Vec operator-(Vec x, Vec y) { return Vec(x.b - y.b); }
  LACUNA_FN friend Vec operator*(Vec x, Vec y) { return Vec(x.b * y.b); }
  LACUNA_FN friend Vec operator/(Vec x, Vec y) { return Vec(x.b / y.b); }
  LACUNA_FN friend Vec operator-(Vec x) { return Vec(-x.b); }
  LACUNA_FN friend Mask operator>(Vec x, Vec y) { return x.b > y.b; }
};

template <class T, class A>
LACUNA_FN Vec<T, A> multiply_add(Vec<T, A> x, Vec<T, A> y, Vec<T, A> z) {
  return Vec<T, A>(xsimd::fma(x.b, y.b, z.b));
}
// Where an operand is NaN, the second one is the result: callers put the constant first.
template <class T, class A>
LACUNA_FN Vec<T, A> maximum(Vec<T, A> x, Vec<T, A> y) {
  return Vec<T, A>(xsimd::max(x.b, y.b));
}
template <class T, class A>
LACUNA_FN Vec<T, A> minimum(Vec<T, A> x, Vec<T, A> y) {
  return Vec<T, A>(xsimd::min(x.b, y.b));
}
template <class T, class A>
LACUNA_FN Vec<T, A> select(typename Vec<T, A>::Mask condition, Vec<T, A> yes, Vec<T, A> no) {
  return Vec<T, A>(xsimd::select(condition, yes.b, no.b));
}
template <class T, class A>
LACUNA_FN typename Vec<T, A>::Mask is_nan(Vec<T, A> x) {
  return xsimd::isnan(x.b);
}
template <class T, class A>
LACUNA_FN T sum(Vec<T, A> x) {
  // A fixed tree, the same on every instruction set of one width.
  alignas(64) T part[Vec<T, A>::size];
  x.store(part);
  for (int width = Vec<T, A>::size / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) part[i] += part[i + width];
  return part[0];
}

// Copies a row. Rows are short, and a call of memmove, which has to look at length and overlap, costs as much as the copy.
template <class V, class T>
LACUNA_FN void copy_row(const T* from, std::int64_t n, T* to) {
  if (n < V::size) {
    for (std::int64_t i = 0; i < n; ++i) to[i] = from[i];
    return;
  }
  for (std::int64_t i = 0; i < n - V::size; i += V::size) V::load(from + i).store(to + i);
  V::load(from + n - V::size).store(to + n - V::size);
}

namespace exponent {

// exp(x) = 2^n exp(r) with n = round(x / ln 2). Adding 1.5 2^mantissa leaves n in the low bits of the sum, from where a
// shift moves it into the exponent field: no conversion to integer. ln 2 is split so that n * high is exact.
// exp(r) = 1 + r + r^2 q(r) on |r| <= ln(2)/2. float: q minimises the largest error relative to exp(r)-1, which is 1.3e-8
// (Remez exchange). double: the Taylor series, whose first missing term is below 2e-17.
template <class T>
struct Constants;
template <>
struct Constants<float> {
  using Int = std::int32_t;
  static constexpr float round = 12582912.0f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  static constexpr float least = -87.3f, most = 88.3f;
  static constexpr int mantissa = 23;
  static constexpr float q[] = {0.49999998144f, 0.16666543178f, 0.04166720178f, 0.00836658033f,
                                0.00138825102f};
};
template <>
struct Constants<double> {
  using Int = std::int64_t;
  static constexpr double round = 6755399441055744.0, ln2_high = 0x1.62e42fee00000p-1,
                          ln2_low = 0x1.a39ef35793c76p-33;
  static constexpr double least = -708.0, most = 709.0;
  static constexpr int mantissa = 52;
  static constexpr double q[] = {1.0 / 2,       1.0 / 6,        1.0 / 24,        1.0 / 120,
                                 1.0 / 720,     1.0 / 5040,     1.0 / 40320,     1.0 / 362880,
                                 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
};

template <class T, class A>
struct Reduced {
  Vec<T, A> power;      // 2^n
  Vec<T, A> minus_one;  // exp(r) - 1, |r| <= ln(2)/2
};

template <class T, class A>
LACUNA_FN Reduced<T, A> reduce(Vec<T, A> x) {
  using C = Constants<T>;
  using V = Vec<T, A>;
  using Ints = xsimd::batch<typename C::Int, A>;
  constexpr int last = static_cast<int>(std::size(C::q)) - 1;
  x = maximum(V(C::least), minimum(V(C::most), x));
  const V shifted = multiply_add(x, V(T(1.44269504088896340736)), V(C::round));
  const V n = shifted - V(C::round);
  const V r = multiply_add(n, V(-C::ln2_low), multiply_add(n, V(-C::ln2_high), x));
  V q(C::q[last]);
#pragma GCC unroll 16
  for (int i = last - 1; i >= 0; --i) q = multiply_add(q, r, V(C::q[i]));
  const Ints bits = (xsimd::bitwise_cast<Ints>(shifted.b) << C::mantissa);
  const Ints one = xsimd::bitwise_cast<Ints>(V(T(1)).b);
  return {V(xsimd::bitwise_cast<typename V::Batch>(bits + one)), multiply_add(r * r, q, r)};
}

}  // namespace exponent

// Within 1.5 units in the last place over the range of normal results. Beyond it they end at the bounds: a vanishing result
// at the smallest normal number, not at 0, and a huge one at a finite number.
template <class T, class A>
LACUNA_FN Vec<T, A> exponential(Vec<T, A> x) {
  const auto e = exponent::reduce(x);
  return multiply_add(e.power, e.minus_one, e.power);
}
template <class T, class A>
LACUNA_FN Vec<T, A> exponential_minus_one(Vec<T, A> x) {
  const auto e = exponent::reduce(x);
  return multiply_add(e.power, e.minus_one, e.power - Vec<T, A>(T(1)));
}

}  // namespace lacuna::cpu
