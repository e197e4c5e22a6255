// Other libraries' tensors: what they are called and how large they are, layers that a convention cannot hold, and every
// argument that is refused.
#include <gtest/gtest.h>

#include "lacuna/lacuna.hpp"
#include "support/expect.h"
#include "support/refusal.h"

namespace {

using lacuna::Convention;
using lacuna::Parameter;
using support::agrees;
using support::refusal;

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

TEST(WeightsErrors, LayersThatAConventionCannotHold) {
  const auto refuse = [](Convention convention, const lacuna::Layer& layer) {
    return refusal([&] { (void)lacuna::foreign_tensor_info(layer, convention, 0); },
                   lacuna::Status::unsupported);
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
    EXPECT_NE(refusal(
                  [&] {
                    lacuna::export_weights<float>(convention, parameters, {ih, hh});
                  },
                  lacuna::Status::unsupported)
                  .find("it has no gains of layer normalisation"),
              std::string::npos);
  EXPECT_EQ(ih, std::vector<float>(60, 7));
}

TEST(WeightsErrors, SizesAreCheckedBeforeTheCall) {
  lacuna::Parameters<float> parameters(lacuna::lstm(3, 5));
  std::vector<float> ih(60), hh(100), short_one(59);
  EXPECT_EQ(refusal([&] {
              lacuna::import_weights<float>(Convention::pytorch, {short_one, hh}, parameters);
            }),
            "weight_ih: 59 elements, expected rows 20 x columns 3");
  EXPECT_EQ(refusal([&] {
              lacuna::export_weights<float>(Convention::pytorch, parameters, {ih, hh, {}, {}, hh});
            }),
            "tensors[4]: given, but this layer has none there");
}

}  // namespace
