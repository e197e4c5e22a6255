// Third stage: what one observation does to one sequence's evolved state, for every cell.
#pragma once

#include "reference/layer.h"
#include "reference/parameters.h"

namespace reference {

// What a step reads. state is [h] or, for an lstm, [h, c]: S units, evolved.
template <class Real>
struct CellInput {
  const Real* x;        // [K]
  const Real* state;    // [S]
  const Real* operand;  // [H] h as W_h reads it: not all of it where there is dropout
  Real delta_t;         // rnn_euler's step
};

// What a forward step keeps of each token for its backward step: `kept_width` numbers.
//   rnn   the activation tanh(..) or relu(..)                   [H]
//   lstm  i, f, g, o after their activations                    [4H]
//   gru   r, z, n after their activations, and W_hn h + b_hn    [4H]
inline int kept_width(const Layer& layer) { return 4 * layer.hidden; }

// What a step's inputs receive; everything is accumulated (+=).
template <class Real>
struct CellGradients {
  BasicParameters<Real>& parameters;
  Real* x;        // [K]
  Real* state;    // [S]
  Real* operand;  // [H]
  Real& gap;      // by delta_t
};

// Writes new_state [S] and kept; neither may overlap the input.
template <class Real>
void update(const Layer& layer, const BasicParameters<Real>& parameters, CellInput<Real> in,
            Real* new_state, Real* kept);

// new_state and kept are what update wrote; d_new_state [S].
template <class Real>
void update_backward(const Layer& layer, const BasicParameters<Real>& parameters,
                     CellInput<Real> in, const Real* new_state, const Real* kept,
                     const Real* d_new_state, CellGradients<Real> d);

}  // namespace reference
