// What tests of other libraries' weights share: a batch, and an imported layer's states beside those of the library's own
// equations.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <random>

#include "api/foreign_cells.h"
#include "lacuna/lacuna.hpp"
#include "support/compare.h"
#include "support/convert.h"
#include "support/expect.h"

namespace foreign {

using lacuna::Convention;
using lacuna::Parameter;
using support::agrees;
using support::compare;
using support::rounding_tolerance;

inline constexpr std::size_t D = 3, H = 5;
inline const std::vector<std::int64_t> offsets{0, 3, 3, 4, 9};
inline constexpr std::size_t N = 9;

class Weights : public testing::Test {
 protected:
  Vector numbers(std::size_t count, double low = -1, double high = 1) {
    Vector all(count);
    for (double& number : all) number = low + (high - low) * random() / 4294967296.0;
    return all;
  }

  std::vector<double> run(const lacuna::Parameters<double>& parameters,
                          lacuna::Batch<double> batch) {
    lacuna::Plan plan(context, parameters.layer(), {.tokens = N, .sequences = 4});
    std::vector<double> hidden(N * H);
    batch.offsets = offsets;
    plan.forward(parameters, batch, {.hidden = hidden});
    return hidden;
  }

  // What the foreign cell gives for the same rows, one sequence after the other.
  template <class Cell, class Step>
  std::vector<double> run_foreign(const Cell& fresh, Step step) {
    std::vector<double> hidden;
    for (std::size_t b = 0; b + 1 < offsets.size(); ++b) {
      Cell cell = fresh;
      for (auto s = static_cast<std::size_t>(offsets[b]);
           s < static_cast<std::size_t>(offsets[b + 1]); ++s) {
        step(cell, s);
        hidden.insert(hidden.end(), cell.h.begin(), cell.h.end());
      }
    }
    return hidden;
  }
  Vector row(std::size_t s) const {
    return Vector(values.begin() + s * D, values.begin() + (s + 1) * D);
  }

  // Imports `tensors`, runs, and compares with `step`, which takes the foreign cell one row on.
  template <class Cell>
  void check(lacuna::Layer layer, Convention convention,
             std::initializer_list<std::span<const double>> tensors, const Cell& cell,
             const std::function<void(Cell&, const Vector&)>& step) {
    lacuna::Parameters<double> parameters(layer);
    parameters.fill(std::numeric_limits<double>::quiet_NaN());
    lacuna::import_weights<double>(convention, tensors, parameters);
    const auto expected = run_foreign(cell, [&](Cell& of, std::size_t s) { step(of, row(s)); });
    EXPECT_TRUE(agrees("hidden", compare<double>(run(parameters, {.values = values}), expected,
                                                 rounding_tolerance<double>(D + H, 5), H)));
    check_round_trip(convention, parameters, tensors);
  }

  // Export then import gives the same parameters to the last bit; the exported tensors are ours,
  // one by one.
  void check_round_trip(Convention convention, const lacuna::Parameters<double>& parameters,
                        std::initializer_list<std::span<const double>> like) {
    std::vector<Vector> exported;
    for (const auto tensor : like)
      exported.emplace_back(tensor.size(), std::numeric_limits<double>::quiet_NaN());
    auto& e = exported;
    lacuna::Parameters<double> again(parameters.layer());
    if (like.size() == 3) {
      lacuna::export_weights<double>(convention, parameters, {e[0], e[1], e[2]});
      lacuna::import_weights<double>(convention, {e[0], e[1], e[2]}, again);
    } else {
      lacuna::export_weights<double>(convention, parameters, {e[0], e[1], e[2], e[3]});
      lacuna::import_weights<double>(convention, {e[0], e[1], e[2], e[3]}, again);
    }
    EXPECT_TRUE(
        agrees("round trip", support::compare_bits<double>(again.flat(), parameters.flat())));
    for (std::size_t i = 0; i < 2; ++i)  // the matrices; biases may be split in other ways
      EXPECT_TRUE(std::equal(exported[i].begin(), exported[i].end(), like.begin()[i].begin()));
  }

  std::mt19937 random{11};
  lacuna::Context context = lacuna::Context::cpu({.threads = 1});
  Vector values = numbers(N * D);
};

inline lacuna::Layer layer_of(lacuna::Cell cell) {
  return {.cell = cell,
          .features = static_cast<std::int64_t>(D),
          .hidden = static_cast<std::int64_t>(H),
          .type = lacuna::Type::f64};
}

}  // namespace foreign
