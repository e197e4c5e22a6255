// Device::multiply by cuBLASLt: row-major matrices are the transposes of its column-major ones, so C = A B is asked for
// as C' = B' A'. Sums are in fp32 (fp64 for double), and operands are rounded to TF32 only where the product says so; of
// split sums only those that are added in a fixed order are allowed.
#include <cublasLt.h>

#include <mutex>

#include "host/cuda/captures.h"
#include "host/cuda/check.h"
#include "host/cuda/device.h"
#include "host/memory/memory.h"

namespace lacuna::cuda {
namespace {

// cuBLASLt's handle belongs to the device that was current when it was made, and is thread-safe.
cublasLtHandle_t handle_of(int device) {
  constexpr int most_devices = 64;
  static std::mutex mutex;
  static cublasLtHandle_t handles[most_devices] = {};
  const std::lock_guard lock(mutex);
  if (device >= most_devices)
    throw BackendError(LACUNA_UNSUPPORTED,
                       "options.device: " + std::to_string(device) + ", expected less than 64");
  if (handles[device] == nullptr)
    check(cublasLtCreate(&handles[device]), [] { return std::string("starting cuBLASLt"); });
  return handles[device];
}

template <class T>
constexpr cudaDataType_t data_type = CUDA_R_32F;
template <>
constexpr cudaDataType_t data_type<double> = CUDA_R_64F;
template <>
constexpr cudaDataType_t data_type<simt::Fp16> = CUDA_R_16F;
template <>
constexpr cudaDataType_t data_type<simt::Bf16> = CUDA_R_16BF;

struct Shape {
  int compute = -1, type = -1;
  Form form = Form::nt;
  std::int64_t m = 0, n = 0, k = 0, a_stride = 0, b_stride = 0, c_stride = 0;
  std::int64_t parts = 1, c_part = 0;
  std::size_t scratch_bytes = 0;  // an algorithm may need all it was allowed
  bool operator==(const Shape&) const = default;
};

}  // namespace

struct ProductChoices {
  struct Choice {
    Shape shape;
    cublasLtMatmulAlgo_t algorithm;
  };
  cublasLtHandle_t handle;
  std::array<Choice, 64> choices{};
  std::size_t next = 0;  // the oldest goes first
};

void DestroyChoices::operator()(ProductChoices* choices) const { delete choices; }
ProductChoicesHandle Device::make_choices() const {
  const Current current(*this);
  const BesideCaptures making;
  return ProductChoicesHandle(new ProductChoices{handle_of(index_)});
}

namespace {

// What NVIDIA recommends for Hopper. A part of it holds a tile of 128 x 128 sums for each of 128 multiprocessors: that many
// parts fill a device, so that a product that is cut into more gains nothing.
constexpr std::size_t scratch_bytes = std::size_t{32} << 20;
// cuBLASLt refuses scratch that is not, while a caller's memory, and what a stack lays out in it, may be aligned to less.
constexpr std::size_t scratch_alignment = 256;

void* aligned(void* scratch) {
  const auto address = reinterpret_cast<std::uintptr_t>(scratch);
  return static_cast<std::byte*>(scratch) +
         (scratch_alignment - address % scratch_alignment) % scratch_alignment;
}

}  // namespace

std::size_t Device::product_bytes() const {
  return scratch_bytes + scratch_alignment - memory::alignment;
}

ProductScratch Device::product_scratch(void* block) const {
  return {aligned(block), scratch_bytes};
}
ProductScratch Device::product_scratch(void* block, int part) const {
  constexpr std::size_t bytes = scratch_bytes / product_parts;
  return {static_cast<std::byte*>(aligned(block)) + static_cast<std::size_t>(part) * bytes, bytes};
}

template <class T>
void Device::multiply(simt::Stream stream, const Product<T>& p, ProductChoices& choices,
                      const ProductScratch& scratch) const {
  using R = simt::Real<T>;
  if (p.m == 0 || p.n == 0 || (p.k == 0 && p.add)) return;
  const std::int64_t depth = p.k / p.parts;
  // Made where a call fails alone: a run allocates nothing.
  const auto what = [&p] {
    return "product of " + std::to_string(p.m) + " x " + std::to_string(p.k) + " with " +
           std::to_string(p.k) + " x " + std::to_string(p.n) +
           (p.parts > 1 ? " in " + std::to_string(p.parts) + " parts" : "");
  };
  if (p.k == 0) {
    check(cudaMemset2DAsync(p.c, static_cast<std::size_t>(p.c_stride) * sizeof(R), 0,
                            static_cast<std::size_t>(p.n) * sizeof(R),
                            static_cast<std::size_t>(p.m), stream),
          "filling with zeros");
    return;
  }
  const bool second_transposed = p.form == Form::nt, first_transposed = p.form == Form::tn;
  const auto u = [](std::int64_t size) { return static_cast<std::uint64_t>(size); };

  const cublasComputeType_t compute = std::is_same_v<T, double> ? CUBLAS_COMPUTE_64F
                                      : std::is_same_v<T, float> && p.tf32
                                          ? CUBLAS_COMPUTE_32F_FAST_TF32
                                          : CUBLAS_COMPUTE_32F;
  cublasLtMatmulDescOpaque_t operation;
  check(cublasLtMatmulDescInit(&operation, compute, data_type<R>), what);
  const cublasOperation_t left = second_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t right = first_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  check(cublasLtMatmulDescSetAttribute(&operation, CUBLASLT_MATMUL_DESC_TRANSA, &left, sizeof left),
        what);
  check(
      cublasLtMatmulDescSetAttribute(&operation, CUBLASLT_MATMUL_DESC_TRANSB, &right, sizeof right),
      what);
  cublasLtMatrixLayoutOpaque_t a, b, c;
  check(cublasLtMatrixLayoutInit(&b, data_type<T>, u(second_transposed ? depth : p.n),
                                 u(second_transposed ? p.n : depth), p.b_stride),
        what);
  check(cublasLtMatrixLayoutInit(&a, data_type<T>, u(first_transposed ? p.m : depth),
                                 u(first_transposed ? depth : p.m), p.a_stride),
        what);
  check(cublasLtMatrixLayoutInit(&c, data_type<R>, u(p.n), u(p.m), p.c_stride), what);
  if (p.parts > 1) {
    const std::int32_t count = p.parts;
    const auto divide = [&](cublasLtMatrixLayout_t layout, std::int64_t distance) {
      check(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                             sizeof count),
            what);
      check(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                             &distance, sizeof distance),
            what);
    };
    divide(&a, first_transposed ? depth * p.a_stride : depth);
    divide(&b, second_transposed ? depth : depth * p.b_stride);
    divide(&c, p.c_part);
  }

  const Shape shape{static_cast<int>(compute),
                    static_cast<int>(data_type<T>),
                    p.form,
                    p.m,
                    p.n,
                    p.k,
                    p.a_stride,
                    p.b_stride,
                    p.c_stride,
                    p.parts,
                    p.c_part,
                    scratch.bytes};
  const cublasLtMatmulAlgo_t* algorithm = nullptr;
  for (const auto& choice : choices.choices)
    if (choice.shape == shape) algorithm = &choice.algorithm;
  if (algorithm == nullptr) {
    cublasLtMatmulPreferenceOpaque_t preference;
    check(cublasLtMatmulPreferenceInit(&preference), what);
    check(
        cublasLtMatmulPreferenceSetAttribute(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &scratch.bytes, sizeof scratch.bytes),
        what);
    // Operands may begin at any row or gate, whose strides are padded to 16 bytes (layout.cu); said nothing, cuBLASLt counts
    // on 256.
    const std::uint32_t alignment = 16;
    for (const auto matrix :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      check(cublasLtMatmulPreferenceSetAttribute(&preference, matrix, &alignment, sizeof alignment),
            what);
    const std::uint32_t schemes =
        CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
    check(cublasLtMatmulPreferenceSetAttribute(
              &preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes),
          what);
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    check(cublasLtMatmulAlgoGetHeuristic(choices.handle, &operation, &b, &a, &c, &c, &preference, 1,
                                         &found, &count),
          what);
    if (count == 0) throw BackendError(LACUNA_DEVICE_ERROR, what() + ": cuBLASLt has no algorithm");
    auto& choice = choices.choices[choices.next];
    choices.next = (choices.next + 1) % choices.choices.size();
    choice = {shape, found.algo};
    algorithm = &choice.algorithm;
  }
  const R one = 1, kept = p.add ? 1 : 0;
  check(cublasLtMatmul(choices.handle, &operation, &one, p.b, &b, p.a, &a, &kept, p.c, &c, p.c, &c,
                       algorithm, scratch.data, scratch.bytes, stream),
        what);
}

#define LACUNA_MULTIPLY(T)                                                            \
  template void Device::multiply<T>(simt::Stream, const Product<T>&, ProductChoices&, \
                                    const ProductScratch&) const;
LACUNA_MULTIPLY(float)
LACUNA_MULTIPLY(double)
LACUNA_MULTIPLY(simt::Fp16)
LACUNA_MULTIPLY(simt::Bf16)
#undef LACUNA_MULTIPLY

}  // namespace lacuna::cuda
