// Layers by name, the table of their parameters, and their random start.
#include <gtest/gtest.h>

#include <cmath>

#include "lacuna/lacuna.hpp"

namespace {

using lacuna::Cell;
using lacuna::Evolve;
using lacuna::Impute;
using lacuna::Layer;
using lacuna::Parameter;
using lacuna::Parameters;

std::string shape(const Layer& layer, Parameter kind) {
  const auto info = lacuna::parameter_info(layer, kind);
  return std::to_string(info.rows) + "x" + std::to_string(info.columns);
}

TEST(LayerApi, EveryNamedModelIsALegalLayer) {
  for (const auto& make : {lacuna::rnn, lacuna::lstm, lacuna::gru, lacuna::gru_with_gaps,
                           lacuna::rnn_decay, lacuna::gru_decay, lacuna::lstm_decay, lacuna::gru_d,
                           lacuna::gru_d_homeostatic, lacuna::latent_ode_euler}) {
    const Layer layer = make(41, 64, lacuna::Type::f64);
    EXPECT_NO_THROW(layer.check());
    EXPECT_EQ(layer.features, 41);
    EXPECT_EQ(layer.hidden, 64);
    EXPECT_EQ(layer.type, lacuna::Type::f64);
    EXPECT_EQ(make(41, 64, lacuna::Type::f32).type, lacuna::Type::f32);
  }
}

TEST(LayerApi, ModelsAreTheChoicesOfTheTable) {
  const Layer d = lacuna::gru_d(41, 64);
  EXPECT_EQ(d, (Layer{.cell = Cell::gru_reset_before,
                      .impute = Impute::decay,
                      .evolve = Evolve::decay,
                      .features = 41,
                      .hidden = 64,
                      .mask_input = true}));
  const Layer homeostatic = lacuna::gru_d_homeostatic(41, 64);
  EXPECT_EQ(homeostatic.impute, Impute::relax);
  EXPECT_EQ(homeostatic.evolve, Evolve::relax);
  EXPECT_EQ(homeostatic.empty_rows, lacuna::EmptyRows::evolve_only);
  EXPECT_EQ(lacuna::lstm_decay(2, 3).cell, Cell::lstm);
  EXPECT_EQ(lacuna::lstm_decay(2, 3).evolve, Evolve::decay_step);
  EXPECT_EQ(lacuna::latent_ode_euler(2, 3).cell, Cell::rnn_euler);
}

TEST(LayerApi, InputWidth) {
  EXPECT_EQ(lacuna::gru(41, 64).input_width(), 41);
  EXPECT_EQ(lacuna::gru_d(41, 64).input_width(), 82);
  EXPECT_EQ(lacuna::gru_with_gaps(41, 64).input_width(), 83);
}

TEST(LayerApi, ShapesOfParameters) {
  const Layer gru_d = lacuna::gru_d(3, 5);
  EXPECT_EQ(shape(gru_d, Parameter::weights_x), "15x6");
  EXPECT_EQ(shape(gru_d, Parameter::weights_h), "15x5");
  EXPECT_EQ(shape(gru_d, Parameter::bias), "15x1");
  EXPECT_EQ(shape(gru_d, Parameter::bias_hn), "0x0");
  EXPECT_EQ(shape(gru_d, Parameter::x_mean), "3x1");
  EXPECT_EQ(shape(gru_d, Parameter::impute_weight), "3x1");
  EXPECT_EQ(shape(gru_d, Parameter::impute_bias), "3x1");
  EXPECT_EQ(shape(gru_d, Parameter::evolve_weight), "5x3");
  EXPECT_EQ(shape(gru_d, Parameter::evolve_bias), "5x1");
  EXPECT_EQ(shape(gru_d, Parameter::evolve_target), "0x0");
  const Layer lstm{.cell = Cell::lstm,
                   .impute = Impute::relax,
                   .evolve = Evolve::relax,
                   .features = 3,
                   .hidden = 5};
  EXPECT_EQ(shape(lstm, Parameter::weights_x), "20x3");
  EXPECT_EQ(shape(lstm, Parameter::impute_bias), "0x0");
  EXPECT_EQ(shape(lstm, Parameter::evolve_weight), "10x1");
  EXPECT_EQ(shape(lstm, Parameter::evolve_target), "10x1");
  EXPECT_EQ(shape(lacuna::gru_decay(3, 5), Parameter::bias_hn), "5x1");
  EXPECT_EQ(shape(lacuna::gru_decay(3, 5), Parameter::evolve_weight), "5x1");
  EXPECT_EQ(shape(lacuna::gru_decay(3, 5), Parameter::impute_weight), "0x0");
  EXPECT_EQ(shape(lacuna::rnn(3, 5), Parameter::x_mean), "0x0");
  Layer normalised = lacuna::lstm(3, 5);
  EXPECT_EQ(shape(normalised, Parameter::norm_gain_x), "0x0");
  normalised.layer_norm = true;
  EXPECT_EQ(shape(normalised, Parameter::norm_gain_x), "20x1");
  EXPECT_EQ(shape(normalised, Parameter::norm_gain_h), "20x1");
  EXPECT_EQ(shape(normalised, Parameter::norm_gain_c), "5x1");
  EXPECT_EQ(shape(normalised, Parameter::norm_bias_c), "5x1");
  normalised.cell = Cell::gru;
  EXPECT_EQ(shape(normalised, Parameter::norm_gain_h), "15x1");
  EXPECT_EQ(shape(normalised, Parameter::norm_gain_c), "0x0");
}

TEST(LayerApi, GainsStartAtOne) {
  Layer layer = lacuna::lstm(3, 5);
  layer.layer_norm = true;
  const Parameters<float> parameters(layer, 1);
  for (const Parameter gain :
       {Parameter::norm_gain_x, Parameter::norm_gain_h, Parameter::norm_gain_c})
    for (const float number : parameters[gain]) EXPECT_EQ(number, 1);
  for (const float number : parameters[Parameter::norm_bias_c]) EXPECT_EQ(number, 0);
}

TEST(LayerApi, ParametersLieBackToBackInOneAlignedArray) {
  for (const Layer& layer :
       {lacuna::gru_d(3, 5), lacuna::lstm_decay(4, 7), lacuna::gru_d_homeostatic(2, 3)}) {
    Parameters<float> parameters(layer);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(parameters.flat().data()) % 64, 0u);
    std::size_t end = 0;
    for (int kind = 0; kind < lacuna::parameter_kinds; ++kind) {
      const auto parameter = static_cast<Parameter>(kind);
      EXPECT_EQ(parameters.has(parameter), !parameters[parameter].empty());
      if (!parameters.has(parameter)) continue;
      EXPECT_EQ(parameters[parameter].data(), parameters.flat().data() + end);
      end += parameters[parameter].size();
    }
    EXPECT_EQ(end, parameters.count());
  }
}

