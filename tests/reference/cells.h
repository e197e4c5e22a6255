// The three families behind cell.h, one file each.
#pragma once

#include "reference/cell.h"

namespace reference {

template <class Real>
void rnn_update(const Layer&, const BasicParameters<Real>&, CellInput<Real>, Real* new_state,
                Real* kept);
template <class Real>
void rnn_update_backward(const Layer&, const BasicParameters<Real>&, CellInput<Real>,
                         const Real* kept, const Real* d_new_state, CellGradients<Real>);

template <class Real>
void lstm_update(const Layer&, const BasicParameters<Real>&, CellInput<Real>, Real* new_state,
                 Real* kept);
template <class Real>
void lstm_update_backward(const Layer&, const BasicParameters<Real>&, CellInput<Real>,
                          const Real* new_state, const Real* kept, const Real* d_new_state,
                          CellGradients<Real>);

template <class Real>
void gru_update(const Layer&, const BasicParameters<Real>&, CellInput<Real>, Real* new_state,
                Real* kept);
template <class Real>
void gru_update_backward(const Layer&, const BasicParameters<Real>&, CellInput<Real>,
                         const Real* kept, const Real* d_new_state, CellGradients<Real>);

}  // namespace reference
