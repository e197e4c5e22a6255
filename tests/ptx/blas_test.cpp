// The stand-in for cuBLASLt against plain sums, and what it refuses.
#include <cublasLt.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "ptx/runtime.h"

namespace {

constexpr std::size_t workspace_bytes = 1 << 20;

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) {
    EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&data_), count * sizeof(T)), cudaSuccess);
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    EXPECT_EQ(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyDefault),
              cudaSuccess);
  }
  ~DeviceArray() { (void)cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  T* data() const { return data_; }
  std::vector<T> get(std::size_t count) const {
    std::vector<T> host(count);
    EXPECT_EQ(cudaMemcpy(host.data(), data_, count * sizeof(T), cudaMemcpyDefault), cudaSuccess);
    return host;
  }

 private:
  T* data_ = nullptr;
};

struct Layout {
  std::uint64_t rows, columns;
  std::int64_t leading;
};

// D (m x n) = A (m x k) B (k x n), of one type, A and B transposed where asked.
struct Call {
  Layout a{5, 4, 7}, b{4, 3, 6}, d{5, 3, 8};
  bool a_transposed = false, b_transposed = false;
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType type = CUDA_R_32F;
  std::uint32_t promised_alignment = 256;
  std::size_t given_workspace = workspace_bytes;
  std::size_t workspace_offset = 0;
  std::int32_t count = 1, other_count = 0;  // of a batch; of its A, if that is to differ
  std::array<std::int64_t, 3> distances{};
  std::int64_t found_for_leading = 0;  // of the A that the algorithm was found for; 0: of this one

  cublasStatus_t run(const void* a_data, const void* b_data, void* d_data) const {
    static cublasLtHandle_t handle = [] {
      cublasLtHandle_t made = nullptr;
      EXPECT_EQ(cublasLtCreate(&made), CUBLAS_STATUS_SUCCESS);
      return made;
    }();
    const DeviceArray<char> workspace(workspace_bytes + workspace_offset);
    cublasLtMatmulDescOpaque_t operation;
    EXPECT_EQ(cublasLtMatmulDescInit(&operation, compute, CUDA_R_32F), CUBLAS_STATUS_SUCCESS);
    const auto transpose = [&](cublasLtMatmulDescAttributes_t which, bool yes) {
      const cublasOperation_t value = yes ? CUBLAS_OP_T : CUBLAS_OP_N;
      EXPECT_EQ(cublasLtMatmulDescSetAttribute(&operation, which, &value, sizeof value),
                CUBLAS_STATUS_SUCCESS);
    };
    transpose(CUBLASLT_MATMUL_DESC_TRANSA, a_transposed);
    transpose(CUBLASLT_MATMUL_DESC_TRANSB, b_transposed);
    cublasLtMatrixLayoutOpaque_t layouts[3];
    const Layout* const shapes[] = {&a, &b, &d};
    for (int i = 0; i < 3; ++i)
      EXPECT_EQ(cublasLtMatrixLayoutInit(&layouts[i], type, shapes[i]->rows, shapes[i]->columns,
                                         shapes[i]->leading),
                CUBLAS_STATUS_SUCCESS);
    for (std::size_t i = 0; count > 1 && i < 3; ++i) {
      const std::int32_t given = i == 0 && other_count > 0 ? other_count : count;
      EXPECT_EQ(cublasLtMatrixLayoutSetAttribute(&layouts[i], CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
                                                 &given, sizeof given),
                CUBLAS_STATUS_SUCCESS);
      EXPECT_EQ(
          cublasLtMatrixLayoutSetAttribute(&layouts[i], CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                           &distances[i], sizeof distances[i]),
          CUBLAS_STATUS_SUCCESS);
    }
    cublasLtMatmulPreferenceOpaque_t preference;
    EXPECT_EQ(cublasLtMatmulPreferenceInit(&preference), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(
        cublasLtMatmulPreferenceSetAttribute(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &workspace_bytes, sizeof workspace_bytes),
        CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cublasLtMatmulPreferenceSetAttribute(&preference,
                                                   CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                                                   &promised_alignment, sizeof promised_alignment),
              CUBLAS_STATUS_SUCCESS);
    cublasLtMatrixLayoutOpaque_t first = layouts[0];
    if (found_for_leading > 0) {
      EXPECT_EQ(cublasLtMatrixLayoutInit(&first, type, a.rows, a.columns, found_for_leading),
                CUBLAS_STATUS_SUCCESS);
    }
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    const cublasStatus_t chosen =
        cublasLtMatmulAlgoGetHeuristic(handle, &operation, &first, &layouts[1], &layouts[2],
                                       &layouts[2], &preference, 1, &found, &count);
    if (chosen != CUBLAS_STATUS_SUCCESS) return chosen;
    const float one = 1, zero = 0;
    return cublasLtMatmul(handle, &operation, &one, a_data, &layouts[0], b_data, &layouts[1], &zero,
                          d_data, &layouts[2], d_data, &layouts[2], &found.algo,
                          workspace.data() + workspace_offset, given_workspace, nullptr);
  }
};

std::vector<float> ramp(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i % 11) - 4;
  return values;
}

