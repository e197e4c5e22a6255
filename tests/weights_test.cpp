// Other libraries' weights: what an imported layer computes against the library's own equations,
// round trips, and PyTorch's own outputs and gradients as stored numbers.
#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "api/foreign_cells.h"
#include "lacuna/lacuna.hpp"
#include "support/compare.h"
#include "support/convert.h"
#include "support/expect.h"
#include "support/vectors.h"

namespace {

using foreign::Vector;
using lacuna::Convention;
using lacuna::Parameter;
using support::agrees;
using support::compare;
using support::rounding_tolerance;

constexpr std::size_t D = 3, H = 5;
const std::vector<std::int64_t> offsets{0, 3, 3, 4, 9};
constexpr std::size_t N = 9;

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
    exported.resize(LACUNA_FOREIGN_TENSORS);
    auto& e = exported;
    const auto count = like.size();
    lacuna::Parameters<double> again(parameters.layer());
    if (count == 3) {
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

lacuna::Layer layer_of(lacuna::Cell cell) {
  return {.cell = cell,
          .features = static_cast<std::int64_t>(D),
          .hidden = static_cast<std::int64_t>(H),
          .type = lacuna::Type::f64};
}

// ---- PyTorch ----

TEST_F(Weights, PyTorch) {
  const auto cell_of = [&](std::size_t gates) {
    foreign::Torch cell(H);
    cell.weight_ih = numbers(gates * H * D), cell.weight_hh = numbers(gates * H * H);
    cell.bias_ih = numbers(gates * H), cell.bias_hh = numbers(gates * H);
    return cell;
  };
  const auto check_cell = [&](lacuna::Cell cell, const foreign::Torch& torch, auto step) {
    SCOPED_TRACE(static_cast<int>(cell));
    check<foreign::Torch>(layer_of(cell), Convention::pytorch,
                          {torch.weight_ih, torch.weight_hh, torch.bias_ih, torch.bias_hh}, torch,
                          step);
  };
  check_cell(lacuna::Cell::lstm, cell_of(4),
             [](foreign::Torch& cell, const Vector& x) { cell.lstm(x); });
  check_cell(lacuna::Cell::gru, cell_of(3),
             [](foreign::Torch& cell, const Vector& x) { cell.gru(x); });
  check_cell(lacuna::Cell::rnn_tanh, cell_of(1),
             [](foreign::Torch& cell, const Vector& x) { cell.rnn(x, false); });
  check_cell(lacuna::Cell::rnn_relu, cell_of(1),
             [](foreign::Torch& cell, const Vector& x) { cell.rnn(x, true); });
}

// Stored numbers show that the import is right; back it gives the same tensors.
TEST_F(Weights, PyTorchProjection) {
  constexpr std::size_t P = 2;
  lacuna::Layer layer = layer_of(lacuna::Cell::lstm);
  layer.projection = P;
  const Vector ih = numbers(4 * H * D), hh = numbers(4 * H * P), bias = numbers(4 * H),
               hr = numbers(P * H);
  lacuna::Parameters<double> parameters(layer);
  parameters.fill(std::numeric_limits<double>::quiet_NaN());
  lacuna::import_weights<double>(Convention::pytorch, {ih, hh, bias, {}, hr}, parameters);
  Vector ih_back(ih.size()), hh_back(hh.size()), bias_back(bias.size()), hr_back(hr.size());
  lacuna::export_weights<double>(Convention::pytorch, parameters,
                                 {ih_back, hh_back, bias_back, {}, hr_back});
  EXPECT_EQ(ih_back, ih);
  EXPECT_EQ(hh_back, hh);
  EXPECT_EQ(bias_back, bias);
  EXPECT_EQ(hr_back, hr);
}

TEST_F(Weights, PyTorchWithoutBiases) {
  foreign::Torch cell(H);
  cell.weight_ih = numbers(3 * H * D), cell.weight_hh = numbers(3 * H * H);
  lacuna::Parameters<double> parameters(layer_of(lacuna::Cell::gru), 3);
  lacuna::import_weights<double>(Convention::pytorch, {cell.weight_ih, cell.weight_hh}, parameters);
  cell.bias_ih = cell.bias_hh = Vector(3 * H);
  const auto expected =
      run_foreign(cell, [&](foreign::Torch& of, std::size_t s) { of.gru(row(s)); });
  EXPECT_TRUE(agrees("hidden", compare<double>(run(parameters, {.values = values}), expected,
                                               rounding_tolerance<double>(D + H, 5), H)));
}

// ---- Keras ----

TEST_F(Weights, Keras) {
  const auto cell_of = [&](std::size_t gates, std::size_t bias_rows) {
    foreign::Keras cell(H);
    cell.kernel = numbers(D * gates * H), cell.recurrent_kernel = numbers(H * gates * H);
    cell.bias = numbers(bias_rows * gates * H);
    return cell;
  };
  const auto check_cell = [&](lacuna::Cell cell, const foreign::Keras& keras, auto step) {
    SCOPED_TRACE(static_cast<int>(cell));
    check<foreign::Keras>(layer_of(cell), Convention::keras,
                          {keras.kernel, keras.recurrent_kernel, keras.bias}, keras, step);
  };
  check_cell(lacuna::Cell::lstm, cell_of(4, 1),
             [](foreign::Keras& cell, const Vector& x) { cell.lstm(x); });
  check_cell(lacuna::Cell::gru, cell_of(3, 2),
             [](foreign::Keras& cell, const Vector& x) { cell.gru_reset_after(x); });
  check_cell(lacuna::Cell::gru_reset_before, cell_of(3, 1),
             [](foreign::Keras& cell, const Vector& x) { cell.gru_reset_before(x); });
  check_cell(lacuna::Cell::rnn_tanh, cell_of(1, 1),
             [](foreign::Keras& cell, const Vector& x) { cell.simple_rnn(x); });
}

// ---- ONNX ----

TEST_F(Weights, Onnx) {
  const auto cell_of = [&](std::size_t gates) {
    foreign::Onnx cell(H);
    cell.W = numbers(gates * H * D), cell.R = numbers(gates * H * H),
    cell.B = numbers(2 * gates * H);
    return cell;
  };
  const auto check_cell = [&](lacuna::Cell cell, const foreign::Onnx& onnx, auto step) {
    SCOPED_TRACE(static_cast<int>(cell));
    check<foreign::Onnx>(layer_of(cell), Convention::onnx, {onnx.W, onnx.R, onnx.B}, onnx, step);
  };
  check_cell(lacuna::Cell::lstm, cell_of(4),
             [](foreign::Onnx& cell, const Vector& x) { cell.lstm(x); });
  check_cell(lacuna::Cell::gru, cell_of(3),
             [](foreign::Onnx& cell, const Vector& x) { cell.gru(x, true); });
  check_cell(lacuna::Cell::gru_reset_before, cell_of(3),
             [](foreign::Onnx& cell, const Vector& x) { cell.gru(x, false); });
  check_cell(lacuna::Cell::rnn_tanh, cell_of(1),
             [](foreign::Onnx& cell, const Vector& x) { cell.rnn(x, false); });
  check_cell(lacuna::Cell::rnn_relu, cell_of(1),
             [](foreign::Onnx& cell, const Vector& x) { cell.rnn(x, true); });
}

// ---- The GRU-D authors' code ----

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
    return run_foreign(cell, [&](foreign::GruD& of, std::size_t s) {
      if (s == 0 || s == 3 || s == 4) of.start(times[s]);
      Vector x = row(s);
      for (std::size_t d = 0; d < D; ++d) x[d] -= means[d];
      of.step(x, Vector(mask.begin() + s * D, mask.begin() + (s + 1) * D), times[s]);
    });
  }

