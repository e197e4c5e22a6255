// What tests of the CUDA backend share.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "support/library_run.h"

namespace support {

inline ContextHandle make_context_of(lacuna_backend backend,
                                     const lacuna_allocator& allocator = {}) {
  lacuna_context_options options{};
  options.backend = backend;
  options.allocator = allocator;
  lacuna_context* context = nullptr;
  must(lacuna_context_create(&options, &context));
  return ContextHandle(context);
}

// What making a plan in this regime comes to.
inline lacuna_status plan_status(lacuna_context* context, const lacuna_layer& layer,
                                 lacuna_regime regime, lacuna_capacity capacity) {
  lacuna_plan_options options{};
  options.regime = regime;
  lacuna_plan* plan = nullptr;
  const lacuna_status status = lacuna_plan_create(context, &layer, &capacity, &options, &plan);
  lacuna_plan_destroy(plan);
  return status;
}

// Does this device serve a small fp32 layer so? Of GPUs, only those of compute capability 9.0 and newer have clusters.
inline bool serves(lacuna_regime regime) {
  const ContextHandle context = make_context_of(LACUNA_BACKEND_CUDA);
  const lacuna_layer layer = library_layer(parse_case("rnn_f32_n1_h8_len1_seed1"));
  return plan_status(context.get(), layer, regime, {10, 2, 0}) == LACUNA_OK;
}

// Has a block of this GPU too little shared memory for the layer? All that tests ask for fits where it has as much as an
// H100's.
inline bool is_too_large([[maybe_unused]] const lacuna_layer& layer,
                         [[maybe_unused]] lacuna_regime regime) {
#ifdef LACUNA_TEST_ON_DEVICE
  int bytes = 0;
  if (cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0) != cudaSuccess ||
      bytes >= 227 * 1024)
    return false;
  const ContextHandle context = make_context_of(LACUNA_BACKEND_CUDA);
  return plan_status(context.get(), layer, regime, {10, 2, 0}) == LACUNA_UNSUPPORTED &&
         std::string(lacuna_last_error()).find("of which a block has") != std::string::npos;
#else
  return false;
#endif
}

inline testing::AssertionResult refused(lacuna_status status, lacuna_status expected,
                                        const std::string& words) {
  const std::string message = lacuna_last_error();
  if (status == expected && message.find(words) != std::string::npos)
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << lacuna_status_name(status) << ": " << message;
}

}  // namespace support
