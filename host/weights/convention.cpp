// The tables: which tensors each convention has, by name and shape.
#include "host/weights/convention.h"

#include "host/plan/shape.h"

namespace lacuna::weights {

const char* why_unsupported(const lacuna_layer& layer, lacuna_convention convention) {
  if (layer.cell == LACUNA_RNN_EULER) return "no other library has rnn_euler";
  if (layer.layer_norm != 0) return "it has no gains of layer normalisation";
  if (convention == LACUNA_PYTORCH && layer.cell == LACUNA_GRU_RESET_BEFORE)
    return "PyTorch's GRU resets after the product: it is gru, not gru_reset_before";
  if (layer.projection > 0 && convention == LACUNA_KERAS) return "Keras's LSTM has no projection";
  if (layer.projection > 0 && convention == LACUNA_ONNX) return "ONNX's LSTM has no projection";
  if (convention == LACUNA_GRU_D) {
    if (layer.cell != LACUNA_GRU_RESET_BEFORE || layer.impute != LACUNA_IMPUTE_DECAY ||
        layer.evolve != LACUNA_EVOLVE_DECAY || !layer.mask_input || layer.gap_input)
      return "GRU-D is gru_reset_before with impute decay, evolve decay, mask_input 1 and "
             "gap_input 0";
  }
  return nullptr;
}

Tensor tensor(const lacuna_layer& layer, lacuna_convention convention, int index) {
  const std::int64_t D = layer.features, H = layer.hidden, K = input_width(layer),
                     R = output_width(layer), GH = gates(layer.cell) * H;
  switch (convention) {
    case LACUNA_PYTORCH:
      switch (index) {
        case 0: return {"weight_ih", GH, K, true};
        case 1: return {"weight_hh", GH, R, true};
        case 2: return {"bias_ih", GH, 1};
        case 3: return {"bias_hh", GH, 1};
        case 4: return layer.projection > 0 ? Tensor{"weight_hr", R, H, true} : Tensor{};
        default: return {};
      }
    case LACUNA_KERAS:
      switch (index) {
        case 0: return {"kernel", K, GH, true};
        case 1: return {"recurrent_kernel", H, GH, true};
        case 2: return layer.cell == LACUNA_GRU ? Tensor{"bias", 2, GH} : Tensor{"bias", GH, 1};
        default: return {};
      }
    case LACUNA_ONNX:
      switch (index) {
        case 0: return {"W", GH, K, true};
        case 1: return {"R", GH, H, true};
        case 2: return {"B", 2 * GH, 1};
        default: return {};
      }
    case LACUNA_GRU_D:
      switch (index) {
        case 0: return {"kernel", D, GH, true};
        case 1: return {"recurrent_kernel", H, GH, true};
        case 2: return {"masking_kernel", D, GH, true};
        case 3: return {"bias", GH, 1};
        case 4: return {"input_decay_kernel", D, 1, true};
        case 5: return {"input_decay_bias", D, 1};
        case 6: return {"hidden_decay_kernel", D, H, true};
        case 7: return {"hidden_decay_bias", H, 1};
        default: return {};
      }
  }
  return {};
}

}  // namespace lacuna::weights
