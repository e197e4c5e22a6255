#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <bit>
#include <cstring>
#include <vector>

#include "ptx/blas.h"

namespace lacuna::ptx {
namespace {

template <class T>
T at(const void* data, std::size_t index) {
  T value;
  std::memcpy(&value, static_cast<const unsigned char*>(data) + index * sizeof(T), sizeof(T));
  return value;
}

double read(cudaDataType type, const void* data, std::size_t index) {
  switch (type) {
    case CUDA_R_64F: return at<double>(data, index);
    case CUDA_R_32F: return at<float>(data, index);
    case CUDA_R_16F: return __half2float(at<__half>(data, index));
    default: return __bfloat162float(at<__nv_bfloat16>(data, index));
  }
}

template <class T>
void put(void* data, std::size_t index, T value) {
  std::memcpy(static_cast<unsigned char*>(data) + index * sizeof(T), &value, sizeof(T));
}

void write(cudaDataType type, void* data, std::size_t index, double value) {
  switch (type) {
    case CUDA_R_64F: return put(data, index, value);
    case CUDA_R_32F: return put(data, index, static_cast<float>(value));
    case CUDA_R_16F: return put(data, index, __double2half(value));
    default: return put(data, index, __double2bfloat16(value));
  }
}

// Ten bits of the fraction stay.
double to_tf32(double value) {
  const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
  if ((bits & 0x7f800000u) == 0x7f800000u) return value;  // infinite or NaN
  return std::bit_cast<float>((bits + 0x1000u) & 0xffffe000u);
}

// op(matrix), row by row or column by column: the index of the sum runs fastest.
std::vector<double> operand(const Matrix& matrix, const void* data, bool sum_is_column, bool tf32) {
  std::vector<double> all;
  all.reserve(matrix.rows * matrix.columns);
  const std::uint64_t outer = sum_is_column ? matrix.rows : matrix.columns;
  const std::uint64_t inner = sum_is_column ? matrix.columns : matrix.rows;
  for (std::uint64_t i = 0; i < outer; ++i)
    for (std::uint64_t j = 0; j < inner; ++j) {
      const std::uint64_t row = sum_is_column ? i : j, column = sum_is_column ? j : i;
      const double value =
          read(matrix.type, data, row + column * static_cast<std::uint64_t>(matrix.leading));
      all.push_back(tf32 ? to_tf32(value) : value);
    }
  return all;
}

// Of `count` products; `Sum`: what sums are rounded to.
template <class Sum>
double sum_of_products(const double* a, const double* b, std::uint64_t count,
                       std::uint64_t pieces) {
  Sum whole = 0;
  for (std::uint64_t piece = 0; piece < pieces; ++piece) {
    Sum part = 0;
    for (std::uint64_t i = count * piece / pieces; i < count * (piece + 1) / pieces; ++i)
      part = static_cast<Sum>(static_cast<double>(part) + a[i] * b[i]);
    whole += part;
  }
  return static_cast<double>(whole);
}

std::string words(const Matrix& matrix) {
  return std::to_string(matrix.rows) + " x " + std::to_string(matrix.columns) + " (leading " +
         std::to_string(matrix.leading) + ")";
}

void require(const Memory& memory, const Matrix& matrix, const void* data, bool write,
             const char* name) {
  if (!memory.allows(reinterpret_cast<std::uintptr_t>(data), matrix.bytes(), write))
    throw Fault(std::string("cublasLtMatmul: matrix ") + name + ", " + words(matrix) +
                ", reaches outside of any block of the device's memory");
}

}  // namespace

std::size_t Matrix::element_bytes() const {
  switch (type) {
    case CUDA_R_64F: return 8;
    case CUDA_R_32F: return 4;
    default: return 2;
  }
}

std::size_t Matrix::bytes() const {
  return (static_cast<std::size_t>(leading) * (columns - 1) + rows) * element_bytes();
}

std::string refuse_shape(const MatrixProduct& p) {
  const Matrix* const all[] = {&p.a, &p.b, &p.c, &p.d};
  for (const Matrix* matrix : all) {
    if (matrix->rows == 0 || matrix->columns == 0) return "an empty matrix: " + words(*matrix);
    if (matrix->leading < static_cast<std::int64_t>(matrix->rows))
      return "columns that overlap: " + words(*matrix);
    if (matrix->count < 1 || matrix->count != p.d.count)
      return "a batch of " + std::to_string(matrix->count) + ", D has " + std::to_string(p.d.count);
  }
  const std::uint64_t m = p.a_transposed ? p.a.columns : p.a.rows;
  const std::uint64_t k = p.a_transposed ? p.a.rows : p.a.columns;
  const std::uint64_t n = p.b_transposed ? p.b.rows : p.b.columns;
  if ((p.b_transposed ? p.b.columns : p.b.rows) != k || p.d.rows != m || p.d.columns != n ||
      p.c.rows != m || p.c.columns != n || p.c.type != p.d.type)
    return "sizes that do not fit: A " + words(p.a) + ", B " + words(p.b) + ", C " + words(p.c) +
           ", D " + words(p.d);
  return {};
}

namespace {

void multiply_one(const MatrixProduct& p, const Memory& memory) {
  require(memory, p.a, p.a_data, false, "A");
  require(memory, p.b, p.b_data, false, "B");
  if (p.beta != 0) require(memory, p.c, p.c_data, false, "C");
  require(memory, p.d, p.d_data, true, "D");
  const std::vector<double> a = operand(p.a, p.a_data, !p.a_transposed, p.tf32);
  const std::vector<double> b = operand(p.b, p.b_data, p.b_transposed, p.tf32);
  const std::uint64_t m = p.d.rows, n = p.d.columns, k = a.size() / m;
  for (std::uint64_t column = 0; column < n; ++column)
    for (std::uint64_t row = 0; row < m; ++row) {
      const double *const left = &a[row * k], *const right = &b[column * k];
      double value =
          p.alpha * (p.a.type == CUDA_R_64F ? sum_of_products<double>(left, right, k, p.pieces)
                                            : sum_of_products<float>(left, right, k, p.pieces));
      if (p.beta != 0)
        value += p.beta *
                 read(p.c.type, p.c_data, row + column * static_cast<std::uint64_t>(p.c.leading));
      write(p.d.type, p.d_data, row + column * static_cast<std::uint64_t>(p.d.leading), value);
    }
}

}  // namespace

void multiply(const MatrixProduct& p, const Memory& memory) {
  MatrixProduct one = p;
  for (std::int64_t i = 0; i < p.d.count; ++i) {
    const auto offset = [&](const Matrix& matrix) {
      return i * matrix.distance * static_cast<std::int64_t>(matrix.element_bytes());
    };
    one.a_data = static_cast<const char*>(p.a_data) + offset(p.a);
    one.b_data = static_cast<const char*>(p.b_data) + offset(p.b);
    one.c_data = static_cast<const char*>(p.c_data) + offset(p.c);
    one.d_data = static_cast<char*>(p.d_data) + offset(p.d);
    multiply_one(one, memory);
  }
}

}  // namespace lacuna::ptx