  foreign::GruD cell;
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

// ---- PyTorch's own numbers ----

void expect_stored(const char* path) {
  const auto stored = support::read_vectors(path);
  ASSERT_FALSE(stored.cases.empty());
  const auto context = lacuna::Context::cpu({.threads = 2});
  for (const auto& c : stored.cases) {
    for (std::int64_t direction = 0; direction < c.directions; ++direction) {
      SCOPED_TRACE(c.name + (direction ? ", reverse" : ""));
      lacuna::Layer layer{.cell = c.module == "lstm"       ? lacuna::Cell::lstm
                                  : c.module == "gru"      ? lacuna::Cell::gru
                                  : c.module == "rnn_tanh" ? lacuna::Cell::rnn_tanh
                                                           : lacuna::Cell::rnn_relu,
                          .features = c.features,
                          .hidden = c.hidden,
                          .reverse = direction == 1,
                          .type = lacuna::Type::f64,
                          .projection = c.projection};
      const std::string ending = direction ? "_l0_reverse" : "_l0";
      lacuna::Parameters<double> parameters(layer);
      const auto &ih = c["weight_ih" + ending], &hh = c["weight_hh" + ending],
                 &bias_ih = c["bias_ih" + ending], &bias_hh = c["bias_hh" + ending];
      if (c.projection > 0)
        lacuna::import_weights<double>(
            Convention::pytorch, {ih, hh, bias_ih, bias_hh, c["weight_hr" + ending]}, parameters);
      else
        lacuna::import_weights<double>(Convention::pytorch, {ih, hh, bias_ih, bias_hh}, parameters);

      const auto B = static_cast<std::size_t>(c.sequences),
                 cells = static_cast<std::size_t>(c.hidden),
                 width = static_cast<std::size_t>(layer.output_width()),
                 tokens = static_cast<std::size_t>(c.offsets.back()),
                 all = width * static_cast<std::size_t>(c.directions);
      const auto from = static_cast<std::size_t>(direction);
      // Our direction's half of rows [N, directions * R], and our part of [directions, B, ..].
      const auto half = [&](const std::vector<double>& rows) {
        std::vector<double> ours;
        for (std::size_t s = 0; s < tokens; ++s)
          ours.insert(ours.end(), rows.begin() + s * all + from * width,
                      rows.begin() + s * all + (from + 1) * width);
        return ours;
      };
      const auto part = [&](const std::vector<double>& states) {
        const std::size_t size = states.size() / static_cast<std::size_t>(c.directions);
        return std::vector<double>(states.begin() + from * size,
                                   states.begin() + (from + 1) * size);
      };
      const bool has_cell = layer.has_cell_state();
      const std::vector<double> h0 = part(c["h0"]),
                                c0 = has_cell ? part(c["c0"]) : std::vector<double>();
      const lacuna::Batch<double> batch{
          .offsets = c.offsets, .values = c["x"], .initial_hidden = h0, .initial_cell = c0};

      lacuna::Plan plan(context, layer, {.tokens = c.offsets.back(), .sequences = c.sequences});
      lacuna::Tape tape(plan);
      std::vector<double> y(tokens * width), h_n(B * width), c_n(has_cell ? B * cells : 0);
      plan.forward(parameters, batch, {.hidden = y, .final_hidden = h_n, .final_cell = c_n}, tape);
      const double bound =
          rounding_tolerance<double>(c.features + c.hidden, support::mixing_steps(61));
      EXPECT_TRUE(agrees("y", compare<double>(y, half(c["y"]), bound, width)));
      EXPECT_TRUE(agrees("h_n", compare<double>(h_n, part(c["h_n"]), bound, width)));
      if (has_cell) {
        EXPECT_TRUE(agrees("c_n", compare<double>(c_n, part(c["c_n"]), bound, cells)));
      }

      lacuna::Gradients<double> gradients(parameters);
      std::vector<double> d_x(c["x"].size()), d_h0(h0.size()), d_c0(c0.size());
      const auto d_y = half(c["weight_y"]), d_h_n = part(c["weight_h_n"]);
      const auto d_c_n = has_cell ? part(c["weight_c_n"]) : std::vector<double>();
      plan.backward(parameters, batch,
                    {.d_hidden = d_y, .d_final_hidden = d_h_n, .d_final_cell = d_c_n}, tape,
                    gradients, {.d_values = d_x, .d_initial_hidden = d_h0, .d_initial_cell = d_c0});
      const double sums = rounding_tolerance<double>(c.offsets.back(), support::mixing_steps(61));
      EXPECT_TRUE(agrees("d_weight_ih", compare<double>(gradients[Parameter::weights_x],
                                                        c["d_weight_ih" + ending], sums)));
      EXPECT_TRUE(agrees("d_weight_hh", compare<double>(gradients[Parameter::weights_h],
                                                        c["d_weight_hh" + ending], sums)));
      if (c.projection > 0) {
        EXPECT_TRUE(agrees("d_weight_hr", compare<double>(gradients[Parameter::projection],
                                                          c["d_weight_hr" + ending], sums)));
      }
      EXPECT_TRUE(agrees(
          "d_bias", compare<double>(gradients[Parameter::bias], c["d_bias_ih" + ending], sums)));
      EXPECT_TRUE(agrees("d_h0", compare<double>(d_h0, part(c["d_h0"]), bound, width)));
      // Both directions read x, so its gradient is ours alone only where there is one.
      if (c.directions == 1) {
        EXPECT_TRUE(agrees("d_x", compare<double>(d_x, c["d_x"], bound)));
      }
    }
  }
}

TEST(StoredPyTorch, OutputsAndGradients) { expect_stored(support::pytorch_vectors); }

TEST(StoredPyTorch, ProjectedOutputsAndGradients) { expect_stored(support::projected_vectors); }

// ---- Descriptions and errors ----

TEST(WeightsDescribe, NamesAndShapes) {
  const lacuna::Layer layer = lacuna::gru_d(3, 5);
  const auto text = [&](Convention convention, const lacuna::Layer& of, int index) {
    const auto info = lacuna::foreign_tensor_info(of, convention, index);
    return std::string(info.name) + " " + std::to_string(info.rows) + "x" +
           std::to_string(info.columns);
  };
  EXPECT_EQ(text(Convention::gru_d, layer, 0), "kernel 3x15");
  EXPECT_EQ(text(Convention::gru_d, layer, 2), "masking_kernel 3x15");
  EXPECT_EQ(text(Convention::gru_d, layer, 7), "hidden_decay_bias 5x1");
  EXPECT_EQ(text(Convention::keras, lacuna::gru(3, 5), 2), "bias 2x15");
  EXPECT_EQ(text(Convention::keras, layer, 2), "bias 15x1");
  EXPECT_EQ(text(Convention::onnx, lacuna::lstm(3, 5), 2), "B 40x1");
  EXPECT_EQ(text(Convention::pytorch, lacuna::lstm(3, 5), 1), "weight_hh 20x5");
  EXPECT_EQ(text(Convention::pytorch, lacuna::lstm(3, 5), 4), " 0x0");
  EXPECT_EQ(lacuna::foreign_tensor_info(lacuna::lstm(3, 5), Convention::pytorch, 2).offset,
            20 * 3 + 20 * 5);
}

// What the message says and the status; "" when nothing was thrown.
template <class Work>
std::string refusal(lacuna::Status status, Work work) {
  try {
    work();
  } catch (const lacuna::Error& error) {
    EXPECT_EQ(error.status(), status);
    return error.what();
  }
  return "";
}

TEST(WeightsErrors, LayersThatAConventionCannotHold) {
  const auto refuse = [](Convention convention, const lacuna::Layer& layer) {
    return refusal(lacuna::Status::unsupported,
                   [&] { (void)lacuna::foreign_tensor_info(layer, convention, 0); });
  };
  EXPECT_NE(refuse(Convention::pytorch, lacuna::gru_d(3, 5)).find("resets after the product"),
            std::string::npos);
  EXPECT_NE(refuse(Convention::gru_d, lacuna::gru(3, 5))
                .find("GRU-D is gru_reset_before with impute decay"),
            std::string::npos);
  lacuna::Layer projected = lacuna::lstm(3, 5);
  projected.projection = 2;
  EXPECT_NE(refuse(Convention::keras, projected).find("Keras's LSTM has no projection"),
            std::string::npos);
  EXPECT_NE(refuse(Convention::onnx, projected).find("ONNX's LSTM has no projection"),
            std::string::npos);
  EXPECT_EQ(lacuna::foreign_tensor_info(projected, Convention::pytorch, 4).name,
            std::string("weight_hr"));
  for (const Convention convention : {Convention::pytorch, Convention::keras, Convention::onnx})
    EXPECT_NE(
        refuse(convention, lacuna::latent_ode_euler(3, 5)).find("no other library has rnn_euler"),
        std::string::npos);
}

TEST(WeightsErrors, EveryArgument) {
  const lacuna_layer layer = lacuna::lstm(3, 5).c();
  lacuna::Parameters<float> parameters(lacuna::lstm(3, 5), 1);
  const lacuna::Parameters<float> before = parameters;
  std::vector<float> ih(60), hh(100), bias(20);
  lacuna_foreign_tensors foreign{{ih.data(), hh.data(), bias.data()}};
  lacuna_parameter_gradients target{};
  for (int kind = 0; kind < 3; ++kind)
    target.tensor[kind] = parameters[static_cast<Parameter>(kind)].data();
  const lacuna_parameters source = parameters.c();
  lacuna_parameter_info info{};

  const auto expect = [&](lacuna_status status, const std::string& message,
                          lacuna_status expected = LACUNA_INVALID_ARGUMENT) {
    EXPECT_EQ(status, expected) << message;
    EXPECT_NE(std::string(lacuna_last_error()).find(message), std::string::npos)
        << lacuna_last_error();
    EXPECT_TRUE(
        agrees("parameters", support::compare_bits<float>(parameters.flat(), before.flat())));
  };
  const auto odd = static_cast<lacuna_convention>(5);
  const auto import_with = [&](const lacuna_foreign_tensors& from) {
    return lacuna_weights_import(&layer, LACUNA_PYTORCH, &from, &target);
  };
  const auto export_with = [&](const lacuna_parameters& from, const lacuna_foreign_tensors& to) {
    return lacuna_weights_export(&layer, LACUNA_PYTORCH, &from, &to);
  };
  const auto changed = [](auto tensors, int index, void* pointer) {
    tensors.tensor[index] = pointer;
    return tensors;
  };

  expect(lacuna_weights_describe(nullptr, LACUNA_KERAS, 0, &info), "layer: null");
  expect(lacuna_weights_describe(&layer, odd, 0, &info),
         "convention: 5, expected a lacuna_convention, 0 to 3");
  expect(lacuna_weights_describe(&layer, LACUNA_KERAS, 8, &info), "index: 8, expected 0 to 7");
  expect(lacuna_weights_describe(&layer, LACUNA_KERAS, -1, &info), "index: -1, expected 0 to 7");
  expect(lacuna_weights_describe(&layer, LACUNA_KERAS, 0, nullptr), "info: null");

  expect(lacuna_weights_import(nullptr, LACUNA_PYTORCH, &foreign, &target), "layer: null");
  expect(lacuna_weights_import(&layer, odd, &foreign, &target), "convention: 5, expected");
  expect(lacuna_weights_import(&layer, LACUNA_PYTORCH, nullptr, &target), "source: null");
  expect(lacuna_weights_import(&layer, LACUNA_PYTORCH, &foreign, nullptr), "target: null");
  expect(import_with(changed(foreign, 0, nullptr)), "source.weight_ih: null, expected 60 elements");
  expect(import_with(changed(foreign, 1, nullptr)),
         "source.weight_hh: null, expected 100 elements");
  expect(import_with(changed(foreign, 1, reinterpret_cast<char*>(hh.data()) + 2)),
         "source.weight_hh: address 0x");
  expect(import_with(changed(foreign, 4, bias.data())),
         "source.tensor[4]: given, but the convention has none there for a cell of lstm; expected "
         "null");
  expect(import_with(changed(foreign, 2, target.tensor[LACUNA_BIAS])),
         "target.bias: overlaps source.bias_ih");

  expect(lacuna_weights_export(nullptr, LACUNA_PYTORCH, &source, &foreign), "layer: null");
  expect(lacuna_weights_export(&layer, odd, &source, &foreign), "convention: 5, expected");
  expect(lacuna_weights_export(&layer, LACUNA_PYTORCH, nullptr, &foreign), "source: null");
  expect(lacuna_weights_export(&layer, LACUNA_PYTORCH, &source, nullptr), "target: null");
  for (int kind = 0; kind < 3; ++kind) {
    lacuna_parameters without = source;
    without.tensor[kind] = nullptr;
    expect(export_with(without, foreign),
           std::string("source.") +
               std::string(parameters.info(static_cast<Parameter>(kind)).name) +
               ": null, expected ");
  }
  expect(export_with(source, changed(foreign, 0, reinterpret_cast<char*>(ih.data()) + 1)),
         "target.weight_ih: address 0x");
  expect(export_with(source, changed(foreign, 6, bias.data())),
         "target.tensor[6]: given, but the convention has none");
  expect(export_with(source, changed(foreign, 0, hh.data())),
         "target.weight_ih: overlaps target.weight_hh");

  EXPECT_EQ(export_with(source, foreign), LACUNA_OK);
  EXPECT_EQ(import_with(foreign), LACUNA_OK);
}

TEST(WeightsErrors, NoConventionHasGains) {
  lacuna::Layer normalised = lacuna::lstm(3, 5);
  normalised.layer_norm = true;
  const lacuna::Parameters<float> parameters(normalised, 1);
  std::vector<float> ih(60, 7), hh(100, 7);
  for (const Convention convention : {Convention::pytorch, Convention::keras, Convention::onnx})
    EXPECT_NE(refusal(lacuna::Status::unsupported,
                      [&] {
                        lacuna::export_weights<float>(convention, parameters, {ih, hh});
                      })
                  .find("it has no gains of layer normalisation"),
              std::string::npos);
  EXPECT_EQ(ih, std::vector<float>(60, 7));
}

TEST(WeightsErrors, SizesAreCheckedBeforeTheCall) {
  lacuna::Parameters<float> parameters(lacuna::lstm(3, 5));
  std::vector<float> ih(60), hh(100), short_one(59);
  EXPECT_EQ(
      refusal(lacuna::Status::invalid_argument,
              [&] {
                lacuna::import_weights<float>(Convention::pytorch, {short_one, hh}, parameters);
              }),
      "weight_ih: 59 elements, expected rows 20 x columns 3");
  EXPECT_EQ(
      refusal(
          lacuna::Status::invalid_argument,
          [&] {
            lacuna::export_weights<float>(Convention::pytorch, parameters, {ih, hh, {}, {}, hh});
          }),
      "tensors[4]: given, but this layer has none there");
}

// Parameters of 16-bit layers are floats, and no array is read or written beyond its end.
TEST(WeightsOfHalves, AreFloats) {
  for (const lacuna_type type : {LACUNA_F16, LACUNA_BF16}) {
    lacuna_layer layer{};
    layer.cell = LACUNA_RNN_TANH;
    layer.type = type;
    layer.features = D;
    layer.hidden = H;
    constexpr std::size_t sizes[] = {H * D, H * H, H, H};
    std::vector<std::vector<float>> foreign, there, back;
    lacuna_foreign_tensors source{}, returned{};
    for (std::size_t t = 0; t < 4; ++t) {
      foreign.emplace_back(sizes[t]);
      for (std::size_t i = 0; i < sizes[t]; ++i)
        foreign[t][i] = t == 3 ? 0 : static_cast<float>(10 * t + i) / 8;
      there.emplace_back(sizes[t], -1.0f);
      back.emplace_back(sizes[t], -1.0f);
    }
    for (std::size_t t = 0; t < 4; ++t) {
      source.tensor[t] = foreign[t].data();
      returned.tensor[t] = back[t].data();
    }
    lacuna_parameter_gradients target{};
    lacuna_parameters parameters{};
    for (const int kind : {LACUNA_WEIGHTS_X, LACUNA_WEIGHTS_H, LACUNA_BIAS})
      parameters.tensor[kind] = target.tensor[kind] = there[static_cast<std::size_t>(kind)].data();
    ASSERT_EQ(lacuna_weights_import(&layer, LACUNA_PYTORCH, &source, &target), LACUNA_OK)
        << lacuna_last_error();
    for (const std::size_t t : {0, 1, 2}) EXPECT_EQ(there[t], foreign[t]);
    ASSERT_EQ(lacuna_weights_export(&layer, LACUNA_PYTORCH, &parameters, &returned), LACUNA_OK)
        << lacuna_last_error();
    EXPECT_EQ(back, foreign);
  }
}

}  // namespace
