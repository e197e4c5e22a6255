// What a recurrence reads and writes, in whatever regime it runs. Arrays of T are stored values, of R what is computed
// with. Those `units` wide are the library's (aligned to 16 bytes; padding columns of what is written here are 0), those H
// wide the caller's. Arrays of h are narrower where it is projected: see stepwise/projected.h.
#pragma once

#include <cstdint>

#include "kernels/recurrence/evolve_units.h"
#include "kernels/recurrence/noise.h"
#include "kernels/recurrence/sequences.h"
#include "kernels/simt/number.h"
#include "lacuna/lacuna.h"

namespace lacuna {

template <class T>
struct ForwardView {
  using R = simt::Real<T>;

  SequenceView sequences;
  lacuna_cell cell = LACUNA_RNN_TANH;
  std::int64_t hidden = 0, units = 0;  // H, and the stride: a multiple of 8

  // Of all tokens.
  const R* gx = nullptr;                // [N, G units]: W_x x
  const R* gaps = nullptr;              // [N]: read by rnn_euler, decay_step and relax
  const std::uint8_t* fires = nullptr;  // [N]: 0 where the state only evolves; null: all fire
  EvolveView<R> evolve;
  NoiseView<R> noise;

  // The caller's parameters and states.
  const R* bias = nullptr;            // [G H]
  const R* bias_hn = nullptr;         // [H], gru
  const T* initial_hidden = nullptr;  // [B, H]; null: 0
  const T* initial_cell = nullptr;    // [B, H]; null: 0

  // Outputs, "=", each may be null.
  T* hidden_out = nullptr;      // [N, H]: h after each token
  T* cell_out = nullptr;        // [N, H]: c after each token, lstm
  T* evolved_hidden = nullptr;  // [N, H]: h before each update
  T* final_hidden = nullptr;    // [B, H]; the initial state of a sequence of no tokens
  T* final_cell = nullptr;      // [B, H], lstm

  // The tape, "=", each null in inference.
  T* tape_h = nullptr;        // [N, units]: evolved h
  T* tape_operand = nullptr;  // [N, units]: what W_h read of it, with recurrent dropout
  R* tape_c = nullptr;        // [N, units]: evolved c, lstm
  T* gates = nullptr;  // [N, saved_gates units]: see cell_steps.h; 0 where the token does not fire
};

template <class T>
struct BackwardView {
  using R = simt::Real<T>;

  SequenceView sequences;
  lacuna_cell cell = LACUNA_RNN_TANH;
  std::int64_t hidden = 0, units = 0;

  const R* gaps = nullptr;              // [N]: read by rnn_euler, decay_step and relax
  const std::uint8_t* fires = nullptr;  // [N]; null: all fire
  EvolveView<R> evolve;
  NoiseView<R> noise;
  const T* initial_hidden = nullptr;  // [B, H]; null: 0. Read by relax where T is rounded

  // The tape.
  const T* tape_h = nullptr;        // [N, units]
  const T* tape_operand = nullptr;  // [N, units]; null: tape_h
  const R* tape_c = nullptr;        // [N, units], lstm
  const T* gates = nullptr;         // [N, saved_gates units]

  // dL/d(output), each may be null: 0.
  const T* d_hidden_out = nullptr;    // [N, H]
  const T* d_cell_out = nullptr;      // [N, H], lstm
  const T* d_final_hidden = nullptr;  // [B, H]
  const T* d_final_cell = nullptr;    // [B, H], lstm

  // Rows of tokens for the sums over all of them, "=", each may be null.
  T* d_gates =
      nullptr;  // [N, gradient_gates units]: see cell_steps.h; 0 where the token does not fire
  T* reset_operand = nullptr;  // [N, units]: r h, gru_reset_before; 0 where the token does not fire
  R* d_euler = nullptr;        // [N, units]: what a unit's update adds to dL/d(gap), rnn_euler
  EvolveGradients<R> d_evolve;

  R* d_hidden_rows = nullptr;  // [N, units]: dL/d(h after each token), "="; null: not wanted

  // dL/d(initial state), "=", each may be null.
  T* d_initial_hidden = nullptr;  // [B, H]
  T* d_initial_cell = nullptr;    // [B, H], lstm
};

}  // namespace lacuna
