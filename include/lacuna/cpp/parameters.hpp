// A layer's parameters and their gradients: one flat, aligned array each, so that an optimiser sees
// one array, with a named span per tensor, so that people see W_x. Of a layer of 16 bits, which is
// Parameters<Half> or Parameters<BFloat16>, they are floats. They lie in the host's memory: what that
// costs on CUDA stands in training.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <new>
#include <vector>

#include "lacuna/cpp/layer.hpp"

namespace lacuna {

enum class Parameter {
  weights_x = LACUNA_WEIGHTS_X,          // W_x    [G H, K]
  weights_h = LACUNA_WEIGHTS_H,          // W_h    [G H, R]
  bias = LACUNA_BIAS,                    // b      [G H]
  bias_hn = LACUNA_BIAS_HN,              // b_hn   [H]
  x_mean = LACUNA_X_MEAN,                // x_mean [D]
  impute_weight = LACUNA_IMPUTE_WEIGHT,  // w      [D]
  impute_bias = LACUNA_IMPUTE_BIAS,      // b      [D]
  evolve_weight = LACUNA_EVOLVE_WEIGHT,  // W_g [R, D], w [R] or lambda [S]
  evolve_bias = LACUNA_EVOLVE_BIAS,      // b      [R]
  evolve_target = LACUNA_EVOLVE_TARGET,  // s_inf  [S]
  norm_gain_x = LACUNA_NORM_GAIN_X,      // gain_x [G H]
  norm_gain_h = LACUNA_NORM_GAIN_H,      // gain_h [G H]
  norm_gain_c = LACUNA_NORM_GAIN_C,      // gain_c [H]
  norm_bias_c = LACUNA_NORM_BIAS_C,      // b_c    [H]
  projection = LACUNA_PROJECTION,        // W_p    [P, H]
};
inline constexpr int parameter_kinds = LACUNA_PARAMETERS;

struct ParameterInfo {
  std::string_view name;
  std::int64_t rows = 0,
               columns = 0;  // columns 1 for a vector; both 0 when the layer does not have it
  std::int64_t offset = 0;   // in the flat array
  std::size_t count() const { return static_cast<std::size_t>(rows * columns); }
};

inline ParameterInfo parameter_info(const Layer& layer, Parameter kind) {
  const lacuna_layer c = layer.c();
  lacuna_parameter_info info{};
  detail::check(lacuna_layer_parameter(&c, static_cast<lacuna_parameter>(kind), &info));
  return {.name = info.name, .rows = info.rows, .columns = info.columns, .offset = info.offset};
}

// 64 bytes: a cache line and the widest vector register.
template <class Element>
struct AlignedAllocator {
  using value_type = Element;
  static constexpr std::align_val_t alignment{64};
  AlignedAllocator() = default;
  template <class Other>
  AlignedAllocator(const AlignedAllocator<Other>&) noexcept {}
  Element* allocate(std::size_t count) {
    if (count > static_cast<std::size_t>(-1) / sizeof(Element)) throw std::bad_array_new_length();
    return static_cast<Element*>(::operator new(count * sizeof(Element), alignment));
  }
  void deallocate(Element* block, std::size_t) noexcept { ::operator delete(block, alignment); }
  bool operator==(const AlignedAllocator&) const = default;
};
template <class Element>
using AlignedVector = std::vector<Element, AlignedAllocator<Element>>;

namespace detail {

// What Parameters and Gradients share: the flat array and where each tensor lies in it.
template <RealNumber Real>
class TensorTable {
 public:
  explicit TensorTable(const Layer& layer) : layer_(layer) {
    if (layer.type != type_of<Real>)
      refuse("layer.type: " + words(layer.type) + ", expected " + words(type_of<Real>) +
             ", as the array's own type says");
    const lacuna_layer c = layer.c();
    std::int64_t count = 0;
    check(lacuna_layer_parameter_count(&c, &count));
    for (std::size_t kind = 0; kind < info_.size(); ++kind)
      info_[kind] = parameter_info(layer, static_cast<Parameter>(kind));
    flat_.resize(static_cast<std::size_t>(count));
  }

  const Layer& layer() const { return layer_; }
  const ParameterInfo& info(Parameter kind) const { return info_[static_cast<std::size_t>(kind)]; }
  // Whether the layer has this parameter.
  bool has(Parameter kind) const { return info(kind).rows > 0; }

