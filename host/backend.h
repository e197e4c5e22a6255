// What a backend does, in one short list. host/api checks arguments and calls it, knowing no more of it than stands
// here: adding a backend adds a class.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include "host/memory/memory.h"
#include "host/plan/recipe.h"
#include "host/rows.h"
#include "host/staging.h"
#include "kernels/cells/clipped_step.h"
#include "lacuna/lacuna.h"

namespace lacuna {

// A backend's own way to fail: host/api hands status and message on.
struct BackendError : std::runtime_error {
  BackendError(lacuna_status why, const std::string& message)
      : std::runtime_error(message), status(why) {}
  lacuna_status status;
};

// What a plan keeps for its backend besides memory.
struct Prepared {
  virtual ~Prepared() = default;
};

struct ForwardRun {
  const Recipe& recipe;
  Prepared* prepared;
  const lacuna_parameters& parameters;
  const lacuna_batch& batch;
  const lacuna_outputs& outputs;
  std::byte* tape;  // null: inference
  std::byte* workspace;
  void* stream;
  bool staged = false;  // every array is the backend's, or was staged
  // Zoneout and recurrent dropout draw. Not the same as having a tape: a window may first run for its states alone.
  bool drawn = false;
  std::int64_t first_position = 0;  // of each sequence, on top of batch.noise.position
};

// dL/d of the context that a piece of a sequence hands to the next (lacuna_carry); wide [B,D]. Null: 0, or not wanted.
struct CarryGradient {
  void* last_values = nullptr;
  void* since = nullptr;
};

struct BackwardRun {
  const Recipe& recipe;
  Prepared* prepared;
  const lacuna_parameters& parameters;
  const lacuna_batch& batch;
  const lacuna_output_gradients& d_outputs;
  const std::byte* tape;
  const lacuna_parameter_gradients& d_parameters;
  const lacuna_input_gradients& d_inputs;
  std::byte* workspace;
  void* stream;
  CarryGradient d_carry_out{};  // read: what the piece after this one found
  CarryGradient d_carry_in{};   // "=": what the piece before this one is owed
  // wide [N] "=": Euclidean norm of dL/dh after each token; null: not wanted
  void* d_hidden_norms = nullptr;
  bool staged = false;  // as in ForwardRun; what is carried always is
  static constexpr bool drawn = true;
  std::int64_t first_position = 0;
};

struct LinearShape {
  std::int64_t rows, in, out;
};

struct LinearForwardRun {
  lacuna_type type;
  LinearShape shape;
  const void* x;
  const void* weights;
  const void* bias;
  void* y;
  void* stream;
};

struct LinearBackwardRun {
  lacuna_type type;
  LinearShape shape;
  const void* x;
  const void* weights;
  const void* d_y;
  void* d_x;
  void* d_weights;
  void* d_bias;
  void* stream;
};

struct LossRun {
  lacuna_loss kind;
  lacuna_type type;
  std::int64_t rows, columns;
  const void* predictions;
  const void* targets;
  const std::uint8_t* mask;
  double scale;
  const lacuna_loss_scale* loss_scale;  // may be null
  double* loss;
  std::int64_t* count;
  void* d_predictions;
  void* stream;

