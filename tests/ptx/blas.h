// What the stand-in for cuBLASLt multiplies, once its arguments have been looked at.
#pragma once

#include <library_types.h>

#include <cstdint>
#include <string>

#include "ptx/machine.h"

namespace lacuna::ptx {

// A column-major matrix as it lies in memory, or a batch of them.
struct Matrix {
  cudaDataType type;
  std::uint64_t rows, columns;
  std::int64_t leading;  // elements from one column to the next
  std::int32_t count = 1;
  std::int64_t distance = 0;  // elements from one matrix of the batch to the next

  std::size_t element_bytes() const;
  std::size_t bytes() const;  // from the first element of a matrix to behind its last
};

// D = alpha op(A) op(B) + beta C. Sums are in fp32, of doubles in double, cut into so many `pieces` that are added in order;
// `tf32` rounds the elements of A and B first, to the nearest, ties away from zero. C is not read where beta is 0.
struct MatrixProduct {
  Matrix a, b, c, d;
  bool a_transposed, b_transposed, tf32;
  std::uint64_t pieces;
  double alpha, beta;
  const void *a_data, *b_data, *c_data;
  void* d_data;
};

// Empty, or what is wrong with types, sizes and leading dimensions: "CUBLAS_STATUS_..." is for the caller to say.
std::string refuse_shape(const MatrixProduct& product);

// A batch, one after the other. Every element has to lie in memory that the device may touch, else Fault.
void multiply(const MatrixProduct& product, const Memory& memory);

}  // namespace lacuna::ptx
