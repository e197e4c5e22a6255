// Lacuna for C++20: fused recurrent layers for irregular time series, over the C ABI in lacuna.h.
// Header-only, so no C++ type crosses the library's border. Handles are RAII, arrays are std::span,
// errors are exceptions.
//
//   auto context = lacuna::Context::best();
//   auto layer = lacuna::gru_d(/*features*/ 41, /*hidden*/ 64);
//   lacuna::Plan plan(context, layer, {.tokens = 60'000, .sequences = 512});
//   lacuna::Parameters<float> parameters(layer, /*seed*/ 1);
//   plan.forward(parameters, {.offsets = offsets, .values = values, .times = times},
//                {.final_hidden = last});
//
// An empty span means "not given" or "not wanted". A span of a wrong size throws lacuna::Error,
// which names the argument, its size and the size expected, before the library is called and before
// anything is written.
//
// On CUDA, parameters, gradients and the optimiser lie in the host's memory, so every call copies
// weights and waits; what to do where that costs too much stands in cpp/training.hpp.
#pragma once

#include "lacuna/cpp/allocators.hpp"
#include "lacuna/cpp/batch.hpp"
#include "lacuna/cpp/context.hpp"
#include "lacuna/cpp/error.hpp"
#include "lacuna/cpp/layer.hpp"
#include "lacuna/cpp/number.hpp"
#include "lacuna/cpp/padded.hpp"
#include "lacuna/cpp/parameters.hpp"
#include "lacuna/cpp/plan.hpp"
#include "lacuna/cpp/stack.hpp"
#include "lacuna/cpp/training.hpp"
#include "lacuna/cpp/weights.hpp"
#include "lacuna/lacuna.h"
