/* Stacks: layers on top of each other, in one direction or both, over sequences as long as they come. Included by
 * lacuna.h.
 *
 * A stack is trained like a layer: plan, forward, backward. What is new is how much memory that may take. The tape of a
 * long sequence is many times its data, so a plan cuts time into windows and decides, within the caller's budget, which
 * windows' tapes it keeps, at which borders it keeps states, and what it runs again on the way back
 * (docs/schedule.md). */
#ifndef LACUNA_STACK_H
#define LACUNA_STACK_H

#include "lacuna/lacuna.h"

#if defined(__cplusplus)
extern "C" {
#endif

typedef struct lacuna_stack {
  /* [count] The first layer reads the batch. A further one reads the output of the one below: its
   * features are the width of that one's output, twice it if bidirectional, its impute is NONE, and
   * it evolves with the same gaps. Empty rows are the same tokens in all layers: those at which the
   * first one measures nothing or, where it has no mask, batch.fires is 0; what happens there is each
   * layer's own empty_rows. All have one type and, unless bidirectional, one `reverse`. */
  const lacuna_layer* layers;
  int64_t count; /* L, 1 .. 64 */
  /* 0 or 1: each layer has a second direction, which reads sequences from their end, with
   * parameters of its own. A layer's output is then [N, 2R]: forward, reverse. The layers'
   * `reverse` must be 0. */
  int32_t bidirectional;
  /* 0 or 1: from the second layer on, a layer's input is added to its output; their widths must
   * agree. */
  int32_t residual;
  /* [0, 1): the probability with which a number that one layer hands to the next is replaced by 0,
   * in training; the others are divided by 1 - dropout. Drawn by Philox from the run's seed, the
   * sequence and the token's position in it (see lacuna_noise; each direction counts in its own order
   * of reading), the column and the layer. */
  double dropout;
} lacuna_stack;

/* Refuses a description that makes no sense. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_stack_check(const lacuna_stack* stack);

typedef struct lacuna_stack_options {
  int32_t inference; /* 1: no backward will be run, and nothing is dropped */
  /* The most bytes that the plan may use, for all that is kept and worked in; 0: no limit. A tight
   * budget costs time, never a bit: gradients are the same under any. */
  size_t memory_budget;
  /* Tokens of each sequence in a window, 1 or more; at least as many as the longest sequence has: one
   * window. 0: chosen from capacity.max_length alone, whatever the budget: a smaller one lets tighter
   * budgets serve (see lacuna_stack_info.memory_least), at some cost in time. Gradients of parameters
   * are summed window by window, so another segment rounds differently. At most 1024 windows. */
  int64_t segment;
  /* Truncated backpropagation through time (k1, k2): every `truncate_every` tokens a gradient is
   * taken, which flows back through the `truncate_reach` tokens before; states cross as constants.
   * 0, 0: all the way. As the forward run comes before the backward run, this saves no memory by
   * itself: a budget does. Otherwise the segment is truncate_every, and truncate_reach a multiple of
   * it. Gradients are what running the windows by hand gives, bit for bit. */
  int64_t truncate_every;
  int64_t truncate_reach;
  void*
      memory; /* the caller's own, aligned to 64 bytes, kept until the plan is destroyed; or null */
  size_t memory_bytes;
  /* [count] of the stack: how each layer is run, in both directions; null: as options of zeros say.
   * As for lacuna_plan_create and refused likewise, but `inference` is 0 or the stack's, `workspace`
   * null, and `tape_budget` 0: tapes of windows lie in the plan's one block, which memory_budget
   * limits. `tape` is the kind of every window's tape, under any budget. */
  const lacuna_plan_options* layer_options;
} lacuna_stack_options;

typedef struct lacuna_stack_info {
  size_t memory_bytes; /* the one block that the plan uses */
  size_t memory_floor; /* the most that is in use at one time: no layout of the block is smaller */
  size_t memory_without_budget;
  size_t
      memory_least; /* the least that a budget may be; more threads and a longer segment need more */
  int64_t segment;
  int64_t windows;       /* at capacity */
  int64_t kept_tapes;    /* windows whose tapes are kept together, in each stage and direction */
  int64_t kept_states;   /* borders at which states are kept */
  int64_t windows_again; /* windows that the backward run runs forward once more, summed over stages
                            and directions */
  int64_t tasks,
      waves; /* of a forward and a backward run; tasks of a wave do not depend on each other */
} lacuna_stack_info;

typedef struct lacuna_stack_plan lacuna_stack_plan;

