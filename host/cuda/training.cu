#include "host/cuda/training.h"

#include "kernels/training/training.h"

namespace lacuna::cuda {

namespace {

simt::Stream stream_of(void* stream) { return static_cast<simt::Stream>(stream); }

}  // namespace

template <class T>
void queue_linear(const LinearForwardRun& run) {
  using R = simt::Real<T>;
  linear_forward(stream_of(run.stream),
                 LinearForward<T>{run.shape.rows, run.shape.in, run.shape.out,
                                  static_cast<const T*>(run.x), static_cast<const R*>(run.weights),
                                  static_cast<const R*>(run.bias), static_cast<T*>(run.y)});
}

template <class T>
void queue_linear_backward(Scratch&& scratch, const LinearBackwardRun& run) {
  using R = simt::Real<T>;
  const auto [rows, in, out] = run.shape;
  const bool sums = run.d_weights || run.d_bias;
  linear_backward(
      scratch.stream(),
      LinearBackward<T>{rows, in, out, static_cast<const T*>(run.x),
                        static_cast<const R*>(run.weights), static_cast<const T*>(run.d_y),
                        static_cast<T*>(run.d_x), static_cast<R*>(run.d_weights),
                        static_cast<R*>(run.d_bias),
                        sums ? scratch.take(linear_workspace_bytes<T>(rows, in, out)) : nullptr});
}

template <class T>
void queue_loss(Scratch&& scratch, const LossRun& run) {
  evaluate_loss(
      scratch.stream(),
      LossEvaluation<T>{run.kind, run.rows, run.columns, static_cast<const T*>(run.predictions),
                        run.targets, run.mask, run.scale, run.loss_scale, run.loss, run.count,
                        static_cast<T*>(run.d_predictions), scratch.take(loss_workspace_bytes)});
}

#define LACUNA_TRAINING(T)                                                     \
  template void queue_linear<T>(const LinearForwardRun&);                      \
  template void queue_linear_backward<T>(Scratch&&, const LinearBackwardRun&); \
  template void queue_loss<T>(Scratch&&, const LossRun&);
LACUNA_TRAINING(float)
LACUNA_TRAINING(double)
LACUNA_TRAINING(simt::Fp16)
LACUNA_TRAINING(simt::Bf16)
#undef LACUNA_TRAINING

namespace {

// Gradients of parameters are float or double.
template <class R>
void clip(Scratch& scratch, const ClipRun& run) {
  clip_gradient_norm(
      scratch.stream(),
      ClipGradientNorm<R>{run.arrays, run.gradients, run.counts, run.max_norm, run.norm,
                          scratch.take(clip_workspace_bytes(run.arrays, run.counts))});
}

template <class R>
void adam(const AdamRun& run) {
  adam_step(stream_of(run.stream),
            AdamStep<R>{run.adam, run.count, static_cast<const R*>(run.gradients),
                        static_cast<R*>(run.parameters), static_cast<R*>(run.first_moment),
                        static_cast<R*>(run.second_moment)});
}

template <class R>
void clipped_adam(Scratch& scratch, const ClippedAdamRun& run) {
  adam_step_clipped(
      scratch.stream(),
      ClippedAdamStep<R>{run.step, run.arrays, run.list, run.norm,
                         scratch.take(clipped_adam_workspace_bytes(run.arrays, run.list))});
}

}  // namespace

void queue_clip(Scratch&& scratch, const ClipRun& run) {
  if (run.type == LACUNA_F64)
    clip<double>(scratch, run);
  else
    clip<float>(scratch, run);
}

void queue_adam(const AdamRun& run) {
  if (run.type == LACUNA_F64)
    adam<double>(run);
  else
    adam<float>(run);
}

void queue_clipped_adam(Scratch&& scratch, const ClippedAdamRun& run) {
  if (run.type == LACUNA_F64)
    clipped_adam<double>(scratch, run);
  else
    clipped_adam<float>(scratch, run);
}

void queue_pack(const PackRun& run) {
  const PaddedShape& shape = run.shape;
  offsets_from_lengths(stream_of(run.stream),
                       {shape.sequences, shape.max_length, run.lengths, run.offsets});
  if (run.padded && run.packed)
    pack_rows(stream_of(run.stream),
              {shape.sequences, shape.max_length, shape.row_bytes, run.offsets}, run.padded,
              run.packed);
}

void queue_unpack(const UnpackRun& run) {
  const PaddedShape& shape = run.shape;
  unpack_rows(stream_of(run.stream),
              {shape.sequences, shape.max_length, shape.row_bytes, run.offsets}, run.packed,
              run.padded);
}

}  // namespace lacuna::cuda