TEST(LayerApi, NamesOfParameters) {
  const char* const names[] = {"weights_x",   "weights_h",     "bias",        "bias_hn",
                               "x_mean",      "impute_weight", "impute_bias", "evolve_weight",
                               "evolve_bias", "evolve_target", "norm_gain_x", "norm_gain_h",
                               "norm_gain_c", "norm_bias_c",   "projection"};
  for (int kind = 0; kind < lacuna::parameter_kinds; ++kind)
    EXPECT_EQ(lacuna::parameter_info(lacuna::gru(1, 1), static_cast<Parameter>(kind)).name,
              names[kind]);
}

// ---- The random start ----

TEST(LayerApi, TheStartKeepsItsRangesAndFillsThem) {
  const auto check = [](std::span<const double> values, double low, double high) {
    ASSERT_FALSE(values.empty());
    double least = values[0], most = values[0];
    for (const double value : values) least = std::min(least, value), most = std::max(most, value);
    EXPECT_GE(least, low);
    EXPECT_LE(most, high);
    if (high > low && values.size() > 50) {
      EXPECT_LT(least, low + 0.1 * (high - low));
      EXPECT_GT(most, high - 0.1 * (high - low));
    }
  };
  const double reach = 1 / std::sqrt(64.0);
  const Parameters<double> paper(lacuna::gru_d(100, 64, lacuna::Type::f64), 1);
  check(paper[Parameter::weights_x], -reach, reach);
  check(paper[Parameter::weights_h], -reach, reach);
  check(paper[Parameter::bias], -reach, reach);
  check(paper[Parameter::x_mean], 0, 0);
  check(paper[Parameter::impute_weight], 0, 1);
  check(paper[Parameter::impute_bias], 0, 0);
  check(paper[Parameter::evolve_weight], 0, reach);
  check(paper[Parameter::evolve_bias], 0, 0);
  const Parameters<double> homeostatic(lacuna::gru_d_homeostatic(100, 64, lacuna::Type::f64), 1);
  check(homeostatic[Parameter::bias_hn], -reach, reach);
  check(homeostatic[Parameter::evolve_target], 0, 0);
  for (const Parameter kind : {Parameter::impute_weight, Parameter::evolve_weight}) {
    std::vector<double> log_rates;
    for (const double lambda : homeostatic[kind])
      log_rates.push_back(std::log(std::log1p(std::exp(lambda))));
    check(log_rates, std::log(0.01) - 1e-12, std::log(1.0) + 1e-12);
  }
}

TEST(LayerApi, TheSameSeedGivesTheSameNumbers) {
  const Parameters<float> first(lacuna::gru_d(7, 9), 42), again(lacuna::gru_d(7, 9), 42),
      other(lacuna::gru_d(7, 9), 43);
  EXPECT_TRUE(std::equal(first.flat().begin(), first.flat().end(), again.flat().begin()));
  EXPECT_FALSE(std::equal(first.flat().begin(), first.flat().end(), other.flat().begin()));
  // In either type, and whatever other parameters the layer has.
  const Parameters<double> wide(lacuna::gru_d(7, 9, lacuna::Type::f64), 42);
  for (std::size_t i = 0; i < first.count(); ++i)
    EXPECT_EQ(first.flat()[i], static_cast<float>(wide.flat()[i]));
  Layer plain = lacuna::gru_d(7, 9);
  plain.impute = Impute::mean;
  const Parameters<float> shared(plain, 42);
  EXPECT_TRUE(std::equal(first[Parameter::evolve_weight].begin(),
                         first[Parameter::evolve_weight].end(),
                         shared[Parameter::evolve_weight].begin()));
  // Frozen in time: a change here would change every experiment with a seed.
  EXPECT_FLOAT_EQ(first[Parameter::weights_x][0], 0.136543468f);
}

TEST(LayerApi, TypesMustFit) {
  EXPECT_THROW(Parameters<double>(lacuna::gru_d(3, 4)), lacuna::Error);
  EXPECT_THROW(Parameters<float>(lacuna::gru_d(3, 4, lacuna::Type::f64)), lacuna::Error);
  EXPECT_THROW(Parameters<float>(lacuna::gru_d(3, 4, lacuna::Type::f16)), lacuna::Error);
  EXPECT_THROW(Parameters<float>(lacuna::gru_d(0, 4)), lacuna::Error);
}

}  // namespace
