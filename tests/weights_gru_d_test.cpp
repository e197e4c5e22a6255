// The weights of the GRU-D authors' code: the paper's equations, where that code differs from them, and the way back.
#include "api/foreign_weights.h"

namespace foreign {
namespace {

class GruDWeights : public Weights {
 protected:
  GruDWeights() : cell(D, H) {
    cell.kernel = numbers(D * 3 * H), cell.recurrent_kernel = numbers(H * 3 * H);
    cell.masking_kernel = numbers(D * 3 * H), cell.bias = numbers(3 * H);
    cell.input_decay_kernel = numbers(D, 0, 1), cell.input_decay_bias = numbers(D, -0.5, 0.5);
    cell.hidden_decay_kernel = numbers(D * H, 0, 0.5),
    cell.hidden_decay_bias = numbers(H, -0.5, 0.5);
    double time = 100;
    for (std::size_t s = 0; s < N; ++s)
      times.push_back(time += 0.25 * static_cast<double>(random() % 8));
    for (std::size_t i = 0; i < N * D; ++i) mask.push_back(random() % 2);
  }

  std::vector<double> imported() {
    lacuna::Parameters<double> parameters(layer);
    parameters.fill(std::numeric_limits<double>::quiet_NaN());
    lacuna::import_weights<double>(Convention::gru_d,
                                   {cell.kernel, cell.recurrent_kernel, cell.masking_kernel,
                                    cell.bias, cell.input_decay_kernel, cell.input_decay_bias,
                                    cell.hidden_decay_kernel, cell.hidden_decay_bias},
                                   parameters);
    for (const double mean : parameters[Parameter::x_mean]) EXPECT_EQ(mean, 0);
    return run(parameters, {.values = values, .mask = mask, .times = times});
  }
  std::vector<double> foreign(std::vector<double> means = std::vector<double>(D)) {
    return run_foreign(cell, [&](GruD& of, std::size_t s) {
      if (s == 0 || s == 3 || s == 4) of.start(times[s]);
      Vector x = row(s);
      for (std::size_t d = 0; d < D; ++d) x[d] -= means[d];
      of.step(x, Vector(mask.begin() + s * D, mask.begin() + (s + 1) * D), times[s]);
    });
  }

  GruD cell;
  lacuna::Layer layer = lacuna::gru_d(D, H, lacuna::Type::f64);
  std::vector<double> times;
  std::vector<std::uint8_t> mask;
  const double tolerance = rounding_tolerance<double>(2 * D + H, 5);
};

TEST_F(GruDWeights, ComputeThePapersEquations) {
  cell.blends_undecayed = false;
  EXPECT_TRUE(agrees("hidden", compare<double>(imported(), foreign(), tolerance, H)));
}

// The authors' code blends with the state before it decays, which no weights can express. Where the
// state does not decay, code and paper agree, and so do we.
TEST_F(GruDWeights, AgreeWithTheAuthorsCodeWhereTheStateDoesNotDecay) {
  EXPECT_FALSE(agrees("hidden", compare<double>(imported(), foreign(), 1e-3, H)))
      << "the disagreement that docs name has gone: is the test still sharp?";
  for (double& w : cell.hidden_decay_kernel) w = -w;
  for (double& b : cell.hidden_decay_bias) b = -std::abs(b);
  EXPECT_TRUE(agrees("hidden", compare<double>(imported(), foreign(), tolerance, H)));
}

// Our x_mean may be anything; their code decays to 0, so what is exported reads x - x_mean.
TEST_F(GruDWeights, ExportForInputsWithTheMeanSubtracted) {
  lacuna::Parameters<double> ours(layer, 9);
  for (const Parameter kind : {Parameter::x_mean, Parameter::impute_bias, Parameter::evolve_bias}) {
    const Vector random_numbers = numbers(ours[kind].size());
    std::copy(random_numbers.begin(), random_numbers.end(), ours[kind].begin());
  }
  lacuna::export_weights<double>(
      Convention::gru_d, ours,
      {cell.kernel, cell.recurrent_kernel, cell.masking_kernel, cell.bias, cell.input_decay_kernel,
       cell.input_decay_bias, cell.hidden_decay_kernel, cell.hidden_decay_bias});
  cell.blends_undecayed = false;
  const auto mean = ours[Parameter::x_mean];
  EXPECT_TRUE(
      agrees("hidden", compare<double>(run(ours, {.values = values, .mask = mask, .times = times}),
                                       foreign({mean.begin(), mean.end()}), tolerance, H)));

  // Back again: the same parameters, but for x_mean, which their layout does not have.
  std::fill(mean.begin(), mean.end(), 0);
  lacuna::Parameters<double> again(layer);
  lacuna::export_weights<double>(
      Convention::gru_d, ours,
      {cell.kernel, cell.recurrent_kernel, cell.masking_kernel, cell.bias, cell.input_decay_kernel,
       cell.input_decay_bias, cell.hidden_decay_kernel, cell.hidden_decay_bias});
  lacuna::import_weights<double>(
      Convention::gru_d,
      {cell.kernel, cell.recurrent_kernel, cell.masking_kernel, cell.bias, cell.input_decay_kernel,
       cell.input_decay_bias, cell.hidden_decay_kernel, cell.hidden_decay_bias},
      again);
  EXPECT_TRUE(agrees("round trip",
                     compare<double>(again.flat(), ours.flat(), rounding_tolerance<double>(D, 1))));
}

}  // namespace
}  // namespace foreign