  // All tensors back to back, in the order of Parameter.
  std::span<Wide<Real>> flat() { return flat_; }
  std::span<const Wide<Real>> flat() const { return flat_; }
  std::size_t count() const { return flat_.size(); }

  // One tensor, row-major; empty when the layer does not have it.
  std::span<Wide<Real>> operator[](Parameter kind) {
    return has(kind) && !flat_.empty() ? flat().subspan(offset(kind), info(kind).count())
                                       : std::span<Wide<Real>>();
  }
  std::span<const Wide<Real>> operator[](Parameter kind) const {
    return has(kind) && !flat_.empty() ? flat().subspan(offset(kind), info(kind).count())
                                       : std::span<const Wide<Real>>();
  }

  // Throws when the numbers have been moved elsewhere.
  void check_not_moved(std::string_view argument) const {
    if (flat_.empty())
      refuse(std::string(argument) + ": 0 elements, expected such as have not been moved from");
  }

  void fill(Wide<Real> value) { std::fill(flat_.begin(), flat_.end(), value); }

 private:
  std::size_t offset(Parameter kind) const { return static_cast<std::size_t>(info(kind).offset); }

  Layer layer_;
  std::array<ParameterInfo, parameter_kinds> info_;
  AlignedVector<Wide<Real>> flat_;
};

}  // namespace detail

template <RealNumber Real>
class Parameters : public detail::TensorTable<Real> {
 public:
  // All zero.
  explicit Parameters(const Layer& layer) : detail::TensorTable<Real>(layer) {}
  // The customary random start; the same seed gives the same numbers everywhere.
  Parameters(const Layer& layer, std::uint64_t seed) : Parameters(layer) {
    const lacuna_layer c = layer.c();
    detail::check(lacuna_layer_initialize(&c, seed, this->flat().data()));
  }

  // A frozen parameter gets no gradient and Adam leaves it alone; for example x_mean, set to the
  // training mean.
  void freeze(Parameter kind, bool frozen = true) {
    frozen_[static_cast<std::size_t>(kind)] = frozen;
  }
  bool frozen(Parameter kind) const { return frozen_[static_cast<std::size_t>(kind)]; }

  // Calls f(offset, count) for each stretch of flat() in which nothing is frozen.
  template <class F>
  void each_unfrozen(F f) const {
    std::size_t begin = 0, end = 0;
    for (int kind = 0; kind < parameter_kinds; ++kind) {
      const auto parameter = static_cast<Parameter>(kind);
      if (!this->has(parameter) || frozen(parameter)) continue;
      const ParameterInfo& tensor = this->info(parameter);
      const auto offset = static_cast<std::size_t>(tensor.offset);
      if (offset != end) {
        if (end > begin) f(begin, end - begin);
        begin = offset;
      }
      end = offset + tensor.count();
    }
    if (end > begin) f(begin, end - begin);
  }

  lacuna_parameters c() const {
    this->check_not_moved("parameters");
    lacuna_parameters c{};
    for (int kind = 0; kind < parameter_kinds; ++kind)
      if (this->has(static_cast<Parameter>(kind)))
        c.tensor[kind] = (*this)[static_cast<Parameter>(kind)].data();
    return c;
  }

 private:
  std::array<bool, parameter_kinds> frozen_{};
};

// dL/d(parameters). Backward adds to them: set them to 0 before the first batch of a step.
template <RealNumber Real>
class Gradients : public detail::TensorTable<Real> {
 public:
  explicit Gradients(const Layer& layer) : detail::TensorTable<Real>(layer) {}
  explicit Gradients(const Parameters<Real>& parameters) : Gradients(parameters.layer()) {}

  void set_zero() { this->fill(0); }

  // Null for what `parameters` has frozen.
  lacuna_parameter_gradients c(const Parameters<Real>& parameters) {
    this->check_not_moved("gradients");
    detail::check_same("gradients", this->layer(), "the parameters'", parameters.layer());
    lacuna_parameter_gradients c{};
    for (int kind = 0; kind < parameter_kinds; ++kind) {
      const auto parameter = static_cast<Parameter>(kind);
      if (this->has(parameter) && !parameters.frozen(parameter))
        c.tensor[kind] = (*this)[parameter].data();
    }
    return c;
  }
};

}  // namespace lacuna