  bool per_row() const { return kind == LACUNA_LOSS_CROSS_ENTROPY; }
  std::int64_t target_columns() const { return per_row() ? 1 : columns; }
};

struct ClipRun {
  lacuna_type type;
  std::int64_t arrays;
  void* const* gradients;
  const std::int64_t* counts;
  double max_norm;
  double* norm;  // may be null
  void* stream;
};

struct AdamRun {
  lacuna_adam adam;
  lacuna_type type;
  std::int64_t count;
  const void* gradients;
  void* parameters;
  void* first_moment;
  void* second_moment;
  void* stream;
};

struct ClippedAdamRun {
  ClippedStep step;
  lacuna_type type;
  std::int64_t arrays;
  const lacuna_adam_array* list;
  double* norm;  // may be null
  void* stream;
};

struct PaddedShape {
  std::int64_t sequences, max_length, row_bytes;
};

struct PackRun {
  PaddedShape shape;
  const std::int64_t* lengths;
  const std::byte* padded;  // null: offsets alone
  std::int64_t* offsets;
  std::byte* packed;
  void* stream;
};

struct UnpackRun {
  PaddedShape shape;
  const std::int64_t* offsets;
  const std::byte* packed;
  std::byte* padded;
  void* stream;
};

// Calls come from several threads at once. Arguments have been checked as far as the host can see them.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual lacuna_backend kind() const = 0;
  // Backend, threads, instruction set, device; what the memory's books say is added by host/api.
  virtual lacuna_context_info facts() const = 0;
  virtual memory::Memory& memory() = 0;
  virtual bool computes_in(lacuna_type type) const = 0;
  // Can the host read this array of a call? What it can read is checked before anything runs.
  virtual bool host_reads(const void* array) const = 0;
  // Empty when the backend can use this address of the caller's, else what is wrong with it. `memory`: it is to be a
  // plan's or a tape's memory, rather than an array of a call.
  virtual std::string refuse_address(const void*, bool /*memory*/) const { return {}; }
  // The same of an array that the host is to read.
  virtual std::string refuse_host_read(const void*) const { return {}; }

  // Pure. Of the options, all but the workspace are looked at. `sharers`: plans whose runs are pieces of one side_by_side,
  // this one among them; 1: it runs alone. Throws std::length_error where the sizes overflow, BackendError where one that was
  // asked for does not serve.
  virtual Recipe plan(const lacuna_layer& layer, const lacuna_capacity& capacity,
                      const lacuna_plan_options& options, int sharers) const = 0;
  virtual std::string explain(const Recipe& recipe) const = 0;
  // What becomes of a batch that fits. `offsets`: [B+1]. As given here: by lanes of host/plan.
  virtual std::string explain_batch(const Recipe& recipe,
                                    std::span<const std::int64_t> offsets) const {
    return lacuna::explain_batch(recipe, offsets);
  }
  virtual std::unique_ptr<Prepared> prepare(const Recipe&) { return nullptr; }

  virtual void forward(const ForwardRun& run) = 0;
  virtual void backward(const BackwardRun& run) = 0;

  virtual void linear_forward(const LinearForwardRun& run) = 0;
  virtual void linear_backward(const LinearBackwardRun& run) = 0;
  virtual void loss(const LossRun& run) = 0;
  virtual void clip_gradient_norm(const ClipRun& run) = 0;
  virtual void adam_step(const AdamRun& run) = 0;
  virtual void adam_step_clipped(const ClippedAdamRun& run) = 0;
  virtual void pack(const PackRun& run) = 0;
  virtual void unpack(const UnpackRun& run) = 0;

  // Calls work(job, staging) once, for a call that is made of several runs. What `staging` gives for the caller's arrays
  // serves all of them; null: the arrays themselves do.
  virtual void stage(void* /*stream*/, void* job, void (*work)(void* job, Staging* staging)) {
    work(job, nullptr);
  }

  // The four below take arrays that are the backend's, or were staged.
  virtual void rows(const RowsRun& run) = 0;
  virtual void measured(const MeasuredRun& run) = 0;
  virtual void gaps(const GapsRun& run) = 0;
  virtual void gap_gradients(const GapGradientsRun& run) = 0;
  // Bytes of its own memory in which a backend wants a window of so many sequences before it is used, as `prepared`; and
  // puts it there.
  virtual std::size_t window_bytes(std::int64_t /*sequences*/) const { return 0; }
  virtual void prepare_window(const WindowRows&, void* /*stream*/) {}

  // Calls work(job, i, its stream) for i in [0, count): pieces of work that do not depend on each other, each of which
  // can be cut into so many parts by the backend itself. They may run at the same time, and must not throw where threads
  // do so. `prepared`: of as many pieces or more.
  virtual void side_by_side(Prepared* prepared, int count, std::int64_t parts, void* stream,
                            void* job, void (*work)(void* job, int index, void* stream)) = 0;
  virtual std::unique_ptr<Prepared> prepare_side_by_side(int /*count*/) { return nullptr; }
};

}  // namespace lacuna
