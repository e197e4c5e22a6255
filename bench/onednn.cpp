// oneDNN's recurrent training primitives as a contestant. They get what they like best: weights
// reordered beforehand to the formats they ask for, activations time-major, all of it outside the
// timed step.
#include <algorithm>
#include <limits>
#include <stdexcept>

#include "bench/contestant.h"

#if defined(LACUNA_HAVE_ONEDNN)
#include <oneapi/dnnl/dnnl.hpp>
#endif

#if defined(LACUNA_HAVE_ONEDNN) && DNNL_VERSION_MAJOR == 2

// Of libgomp, which the library may or may not use; absent, the process's own threads decide.
extern "C" __attribute__((weak)) void omp_set_num_threads(int);

namespace bench {
namespace {

using dnnl::memory;
using Arguments = std::unordered_map<int, memory>;

// Where oneDNN keeps gate g of Lacuna's order: i, f, g, o as here; of r, z, n it wants z, r, n.
std::int64_t gate_there(Cell cell, std::int64_t gate) {
  return cell == Cell::lstm || gate == 2 ? gate : 1 - gate;
}

class Onednn : public Contestant {
 public:
  Onednn(const Inputs& inputs, int threads)
      : inputs_(inputs),
        engine_(dnnl::engine::kind::cpu, 0),
        stream_(engine_),
        steps_(inputs.max_length()),
        sequences_(inputs.what.sequences),
        features_(inputs.what.features),
        hidden_(inputs.what.hidden),
        gates_(inputs.what.gates()) {
    if (inputs.what.ragged()) throw std::runtime_error("oneDNN has no ragged batches");
    if (omp_set_num_threads) omp_set_num_threads(threads);
    switch (inputs.what.cell) {
      case Cell::lstm: build_lstm(); break;
      case Cell::gru: build_gru<dnnl::lbr_gru_forward, dnnl::lbr_gru_backward>(); break;
      case Cell::gru_reset_before: build_gru<dnnl::gru_forward, dnnl::gru_backward>(); break;
      case Cell::gru_d: throw std::runtime_error("oneDNN has no GRU-D");
    }
  }

  void step() override {
    forward_.execute(stream_, forward_arguments_);
    backward_.execute(stream_, backward_arguments_);
    stream_.wait();
  }

  Tensors results() override {
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    fill(forward_arguments_.at(DNNL_ARG_DST_LAYER), nan);
    fill(backward_arguments_.at(DNNL_ARG_DIFF_SRC_LAYER), nan);
    for (const int gradient :
         {DNNL_ARG_DIFF_WEIGHTS_LAYER, DNNL_ARG_DIFF_WEIGHTS_ITER, DNNL_ARG_DIFF_BIAS}) {
      fill(backward_arguments_.at(gradient), 0);
    }
    step();
    Tensors results;
    results["hidden"] = token_major(forward_arguments_.at(DNNL_ARG_DST_LAYER), hidden_);
    results["d_values"] = token_major(backward_arguments_.at(DNNL_ARG_DIFF_SRC_LAYER), features_);
    results["d_weights_x"] =
        weights_back(backward_arguments_.at(DNNL_ARG_DIFF_WEIGHTS_LAYER), features_);
    results["d_weights_h"] =
        weights_back(backward_arguments_.at(DNNL_ARG_DIFF_WEIGHTS_ITER), hidden_);
    const float* d_bias = floats(backward_arguments_.at(DNNL_ARG_DIFF_BIAS));
    Tensor& bias = results["d_bias"] = make_tensor({gates_ * hidden_});
    for (std::int64_t g = 0; g < gates_; ++g) {
      std::copy_n(d_bias + gate_there(inputs_.what.cell, g) * hidden_, hidden_,
                  bias.data.begin() + g * hidden_);
    }
    if (inputs_.what.cell == Cell::gru) {
      Tensor& bias_hn = results["d_bias_hn"] = make_tensor({hidden_});
      std::copy_n(d_bias + 3 * hidden_, hidden_, bias_hn.data.begin());
    }
    return results;
  }

 private:
  using Tag = memory::format_tag;
  static constexpr auto k_f32 = memory::data_type::f32;
  static constexpr auto k_direction = dnnl::rnn_direction::unidirectional_left2right;