TEST(Blas, MultipliesAsItsLayoutsSay) {
  for (const bool a_transposed : {false, true})
    for (const bool b_transposed : {false, true}) {
      Call call;
      call.a_transposed = a_transposed;
      call.b_transposed = b_transposed;
      if (a_transposed) call.a = {4, 5, 7};
      if (b_transposed) call.b = {3, 4, 6};
      const std::vector<float> a = ramp(7 * 5), b = ramp(6 * 4);
      const DeviceArray<float> on_a(a), on_b(b), on_d(8 * 3);
      ASSERT_EQ(call.run(on_a.data(), on_b.data(), on_d.data()), CUBLAS_STATUS_SUCCESS);
      const std::vector<float> d = on_d.get(8 * 3);
      for (std::size_t row = 0; row < 8; ++row)
        for (std::size_t column = 0; column < 3; ++column) {
          const float got = d[row + 8 * column];
          if (row >= 5) {  // between the columns
            EXPECT_TRUE(std::isnan(got));
            continue;
          }
          float sum = 0;
          for (std::size_t i = 0; i < 4; ++i)
            sum += a[a_transposed ? i + 7 * row : row + 7 * i] *
                   b[b_transposed ? column + 6 * i : i + 6 * column];
          EXPECT_EQ(got, sum) << row << ", " << column;
        }
    }
}

// Of matrices that lie side by side, or apart.
TEST(Blas, MultipliesBatches) {
  Call call;
  call.count = 3;
  call.distances = {4, 6 * 3, 8 * 3 + 1};
  const std::vector<float> a = ramp(7 * 4 + 4 * 2), b = ramp(6 * 3 * 3);
  const std::size_t numbers = (8 * 3 + 1) * 3;
  const DeviceArray<float> on_a(a), on_b(b), on_d(numbers);
  ASSERT_EQ(call.run(on_a.data(), on_b.data(), on_d.data()), CUBLAS_STATUS_SUCCESS);
  const std::vector<float> d = on_d.get(numbers);
  for (std::size_t of = 0; of < 3; ++of)
    for (std::size_t row = 0; row < 5; ++row)
      for (std::size_t column = 0; column < 3; ++column) {
        float sum = 0;
        for (std::size_t i = 0; i < 4; ++i)
          sum += a[of * 4 + row + 7 * i] * b[of * 6 * 3 + i + 6 * column];
        EXPECT_EQ(d[of * (8 * 3 + 1) + row + 8 * column], sum)
            << of << ", " << row << ", " << column;
      }
  call.other_count = 2;
  EXPECT_EQ(call.run(on_a.data(), on_b.data(), on_d.data()), CUBLAS_STATUS_INVALID_VALUE);
}

TEST(Blas, RoundsOperandsToTf32OnlyWhereAsked) {
  const float fine = std::bit_cast<float>(0x3f801001u);  // one bit above a tie of TF32
  Call call;
  call.a = call.b = call.d = {1, 1, 4};
  const DeviceArray<float> a(std::vector{fine}), b(std::vector{1.0f}), d(4);
  ASSERT_EQ(call.run(a.data(), b.data(), d.data()), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(d.get(1)[0], fine);
  call.compute = CUBLAS_COMPUTE_32F_FAST_TF32;
  ASSERT_EQ(call.run(a.data(), b.data(), d.data()), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(d.get(1)[0], std::bit_cast<float>(0x3f802000u));
}

TEST(Blas, RefusesWhatDoesNotFit) {
  const DeviceArray<float> data(1000);
  const auto status = [&](auto change) {
    Call call;
    change(call);
    return call.run(data.data(), data.data() + 400, data.data() + 800);
  };
  EXPECT_EQ(status([](Call&) {}), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(status([](Call& c) { c.a.leading = 4; }), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(status([](Call& c) { c.b.rows = 5; }), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(status([](Call& c) { c.d.columns = 0; }), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(status([](Call& c) { c.given_workspace = 16; }), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(status([](Call& c) { c.workspace_offset = 64; }), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(status([](Call& c) { c.workspace_offset = 256; }), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(status([](Call& c) { c.found_for_leading = 9; }), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(status([](Call& c) { c.compute = CUBLAS_COMPUTE_64F; }), CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(status([](Call& c) {
              c.compute = CUBLAS_COMPUTE_32F_FAST_TF32;
              c.type = CUDA_R_16F;
            }),
            CUBLAS_STATUS_NOT_SUPPORTED);
}

// The heuristic trusts the preference about pointers, and sees for itself how columns are aligned.
TEST(Blas, PointersAreAsAlignedAsWasPromised) {
  const DeviceArray<float> data(1000);
  const float* const odd = data.data() + 1;
  Call call;
  call.a.leading = 8;
  EXPECT_EQ(call.run(odd, data.data(), data.data() + 800), CUBLAS_STATUS_NOT_SUPPORTED);
  call.promised_alignment = 4;
  EXPECT_EQ(call.run(odd, data.data(), data.data() + 800), CUBLAS_STATUS_SUCCESS);
  call.promised_alignment = 256;
  call.a.leading = 7;
  EXPECT_EQ(call.run(odd, data.data(), data.data() + 800), CUBLAS_STATUS_SUCCESS);
}

TEST(Blas, ReadingBesideABlockLosesTheDevice) {
  const DeviceArray<float> a(7 * 3 + 4), b(100), d(100);
  EXPECT_EQ(Call{}.run(a.data(), b.data(), d.data()), CUBLAS_STATUS_EXECUTION_FAILED);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  lacuna::ptx::Runtime::get().lost = cudaSuccess;
  (void)cudaGetLastError();
}

}  // namespace
