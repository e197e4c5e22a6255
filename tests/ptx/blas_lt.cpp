// Stand-in for cuBLASLt: plain products of column-major matrices, refused as its documentation says where types, sizes,
// workspace or alignment do not fit. Attributes beyond those that plain products need are not implemented, and say so.
//
// An algorithm that the heuristic finds has needs of its own: the sizes it was found for, a workspace aligned to 256 bytes,
// which is overwritten, and pointers as aligned as the preference promised (256 bytes unless it is told otherwise), as far as
// the leading dimension and the distance of a batch keep that from column to column and from matrix to matrix. Products of other sizes have algorithms that cut their sums
// elsewhere, so that a row's bits depend on how many rows there are.
#include <cublasLt.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "ptx/blas.h"
#include "ptx/runtime.h"

using namespace lacuna::ptx;

namespace {

struct BlasRefusal {
  cublasStatus_t status;
  std::string text;
};

struct Handle {
  int device;
};

struct Layout {
  Matrix matrix;
};
struct Operation {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  cublasOperation_t a, b;
};
struct Preference {
  std::uint64_t workspace_bytes;
  std::uint32_t alignment[4];  // of A, B, C, D
};
struct Algorithm {
  std::uint64_t magic, workspace_bytes;
  std::uint32_t alignment[4];
  std::uint64_t product;  // that it was found for, as `name_of` has it
};
constexpr std::uint64_t algorithm_magic = 0x6c6163756e61;
constexpr std::uint64_t wanted_workspace_bytes = 1 << 20;
constexpr std::uint32_t default_alignment = 256;
constexpr std::uintptr_t workspace_alignment = 256;
constexpr std::uint64_t most_pieces = 4;  // of a sum

// The library's opaque types are plain words, in which ours lie.
template <class T, class Opaque>
T get(const Opaque* opaque) {
  static_assert(sizeof(T) <= sizeof(Opaque));
  if (opaque == nullptr) throw BlasRefusal{CUBLAS_STATUS_INVALID_VALUE, "a null descriptor"};
  T value;
  std::memcpy(static_cast<void*>(&value), opaque, sizeof value);
  return value;
}
template <class T, class Opaque>
void set(Opaque* opaque, const T& value) {
  static_assert(sizeof(T) <= sizeof(Opaque));
  std::memcpy(static_cast<void*>(opaque), &value, sizeof value);
}
template <class T>
T attribute(const void* from, std::size_t bytes) {
  if (bytes != sizeof(T))
    throw BlasRefusal{CUBLAS_STATUS_INVALID_VALUE,
                      "an attribute of " + std::to_string(bytes) + " bytes"};
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

void refuse(bool wrong, cublasStatus_t status, const std::string& text) {
  if (wrong) throw BlasRefusal{status, text};
}

template <class Body>
cublasStatus_t blas_call(const char* name, const Body& body) noexcept {
  Runtime& runtime = Runtime::get();
  const std::lock_guard guard(runtime.lock);
  if (runtime.lost != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
  try {
    body();
    return runtime.lost == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
  } catch (const BlasRefusal& refusal) {
    std::fprintf(stderr, "cuBLASLt stand-in: %s: %s\n", name, refusal.text.c_str());
    return refusal.status;
  } catch (const Refusal& refusal) {
    std::fprintf(stderr, "cuBLASLt stand-in: %s: %s\n", name, refusal.text.c_str());
    return CUBLAS_STATUS_EXECUTION_FAILED;
  }
}

MatrixProduct product_of(const Operation& operation, const Layout& a, const Layout& b,
                         const Layout& c, const Layout& d) {
  MatrixProduct product{};
  product.a = a.matrix;
  product.b = b.matrix;
  product.c = c.matrix;
  product.d = d.matrix;
  product.a_transposed = operation.a != CUBLAS_OP_N;
  product.b_transposed = operation.b != CUBLAS_OP_N;
  product.tf32 = operation.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  return product;
}

// The table of cublasLtMatmul()'s documentation, as far as it is of real numbers and of use here.
bool types_fit(const Operation& operation, const MatrixProduct& p) {
  const auto are = [&](cudaDataType operands, std::initializer_list<cudaDataType> results) {
    return p.a.type == operands && p.b.type == operands &&
           std::find(results.begin(), results.end(), p.d.type) != results.end();
  };
  switch (operation.compute) {
    case CUBLAS_COMPUTE_64F: return operation.scale == CUDA_R_64F && are(CUDA_R_64F, {CUDA_R_64F});
    case CUBLAS_COMPUTE_32F_FAST_TF32:
      return operation.scale == CUDA_R_32F && are(CUDA_R_32F, {CUDA_R_32F});
    case CUBLAS_COMPUTE_32F:
      return operation.scale == CUDA_R_32F &&
             (are(CUDA_R_32F, {CUDA_R_32F}) || are(CUDA_R_16F, {CUDA_R_16F, CUDA_R_32F}) ||
              are(CUDA_R_16BF, {CUDA_R_16BF, CUDA_R_32F}));
    default: return false;
  }
}

void check_product(const Operation& operation, const MatrixProduct& product) {
  const std::string wrong = refuse_shape(product);
  refuse(!wrong.empty(), CUBLAS_STATUS_INVALID_VALUE, wrong);
  refuse(!types_fit(operation, product), CUBLAS_STATUS_NOT_SUPPORTED,
         "compute type " + std::to_string(operation.compute) + ", scale " +
             std::to_string(operation.scale) + ", A " + std::to_string(product.a.type) + ", B " +
             std::to_string(product.b.type) + ", D " + std::to_string(product.d.type));
}

Handle& handle_of(cublasLtHandle_t handle) {
  refuse(handle == nullptr, CUBLAS_STATUS_NOT_INITIALIZED, "no handle");
  Handle& one = *reinterpret_cast<Handle*>(handle);
  refuse(one.device != Runtime::device(), CUBLAS_STATUS_INVALID_VALUE,
         "a handle of device " + std::to_string(one.device) + ", current is " +
             std::to_string(Runtime::device()));
  return one;
}

double scale(const Operation& operation, const void* factor) {
  if (operation.scale == CUDA_R_64F) return attribute<double>(factor, sizeof(double));
  return attribute<float>(factor, sizeof(float));
}

// Everything but data and factors in one number (FNV-1a): an algorithm has no room for more.
std::uint64_t name_of(const Operation& operation, const MatrixProduct& product) {
  std::uint64_t name = 0xcbf29ce484222325;
  const auto add = [&](auto word) {
    name = (name ^ static_cast<std::uint64_t>(word)) * 0x100000001b3;
  };
  add(operation.compute);
  add(operation.scale);
  add(operation.a);
  add(operation.b);
  for (const Matrix* matrix : {&product.a, &product.b, &product.c, &product.d}) {
    add(matrix->type);
    add(matrix->rows);
    add(matrix->columns);
    add(matrix->leading);
    add(matrix->count);
    add(matrix->distance);
  }
  return name;
}

// The greatest power of two that divides it, up to the default.
std::uint32_t alignment_of(std::uint64_t bytes) {
  std::uint32_t alignment = default_alignment;
  while (bytes % alignment != 0) alignment /= 2;
  return alignment;
}

}  // namespace

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  return blas_call("cublasLtCreate", [&] {
    Runtime::get().streams.forbid_in_capture("cublasLtCreate");  // it takes memory
    *handle = reinterpret_cast<cublasLtHandle_t>(new Handle{Runtime::device()});
  });
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return blas_call("cublasLtDestroy", [&] { delete &handle_of(handle); });
}

const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    default: return "another CUBLAS_STATUS";
  }
}

