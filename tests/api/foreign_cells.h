// One step of other libraries' recurrent layers, in double, straight from the equations in their
// documentation and with the weights in their own layouts. Shares nothing with the converter that
// it judges.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace foreign {

using Vector = std::vector<double>;

inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
inline double relu(double x) { return x > 0 ? x : 0; }

// Columns or rows `gate` * H .. of a stack of gates.
//   Keras: v W, with W [in, gates * H]
inline Vector times_columns(const Vector& v, const Vector& W, std::size_t H, std::size_t gate) {
  const std::size_t width = W.size() / v.size();
  Vector out(H);
  for (std::size_t i = 0; i < v.size(); ++i)
    for (std::size_t j = 0; j < H; ++j) out[j] += v[i] * W[i * width + gate * H + j];
  return out;
}
//   PyTorch and ONNX: W v, with W [gates * H, in]
inline Vector rows_times(const Vector& W, const Vector& v, std::size_t H, std::size_t gate) {
  Vector out(H);
  for (std::size_t j = 0; j < H; ++j)
    for (std::size_t i = 0; i < v.size(); ++i) out[j] += W[(gate * H + j) * v.size() + i] * v[i];
  return out;
}

// A layer that reads one row after the other; h is its output.
struct Cell {
  explicit Cell(std::size_t hidden) : H(hidden), h(hidden), c(hidden) {}
  std::size_t H;
  Vector h, c;
};

// ---- torch.nn.LSTM, GRU, RNN: weight_ih, weight_hh, bias_ih, bias_hh; gates i,f,g,o and r,z,n
// ----

struct Torch : Cell {
  using Cell::Cell;
  Vector weight_ih, weight_hh, bias_ih, bias_hh;

  double input(const Vector& x, std::size_t gate, std::size_t j) const {
    return rows_times(weight_ih, x, H, gate)[j] + bias_ih[gate * H + j];
  }
  double state(std::size_t gate, std::size_t j) const {
    return rows_times(weight_hh, h, H, gate)[j] + bias_hh[gate * H + j];
  }
  void lstm(const Vector& x) {
    Vector next(H);
    for (std::size_t j = 0; j < H; ++j) {
      const double i = sigmoid(input(x, 0, j) + state(0, j)),
                   f = sigmoid(input(x, 1, j) + state(1, j)),
                   g = std::tanh(input(x, 2, j) + state(2, j)),
                   o = sigmoid(input(x, 3, j) + state(3, j));
      c[j] = f * c[j] + i * g;
      next[j] = o * std::tanh(c[j]);
    }
    h = next;
  }
  void gru(const Vector& x) {
    Vector next(H);
    for (std::size_t j = 0; j < H; ++j) {
      const double r = sigmoid(input(x, 0, j) + state(0, j)),
                   z = sigmoid(input(x, 1, j) + state(1, j)),
                   n = std::tanh(input(x, 2, j) + r * state(2, j));
      next[j] = (1 - z) * n + z * h[j];
    }
    h = next;
  }
  void rnn(const Vector& x, bool rectified) {
    Vector next(H);
    for (std::size_t j = 0; j < H; ++j) {
      const double sum = input(x, 0, j) + state(0, j);
      next[j] = rectified ? relu(sum) : std::tanh(sum);
    }
    h = next;
  }
};

// ---- keras.layers.LSTM (i,f,c,o), GRU (z,r,h) and SimpleRNN: kernel, recurrent_kernel, bias ----

struct Keras : Cell {
  using Cell::Cell;
  Vector kernel, recurrent_kernel, bias;  // bias of a GRU with reset_after: [2, 3H], else one row

  double input(const Vector& x, std::size_t gate, std::size_t j) const {
    return times_columns(x, kernel, H, gate)[j] + bias[gate * H + j];
  }
  double state(const Vector& of, std::size_t gate, std::size_t j) const {
    return times_columns(of, recurrent_kernel, H, gate)[j];
  }
  void lstm(const Vector& x) {
    Vector next(H);
    for (std::size_t j = 0; j < H; ++j) {
      const double i = sigmoid(input(x, 0, j) + state(h, 0, j)),
                   f = sigmoid(input(x, 1, j) + state(h, 1, j)),
                   candidate = std::tanh(input(x, 2, j) + state(h, 2, j)),
                   o = sigmoid(input(x, 3, j) + state(h, 3, j));
      c[j] = f * c[j] + i * candidate;
      next[j] = o * std::tanh(c[j]);
    }
    h = next;
  }
  void gru_reset_after(const Vector& x) {
    const auto recurrent_bias = [&](std::size_t gate, std::size_t j) {
      return bias[3 * H + gate * H + j];
    };
    Vector next(H);
    for (std::size_t j = 0; j < H; ++j) {
      const double z = sigmoid(input(x, 0, j) + state(h, 0, j) + recurrent_bias(0, j)),
                   r = sigmoid(input(x, 1, j) + state(h, 1, j) + recurrent_bias(1, j)),
                   candidate =
                       std::tanh(input(x, 2, j) + r * (state(h, 2, j) + recurrent_bias(2, j)));
      next[j] = z * h[j] + (1 - z) * candidate;
    }
    h = next;
  }
  void gru_reset_before(const Vector& x) {
    Vector reset(H), next(H);
    for (std::size_t j = 0; j < H; ++j) reset[j] = sigmoid(input(x, 1, j) + state(h, 1, j)) * h[j];
    for (std::size_t j = 0; j < H; ++j) {
      const double z = sigmoid(input(x, 0, j) + state(h, 0, j)),
                   candidate = std::tanh(input(x, 2, j) + state(reset, 2, j));
      next[j] = z * h[j] + (1 - z) * candidate;
    }
    h = next;
  }
  void simple_rnn(const Vector& x) {
    Vector next(H);
    for (std::size_t j = 0; j < H; ++j) next[j] = std::tanh(input(x, 0, j) + state(h, 0, j));
    h = next;
  }
};

