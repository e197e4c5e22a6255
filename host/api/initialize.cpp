// lacuna_layer_initialize: the customary random start. Each number is a function of (seed, tensor,
// index) alone, so it does not depend on which other parameters a layer has, nor on a library's
// random engine.
#include <cmath>

#include "host/api/arrays.h"
#include "host/api/guard.h"
#include "host/api/layer.h"

namespace lacuna::api {
namespace {

// Steele, Lea & Flood 2014 (SplitMix64): a step by the golden ratio and a mixer of full avalanche.
std::uint64_t mix(std::uint64_t bits) {
  bits += 0x9e3779b97f4a7c15u;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
  return bits ^ (bits >> 31);
}

// Uniform in [0, 1). 24 bits, so that float and double layers start from the same numbers.
double uniform(std::uint64_t seed, lacuna_parameter kind, std::int64_t index) {
  const std::uint64_t stream = mix(seed ^ mix(static_cast<std::uint64_t>(kind)));
  return static_cast<double>(mix(stream + static_cast<std::uint64_t>(index)) >> 40) * 0x1p-24;
}

// The x with softplus(x) = rate.
double inverse_softplus(double rate) { return std::log(std::expm1(rate)); }

double start(const lacuna_layer& layer, lacuna_parameter kind, double u) {
  const double reach = 1 / std::sqrt(static_cast<double>(layer.hidden));
  const auto relax_rate = [u] { return inverse_softplus(0.01 * std::pow(100.0, u)); };
  switch (kind) {
    case LACUNA_WEIGHTS_X:
    case LACUNA_WEIGHTS_H:
    case LACUNA_BIAS:
    case LACUNA_BIAS_HN:
    case LACUNA_PROJECTION: return reach * (2 * u - 1);
    case LACUNA_IMPUTE_WEIGHT: return layer.impute == LACUNA_IMPUTE_RELAX ? relax_rate() : u;
    case LACUNA_EVOLVE_WEIGHT:
      return layer.evolve == LACUNA_EVOLVE_RELAX ? relax_rate() : reach * u;
    case LACUNA_NORM_GAIN_X:
    case LACUNA_NORM_GAIN_H:
    case LACUNA_NORM_GAIN_C: return 1;
    default: return 0;
  }
}

template <class Real>
void initialize(const lacuna_layer& layer, std::uint64_t seed, Real* flat) {
  for (int number = 0; number < LACUNA_PARAMETERS; ++number) {
    const auto kind = static_cast<lacuna_parameter>(number);
    const std::int64_t count = parameter_shape(layer, kind).count();
    for (std::int64_t i = 0; i < count; ++i)
      *flat++ = static_cast<Real>(start(layer, kind, uniform(seed, kind, i)));
  }
}

}  // namespace
}  // namespace lacuna::api

namespace api = lacuna::api;

extern "C" lacuna_status lacuna_layer_initialize(const lacuna_layer* layer, uint64_t seed,
                                                 void* parameters) {
  return api::guarded([&] {
    api::checked(layer);
    const std::int64_t count = api::parameter_offset(*layer, LACUNA_PARAMETERS);
    api::LayerArrays arrays;
    arrays.output("parameters", parameters,
                  {.rows = count, .element = lacuna::wide_size_of(layer->type)});
    arrays.check();
    if (layer->type == LACUNA_F64)
      api::initialize(*layer, seed, static_cast<double*>(parameters));
    else
      api::initialize(*layer, seed, static_cast<float*>(parameters));
  });
}
