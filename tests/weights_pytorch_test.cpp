// PyTorch's weights: what an imported layer computes against PyTorch's own equations, the way back, and PyTorch's own
// outputs and gradients as stored numbers.
#include "api/foreign_weights.h"
#include "support/vectors.h"

namespace foreign {
namespace {

TEST_F(Weights, PyTorch) {
  const auto cell_of = [&](std::size_t gates) {
    Torch cell(H);
    cell.weight_ih = numbers(gates * H * D), cell.weight_hh = numbers(gates * H * H);
    cell.bias_ih = numbers(gates * H), cell.bias_hh = numbers(gates * H);
    return cell;
  };
  const auto check_cell = [&](lacuna::Cell cell, const Torch& torch, auto step) {
    SCOPED_TRACE(static_cast<int>(cell));
    check<Torch>(layer_of(cell), Convention::pytorch,
                 {torch.weight_ih, torch.weight_hh, torch.bias_ih, torch.bias_hh}, torch, step);
  };
  check_cell(lacuna::Cell::lstm, cell_of(4), [](Torch& cell, const Vector& x) { cell.lstm(x); });
  check_cell(lacuna::Cell::gru, cell_of(3), [](Torch& cell, const Vector& x) { cell.gru(x); });
  check_cell(lacuna::Cell::rnn_tanh, cell_of(1),
             [](Torch& cell, const Vector& x) { cell.rnn(x, false); });
  check_cell(lacuna::Cell::rnn_relu, cell_of(1),
             [](Torch& cell, const Vector& x) { cell.rnn(x, true); });
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
  Torch cell(H);
  cell.weight_ih = numbers(3 * H * D), cell.weight_hh = numbers(3 * H * H);
  lacuna::Parameters<double> parameters(layer_of(lacuna::Cell::gru), 3);
  lacuna::import_weights<double>(Convention::pytorch, {cell.weight_ih, cell.weight_hh}, parameters);
  cell.bias_ih = cell.bias_hh = Vector(3 * H);
  const auto expected = run_foreign(cell, [&](Torch& of, std::size_t s) { of.gru(row(s)); });
  EXPECT_TRUE(agrees("hidden", compare<double>(run(parameters, {.values = values}), expected,
                                               rounding_tolerance<double>(D + H, 5), H)));
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
}  // namespace foreign