/* `options` may be null. capacity.max_length is what time is cut by; 0: as long as `tokens`. On failure
 * *plan is null. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_stack_plan_create(
    lacuna_context* context, const lacuna_stack* stack, const lacuna_capacity* capacity,
    const lacuna_stack_options* options, lacuna_stack_plan** plan);
/* What lacuna_stack_plan_create would need, without making anything. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_stack_plan_measure(
    lacuna_context* context, const lacuna_stack* stack, const lacuna_capacity* capacity,
    const lacuna_stack_options* options, lacuna_stack_info* info);
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_stack_plan_query(const lacuna_stack_plan* plan,
                                                                  lacuna_stack_info* info);
/* What will run and why, as text for people; and the schedule drawn, as SVG: a column for each
 * wave, a row for each layer and direction. Both as lacuna_plan_explain writes. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_stack_plan_explain(const lacuna_stack_plan* plan,
                                                                    char* text, size_t* length);
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_stack_plan_timeline(const lacuna_stack_plan* plan,
                                                                     char* svg, size_t* length);
LACUNA_API void lacuna_stack_plan_destroy(lacuna_stack_plan* plan);

/* Of one layer in one direction; null: 0, or not wanted. */
typedef struct lacuna_state {
  void* hidden; /* real [B,R] */
  void* cell;   /* real [B,H], lstm */
} lacuna_state;

/* Arrays of one entry per layer and direction lie in the order layer 0 forward, (layer 0 reverse,)
 * layer 1 forward ...: L of them, 2L if bidirectional. */
typedef struct lacuna_stack_outputs {
  void* hidden;               /* real [N, width of the last layer's output] */
  lacuna_state* final_states; /* one per layer and direction, the arrays in it written; or null */
  /* As lacuna_outputs.carry_out, for the first layer. Not if bidirectional: a reverse direction
   * begins where the pieces that come later end. */
  lacuna_carry carry_out;
} lacuna_stack_outputs;

/* As lacuna_forward. `parameters`: one per layer and direction. `batch`: the first layer's, without
 * initial states, its lengths the host's (offsets_on_device is UNSUPPORTED), and with `fires` if the
 * first layer has no mask and any layer's empty_rows are EVOLVE_ONLY. `initial_states`: one per layer
 * and direction, or null.
 * `seed` decides what is dropped between layers, and what their zoneout and recurrent dropout draw:
 * batch.noise.seed is not read, batch.noise.sequence and .position are. Layer and direction number 0
 * draws what a layer alone draws from `seed`, each further one from a seed derived from it
 * (docs/schedule.md). A stack that is fed in pieces and told their positions draws as one that is not.
 * Nothing is drawn in inference. A training plan keeps what its backward run needs, until then. */
LACUNA_NODISCARD LACUNA_API lacuna_status
lacuna_stack_forward(lacuna_stack_plan* plan, const lacuna_parameters* parameters,
                     const lacuna_batch* batch, const lacuna_state* initial_states, uint64_t seed,
                     const lacuna_stack_outputs* outputs, void* stream);

/* dL/d(output). Null: 0. */
typedef struct lacuna_stack_output_gradients {
  const void* d_hidden;               /* real [N, width] */
  const lacuna_state* d_final_states; /* one per layer and direction, or null */
} lacuna_stack_output_gradients;

/* dL/d(input), "=". Null: not wanted. */
typedef struct lacuna_stack_input_gradients {
  void* d_values;  /* real [N,D] */
  void* d_delta_t; /* wide [N], through all layers */
  /* One per layer and direction, the arrays in it written; or null. */
  lacuna_state* d_initial_states;
  /* One per layer and direction, wide [N] or null: the Euclidean norm of dL/d(h after each token),
   * all of it, what comes back through later tokens included. Shows where gradients vanish or
   * explode. (Of an LSTM, dL/dc is not in it.) Truncated, that of the window's own gradient. */
  void* const* d_hidden_norms;
} lacuna_stack_input_gradients;

/* As lacuna_backward, once for each forward run, with the same parameters, batch and initial states;
 * the second time is a MISMATCH, because memory has been used again. `d_parameters` ("+="): one per
 * layer and direction, or null. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_stack_backward(
    lacuna_stack_plan* plan, const lacuna_parameters* parameters, const lacuna_batch* batch,
    const lacuna_state* initial_states, const lacuna_stack_output_gradients* d_outputs,
    const lacuna_parameter_gradients* d_parameters, const lacuna_stack_input_gradients* d_inputs,
    void* stream);

#if defined(__cplusplus)
}
#endif
#endif