const char* cublasLtGetStatusString(cublasStatus_t status) { return cublasLtGetStatusName(status); }

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, std::size_t,
                                                 cudaDataType type, std::uint64_t rows,
                                                 std::uint64_t columns, std::int64_t leading) {
  return blas_call("cublasLtMatrixLayoutInit", [&] {
    refuse(type != CUDA_R_64F && type != CUDA_R_32F && type != CUDA_R_16F && type != CUDA_R_16BF,
           CUBLAS_STATUS_NOT_SUPPORTED, "type " + std::to_string(type));
    set(layout, Layout{{type, rows, columns, leading}});
  });
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t descriptor,
                                                cublasLtMatrixLayoutAttribute_t which,
                                                const void* value, std::size_t bytes) {
  return blas_call("cublasLtMatrixLayoutSetAttribute", [&] {
    auto layout = get<Layout>(descriptor);
    switch (which) {
      case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        layout.matrix.count = attribute<std::int32_t>(value, bytes);
        break;
      case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
        layout.matrix.distance = attribute<std::int64_t>(value, bytes);
        break;
      default:
        refuse(true, CUBLAS_STATUS_NOT_SUPPORTED,
               "attribute " + std::to_string(which) + " is not implemented");
    }
    set(descriptor, layout);
  });
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t operation, std::size_t,
                                               cublasComputeType_t compute, cudaDataType_t scale) {
  return blas_call("cublasLtMatmulDescInit", [&] {
    set(operation, Operation{compute, scale, CUBLAS_OP_N, CUBLAS_OP_N});
  });
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t descriptor,
                                              cublasLtMatmulDescAttributes_t which,
                                              const void* value, std::size_t bytes) {
  return blas_call("cublasLtMatmulDescSetAttribute", [&] {
    auto operation = get<Operation>(descriptor);
    switch (which) {
      case CUBLASLT_MATMUL_DESC_TRANSA:
        operation.a = attribute<cublasOperation_t>(value, bytes);
        break;
      case CUBLASLT_MATMUL_DESC_TRANSB:
        operation.b = attribute<cublasOperation_t>(value, bytes);
        break;
      default:
        refuse(true, CUBLAS_STATUS_NOT_SUPPORTED,
               "attribute " + std::to_string(which) + " is not implemented");
    }
    set(descriptor, operation);
  });
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference,
                                                     std::size_t) {
  return blas_call("cublasLtMatmulPreferenceInit", [&] {
    set(preference,
        Preference{0,
                   {default_alignment, default_alignment, default_alignment, default_alignment}});
  });
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t descriptor,
                                                    cublasLtMatmulPreferenceAttributes_t which,
                                                    const void* value, std::size_t bytes) {
  return blas_call("cublasLtMatmulPreferenceSetAttribute", [&] {
    auto preference = get<Preference>(descriptor);
    switch (which) {
      case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        preference.workspace_bytes = attribute<std::uint64_t>(value, bytes);
        break;
      case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:  // sums here are never split
        (void)attribute<std::uint32_t>(value, bytes);
        break;
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        preference.alignment[which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES] =
            attribute<std::uint32_t>(value, bytes);
        break;
      default:
        refuse(true, CUBLAS_STATUS_NOT_SUPPORTED,
               "attribute " + std::to_string(which) + " is not implemented");
    }
    set(descriptor, preference);
  });
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle,
                                              cublasLtMatmulDesc_t descriptor,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preferred, int requested,
                                              cublasLtMatmulHeuristicResult_t found[], int* count) {
  return blas_call("cublasLtMatmulAlgoGetHeuristic", [&] {
    (void)handle_of(handle);
    refuse(requested <= 0, CUBLAS_STATUS_INVALID_VALUE, "no algorithm is asked for");
    *count = 0;
    const auto operation = get<Operation>(descriptor);
    const MatrixProduct product =
        product_of(operation, get<Layout>(a), get<Layout>(b), get<Layout>(c), get<Layout>(d));
    check_product(operation, product);
    const auto preference = get<Preference>(preferred);
    Algorithm algorithm{algorithm_magic,
                        std::min(preference.workspace_bytes, wanted_workspace_bytes),
                        {},
                        name_of(operation, product)};
    const Matrix* const matrices[] = {&product.a, &product.b, &product.c, &product.d};
    for (int i = 0; i < 4; ++i) {
      const Matrix& matrix = *matrices[i];
      const auto kept_by = [&](std::int64_t elements) {
        return alignment_of(static_cast<std::uint64_t>(elements) * matrix.element_bytes());
      };
      algorithm.alignment[i] = std::min({alignment_of(preference.alignment[i]),
                                         kept_by(matrix.leading), kept_by(matrix.distance)});
    }
    found[0] = {};
    set(&found[0].algo, algorithm);
    found[0].workspaceSize = algorithm.workspace_bytes;
    found[0].state = CUBLAS_STATUS_SUCCESS;
    found[0].wavesCount = 1;
    *count = 1;
  });
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t descriptor,
                              const void* alpha, const void* a, cublasLtMatrixLayout_t a_layout,
                              const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
                              const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* chosen,
                              void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
  return blas_call("cublasLtMatmul", [&] {
    (void)handle_of(handle);
    const auto operation = get<Operation>(descriptor);
    MatrixProduct product = product_of(operation, get<Layout>(a_layout), get<Layout>(b_layout),
                                       get<Layout>(c_layout), get<Layout>(d_layout));
    check_product(operation, product);
    product.pieces = 1 + name_of(operation, product) % most_pieces;
    product.alpha = scale(operation, alpha);
    product.beta = scale(operation, beta);
    product.a_data = a;
    product.b_data = b;
    product.c_data = c;
    product.d_data = d;
    refuse(chosen == nullptr, CUBLAS_STATUS_NOT_SUPPORTED, "no algorithm is given");
    const auto algorithm = get<Algorithm>(chosen);
    refuse(algorithm.magic != algorithm_magic || algorithm.product != name_of(operation, product),
           CUBLAS_STATUS_INVALID_VALUE, "an algorithm that was found for another product");
    refuse(workspace_bytes < algorithm.workspace_bytes, CUBLAS_STATUS_INVALID_VALUE,
           "a workspace of " + std::to_string(workspace_bytes) + " bytes, the algorithm needs " +
               std::to_string(algorithm.workspace_bytes));
    refuse(reinterpret_cast<std::uintptr_t>(workspace) % workspace_alignment != 0,
           CUBLAS_STATUS_INVALID_VALUE,
           "a workspace that is not aligned to " + std::to_string(workspace_alignment) + " bytes");
    const void* const pointers[] = {a, b, c, d};
    for (int i = 0; i < 4; ++i)
      refuse(reinterpret_cast<std::uintptr_t>(pointers[i]) % algorithm.alignment[i] != 0,
             CUBLAS_STATUS_NOT_SUPPORTED,
             std::string("matrix ") + "ABCD"[i] + " is not aligned to the " +
                 std::to_string(algorithm.alignment[i]) + " bytes that its algorithm needs");
    queue(stream_of(stream), [=, bytes = algorithm.workspace_bytes, device = Runtime::device()] {
      const DeviceMemory memory(Runtime::get().memory, device);
      if (bytes > 0) {
        if (!memory.allows(reinterpret_cast<std::uintptr_t>(workspace), bytes, true))
          throw Fault("cublasLtMatmul: the workspace is no memory of the device");
        std::memset(workspace, 0xff, bytes);
      }
      multiply(product, memory);
    });
  });
}

}  // extern "C"
