// See cell.h: picks the cell's family.
#include "reference/cell.h"

#include "reference/cells.h"

namespace reference {

template <class Real>
void update(const Layer& layer, const BasicParameters<Real>& parameters, CellInput<Real> in,
            Real* new_state, Real* kept) {
  if (layer.has_cell_state()) {
    lstm_update(layer, parameters, in, new_state, kept);
  } else if (layer.is_gru()) {
    gru_update(layer, parameters, in, new_state, kept);
  } else {
    rnn_update(layer, parameters, in, new_state, kept);
  }
}

template <class Real>
void update_backward(const Layer& layer, const BasicParameters<Real>& parameters,
                     CellInput<Real> in, const Real* new_state, const Real* kept,
                     const Real* d_new_state, CellGradients<Real> d) {
  if (layer.has_cell_state()) {
    lstm_update_backward(layer, parameters, in, new_state, kept, d_new_state, d);
  } else if (layer.is_gru()) {
    gru_update_backward(layer, parameters, in, kept, d_new_state, d);
  } else {
    rnn_update_backward(layer, parameters, in, kept, d_new_state, d);
  }
}

template void update(const Layer&, const BasicParameters<float>&, CellInput<float>, float*, float*);
template void update(const Layer&, const BasicParameters<double>&, CellInput<double>, double*,
                     double*);
template void update_backward(const Layer&, const BasicParameters<float>&, CellInput<float>,
                              const float*, const float*, const float*, CellGradients<float>);
template void update_backward(const Layer&, const BasicParameters<double>&, CellInput<double>,
                              const double*, const double*, const double*, CellGradients<double>);

}  // namespace reference