// ---- ONNX operators LSTM (i,o,f,c), GRU (z,r,h) and RNN: W, R, B = [Wb, Rb] ----

struct Onnx : Cell {
  using Cell::Cell;
  Vector W, R, B;

  double wb(std::size_t gate, std::size_t j) const { return B[gate * H + j]; }
  double rb(std::size_t gate, std::size_t j) const { return B[B.size() / 2 + gate * H + j]; }
  double input(const Vector& x, std::size_t gate, std::size_t j) const {
    return rows_times(W, x, H, gate)[j];
  }
  double state(const Vector& of, std::size_t gate, std::size_t j) const {
    return rows_times(R, of, H, gate)[j];
  }
  double sum(const Vector& x, std::size_t gate, std::size_t j) const {
    return input(x, gate, j) + state(h, gate, j) + wb(gate, j) + rb(gate, j);
  }
  void lstm(const Vector& x) {
    Vector next(H);
    for (std::size_t j = 0; j < H; ++j) {
      const double i = sigmoid(sum(x, 0, j)), o = sigmoid(sum(x, 1, j)), f = sigmoid(sum(x, 2, j)),
                   candidate = std::tanh(sum(x, 3, j));
      c[j] = f * c[j] + i * candidate;
      next[j] = o * std::tanh(c[j]);
    }
    h = next;
  }
  void gru(const Vector& x, bool linear_before_reset) {
    Vector reset(H), next(H);
    for (std::size_t j = 0; j < H; ++j) reset[j] = sigmoid(sum(x, 1, j)) * h[j];
    for (std::size_t j = 0; j < H; ++j) {
      const double z = sigmoid(sum(x, 0, j)), r = sigmoid(sum(x, 1, j));
      const double candidate =
          linear_before_reset
              ? std::tanh(input(x, 2, j) + r * (state(h, 2, j) + rb(2, j)) + wb(2, j))
              : std::tanh(input(x, 2, j) + state(reset, 2, j) + rb(2, j) + wb(2, j));
      next[j] = (1 - z) * candidate + z * h[j];
    }
    h = next;
  }
  void rnn(const Vector& x, bool rectified) {
    Vector next(H);
    for (std::size_t j = 0; j < H; ++j)
      next[j] = rectified ? relu(sum(x, 0, j)) : std::tanh(sum(x, 0, j));
    h = next;
  }
};

// ---- The GRU-D authors' cell, with activation tanh and recurrent_activation sigmoid. ---- It
// reads (x, m, s), s a time stamp, and keeps the last values and the time of each feature's last
// measurement.

struct GruD : Cell {
  GruD(std::size_t features, std::size_t hidden)
      : Cell(hidden), D(features), keep(features), since(features) {}
  std::size_t D;
  Vector kernel, recurrent_kernel, masking_kernel, bias;
  Vector input_decay_kernel, input_decay_bias, hidden_decay_kernel, hidden_decay_bias;
  Vector keep, since;  // x_keep and s_prev of the step before; since begins at the first time stamp
  bool blends_undecayed = true;  // as the code does; the paper blends with the decayed state

  void start(double first_time) { since.assign(D, first_time); }

  void step(const Vector& x, const Vector& m, double s) {
    Vector imputed(D), missing(D), decayed(H);
    for (std::size_t d = 0; d < D; ++d) {
      const double gap = s - since[d];
      const double gamma = std::exp(-relu(gap * input_decay_kernel[d] + input_decay_bias[d]));
      if (m[d] > 0) keep[d] = x[d];
      imputed[d] = m[d] > 0 ? x[d] : gamma * keep[d];
      missing[d] = 1 - m[d];
    }
    for (std::size_t j = 0; j < H; ++j) {
      double sum = hidden_decay_bias[j];
      for (std::size_t d = 0; d < D; ++d) sum += (s - since[d]) * hidden_decay_kernel[d * H + j];
      decayed[j] = std::exp(-relu(sum)) * h[j];
    }
    const auto gate = [&](std::size_t g, const Vector& of, std::size_t j) {
      return times_columns(imputed, kernel, H, g)[j] +
             times_columns(of, recurrent_kernel, H, g)[j] +
             times_columns(missing, masking_kernel, H, g)[j] + bias[g * H + j];
    };
    Vector reset(H), next(H);
    for (std::size_t j = 0; j < H; ++j) reset[j] = sigmoid(gate(1, decayed, j)) * decayed[j];
    for (std::size_t j = 0; j < H; ++j) {
      const double z = sigmoid(gate(0, decayed, j)), candidate = std::tanh(gate(2, reset, j));
      next[j] = z * (blends_undecayed ? h : decayed)[j] + (1 - z) * candidate;
    }
    h = next;
    for (std::size_t d = 0; d < D; ++d)
      if (m[d] > 0) since[d] = s;
  }
};

}  // namespace foreign
