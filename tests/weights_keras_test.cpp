// Keras's weights: what an imported layer computes against Keras's own equations, and the way back.
#include "api/foreign_weights.h"

namespace foreign {
namespace {

TEST_F(Weights, Keras) {
  const auto cell_of = [&](std::size_t gates, std::size_t bias_rows) {
    Keras cell(H);
    cell.kernel = numbers(D * gates * H), cell.recurrent_kernel = numbers(H * gates * H);
    cell.bias = numbers(bias_rows * gates * H);
    return cell;
  };
  const auto check_cell = [&](lacuna::Cell cell, const Keras& keras, auto step) {
    SCOPED_TRACE(static_cast<int>(cell));
    check<Keras>(layer_of(cell), Convention::keras,
                 {keras.kernel, keras.recurrent_kernel, keras.bias}, keras, step);
  };
  check_cell(lacuna::Cell::lstm, cell_of(4, 1), [](Keras& cell, const Vector& x) { cell.lstm(x); });
  check_cell(lacuna::Cell::gru, cell_of(3, 2),
             [](Keras& cell, const Vector& x) { cell.gru_reset_after(x); });
  check_cell(lacuna::Cell::gru_reset_before, cell_of(3, 1),
             [](Keras& cell, const Vector& x) { cell.gru_reset_before(x); });
  check_cell(lacuna::Cell::rnn_tanh, cell_of(1, 1),
             [](Keras& cell, const Vector& x) { cell.simple_rnn(x); });
}

}  // namespace
}  // namespace foreign
