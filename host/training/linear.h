// The linear head, y = x W^T + b. x [rows, in], W [out, in], b [out], y [rows, out]. Sums are kept
// in double.
#pragma once

#include <cstdint>

#include "host/backend.h"
#include "host/cpu/team.h"

namespace lacuna::training {

// y "="; `bias` may be null.
template <class Real>
void linear_forward(cpu::Team& team, const LinearShape& shape, const Real* x, const Real* weights,
                    const Real* bias, Real* y);

// d_x "=", d_weights "+=", d_bias "+="; each may be null.
template <class Real>
void linear_backward(cpu::Team& team, const LinearShape& shape, const Real* x, const Real* weights,
                     const Real* d_y, Real* d_x, Real* d_weights, Real* d_bias);

}  // namespace lacuna::training