  memory::desc activations(std::int64_t width) const {
    return {{steps_, sequences_, width}, k_f32, Tag::tnc};
  }
  // The initial state. Without one, 2.6.3's LSTM backward returns wrong recurrent gradients.
  memory::desc state() const { return {{1, 1, sequences_, hidden_}, k_f32, Tag::ldnc}; }
  memory::desc weights(std::int64_t width, Tag tag) const {
    return {{1, 1, width, gates_, hidden_}, k_f32, tag};
  }
  memory::desc bias() const {
    return {{1, 1, inputs_.what.cell == Cell::gru ? 4 : gates_, hidden_}, k_f32, Tag::ldgo};
  }

  void build_lstm() {
    const memory::desc none, x = activations(features_), y = activations(hidden_), s = state();
    const memory::desc wx = weights(features_, Tag::any), wh = weights(hidden_, Tag::any);
    const dnnl::lstm_forward::primitive_desc forward(
        {dnnl::prop_kind::forward_training, k_direction, x, s, s, wx, wh, bias(), y, none, none},
        engine_);
    const dnnl::lstm_backward::primitive_desc backward({dnnl::prop_kind::backward,
                                                        k_direction,
                                                        x,
                                                        s,
                                                        s,
                                                        wx,
                                                        wh,
                                                        bias(),
                                                        y,
                                                        none,
                                                        none,
                                                        x,
                                                        s,
                                                        s,
                                                        wx,
                                                        wh,
                                                        bias(),
                                                        y,
                                                        none,
                                                        none},
                                                       engine_, forward);
    wire<dnnl::lstm_forward, dnnl::lstm_backward>(forward, backward);
    for (auto* arguments : {&forward_arguments_, &backward_arguments_}) {
      (*arguments)[DNNL_ARG_SRC_ITER_C] = filled(s);
    }
    backward_arguments_[DNNL_ARG_DIFF_SRC_ITER_C] = filled(s);
  }

  template <class Forward, class Backward>
  void build_gru() {
    const memory::desc none, x = activations(features_), y = activations(hidden_), s = state();
    const memory::desc wx = weights(features_, Tag::any), wh = weights(hidden_, Tag::any);
    const typename Forward::primitive_desc forward(
        {dnnl::prop_kind::forward_training, k_direction, x, s, wx, wh, bias(), y, none}, engine_);
    const typename Backward::primitive_desc backward(
        {dnnl::prop_kind::backward, k_direction, x, s, wx, wh, bias(), y, none, x, s, wx, wh,
         bias(), y, none},
        engine_, forward);
    wire<Forward, Backward>(forward, backward);
  }

  template <class Forward, class Backward>
  void wire(const typename Forward::primitive_desc& forward,
            const typename Backward::primitive_desc& backward) {
    const memory x = time_major("values", features_), h0 = filled(state()), b = bias_there();
    const memory y(activations(hidden_), engine_), workspace(forward.workspace_desc(), engine_);
    const Arguments both{{DNNL_ARG_SRC_LAYER, x},
                         {DNNL_ARG_SRC_ITER, h0},
                         {DNNL_ARG_BIAS, b},
                         {DNNL_ARG_DST_LAYER, y},
                         {DNNL_ARG_WORKSPACE, workspace}};
    forward_arguments_ = backward_arguments_ = both;
    forward_arguments_[DNNL_ARG_WEIGHTS_LAYER] =
        weights_there("weights_x", features_, forward.weights_layer_desc());
    forward_arguments_[DNNL_ARG_WEIGHTS_ITER] =
        weights_there("weights_h", hidden_, forward.weights_iter_desc());
    backward_arguments_[DNNL_ARG_WEIGHTS_LAYER] =
        weights_there("weights_x", features_, backward.weights_layer_desc());
    backward_arguments_[DNNL_ARG_WEIGHTS_ITER] =
        weights_there("weights_h", hidden_, backward.weights_iter_desc());
    backward_arguments_[DNNL_ARG_DIFF_DST_LAYER] = time_major("d_hidden", hidden_);
    backward_arguments_[DNNL_ARG_DIFF_SRC_LAYER] = filled(activations(features_));
    backward_arguments_[DNNL_ARG_DIFF_SRC_ITER] = filled(state());
    backward_arguments_[DNNL_ARG_DIFF_WEIGHTS_LAYER] = filled(backward.diff_weights_layer_desc());
    backward_arguments_[DNNL_ARG_DIFF_WEIGHTS_ITER] = filled(backward.diff_weights_iter_desc());
    backward_arguments_[DNNL_ARG_DIFF_BIAS] = filled(bias());
    forward_ = Forward(forward);
    backward_ = Backward(backward);
  }

