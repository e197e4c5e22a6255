// All of kernels/training: what a training step needs besides the recurrence.
#pragma once
#include "kernels/training/linear.h"
#include "kernels/training/loss.h"
#include "kernels/training/optimiser.h"
#include "kernels/training/padded.h"
