// ONNX's weights: what an imported layer computes against ONNX's own equations, and the way back.
#include "api/foreign_weights.h"

namespace foreign {
namespace {

TEST_F(Weights, Onnx) {
  const auto cell_of = [&](std::size_t gates) {
    Onnx cell(H);
    cell.W = numbers(gates * H * D), cell.R = numbers(gates * H * H),
    cell.B = numbers(2 * gates * H);
    return cell;
  };
  const auto check_cell = [&](lacuna::Cell cell, const Onnx& onnx, auto step) {
    SCOPED_TRACE(static_cast<int>(cell));
    check<Onnx>(layer_of(cell), Convention::onnx, {onnx.W, onnx.R, onnx.B}, onnx, step);
  };
  check_cell(lacuna::Cell::lstm, cell_of(4), [](Onnx& cell, const Vector& x) { cell.lstm(x); });
  check_cell(lacuna::Cell::gru, cell_of(3), [](Onnx& cell, const Vector& x) { cell.gru(x, true); });
  check_cell(lacuna::Cell::gru_reset_before, cell_of(3),
             [](Onnx& cell, const Vector& x) { cell.gru(x, false); });
  check_cell(lacuna::Cell::rnn_tanh, cell_of(1),
             [](Onnx& cell, const Vector& x) { cell.rnn(x, false); });
  check_cell(lacuna::Cell::rnn_relu, cell_of(1),
             [](Onnx& cell, const Vector& x) { cell.rnn(x, true); });
}

}  // namespace
}  // namespace foreign