  static float* floats(const memory& block) { return static_cast<float*>(block.get_data_handle()); }

  static void fill(const memory& block, float value) {
    std::fill_n(floats(block), block.get_desc().get_size() / sizeof(float), value);
  }

  memory filled(const memory::desc& desc) {
    memory block(desc, engine_);
    fill(block, 0);
    return block;
  }

  // Dense batches only: token t of sequence b is row b T + t in Lacuna's layout, t B + b here.
  memory time_major(const char* name, std::int64_t width) {
    memory block(activations(width), engine_);
    for (std::int64_t b = 0; b < sequences_; ++b) {
      for (std::int64_t t = 0; t < steps_; ++t) {
        std::copy_n(inputs_[name] + (b * steps_ + t) * width, width,
                    floats(block) + (t * sequences_ + b) * width);
      }
    }
    return block;
  }

  Tensor token_major(const memory& block, std::int64_t width) const {
    Tensor result = make_tensor({steps_ * sequences_, width});
    for (std::int64_t b = 0; b < sequences_; ++b) {
      for (std::int64_t t = 0; t < steps_; ++t) {
        std::copy_n(floats(block) + (t * sequences_ + b) * width, width,
                    result.data.begin() + (b * steps_ + t) * width);
      }
    }
    return result;
  }

  // Lacuna's [G H, width] is oneDNN's [width, G, H] in plain form.
  memory weights_there(const char* name, std::int64_t width, const memory::desc& wanted) {
    memory plain(weights(width, Tag::ldigo), engine_), block(wanted, engine_);
    for (std::int64_t row = 0; row < gates_ * hidden_; ++row) {
      const std::int64_t there =
          gate_there(inputs_.what.cell, row / hidden_) * hidden_ + row % hidden_;
      for (std::int64_t k = 0; k < width; ++k) {
        floats(plain)[k * gates_ * hidden_ + there] = inputs_[name][row * width + k];
      }
    }
    reorder(plain, block);
    return block;
  }

  Tensor weights_back(memory block, std::int64_t width) {
    memory plain(weights(width, Tag::ldigo), engine_);
    reorder(block, plain);
    Tensor result = make_tensor({gates_ * hidden_, width});
    for (std::int64_t row = 0; row < gates_ * hidden_; ++row) {
      const std::int64_t there =
          gate_there(inputs_.what.cell, row / hidden_) * hidden_ + row % hidden_;
      for (std::int64_t k = 0; k < width; ++k) {
        result.data[static_cast<std::size_t>(row * width + k)] =
            floats(plain)[k * gates_ * hidden_ + there];
      }
    }
    return result;
  }

  void reorder(memory& from, memory& to) {
    dnnl::reorder(from, to).execute(stream_, from, to);
    stream_.wait();
  }

  memory bias_there() {
    memory block = filled(bias());
    for (std::int64_t g = 0; g < gates_; ++g) {
      std::copy_n(inputs_["bias"] + g * hidden_, hidden_,
                  floats(block) + gate_there(inputs_.what.cell, g) * hidden_);
    }
    if (inputs_.what.cell == Cell::gru) {
      std::copy_n(inputs_["bias_hn"], hidden_, floats(block) + 3 * hidden_);
    }
    return block;
  }

  const Inputs& inputs_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  std::int64_t steps_, sequences_, features_, hidden_, gates_;
  dnnl::primitive forward_, backward_;
  Arguments forward_arguments_, backward_arguments_;
};

}  // namespace

std::unique_ptr<Contestant> make_onednn(const Inputs& inputs, int threads) {
  return std::make_unique<Onednn>(inputs, threads);
}

Library about_onednn() {
  const dnnl_version_t* version = dnnl_version();
  return {"onednn", std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
                        std::to_string(version->patch)};
}

}  // namespace bench

#else

namespace bench {

std::unique_ptr<Contestant> make_onednn(const Inputs&, int) {
  throw std::runtime_error("this program was built without oneDNN 2");
}

Library about_onednn() { return {"onednn", ""}; }

}  // namespace bench

#endif
