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

inline testing::AssertionResult refused(lacuna_status status, lacuna_status expected,
                                        const std::string& words) {
  const std::string message = lacuna_last_error();
  if (status == expected && message.find(words) != std::string::npos)
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << lacuna_status_name(status) << ": " << message;
}

}  // namespace support
