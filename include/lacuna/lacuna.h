/* Lacuna: fused recurrent layers for irregular time series. This is the C ABI, and these are the
 * only exported symbols.
 *
 * The way through it is describe -> plan -> run:
 *   lacuna_context    where things run: a backend, its threads, its memory
 *   lacuna_layer      what is computed: a choice of impute, evolve and update (docs/equations.md)
 *   lacuna_plan       how, for batches up to a capacity; owns the workspace
 *   lacuna_tape       what a forward run leaves for its backward run
 *
 * Conventions
 *   - Arrays are dense, row-major and token-major: a batch of B sequences is N = sum(length_b)
 *     rows stored back to back, and sequence b owns rows offsets[b] .. offsets[b+1]-1. Lengths 0
 *     and 1 are legal; nothing is sorted.
 *   - D features, H hidden units, G gates, K = width of the cell's input
 *     (lacuna_layer_input_width), R = width of h (lacuna_layer_output_width; H unless projected),
 *     S = R, or R + H for an LSTM that relaxes.
 *   - `real` stands for the type that lacuna_layer.type names: float, double, or on CUDA fp16 or
 *     bf16 (16 bits each). `wide` is what sums and times need: double for double, else float.
 *     Everything is computed and summed in `wide`. Pointers must be aligned to their elements.
 *   - On CUDA arrays may be the device's or the host's. With all of them on the device (offsets
 *     excepted) a call returns before its work is done, which runs in the order of `stream`; arrays
 *     of the host are copied there and back, and the call waits. The content of the device's arrays
 *     is not looked at: what is against the rules in them (a NaN gap, a target that is no class)
 *     spoils results, never memory.
 *   - No output may overlap another buffer of the same call.
 *   - Every call returns a status; lacuna_last_error() then names the argument, its value and
 *     what was expected. A call that fails leaves its objects usable and checks its arguments
 *     before it writes any output, but for the handle of a *_create, which it sets to null first.
 *   - A *_destroy ignores null. To destroy an object twice, or to use it afterwards, is undefined.
 *   - After lacuna_plan_create and lacuna_tape_create a run allocates nothing; but see
 *     lacuna_allocator for arrays of the host on CUDA.
 *   - A context may be shared by threads. A plan, or a tape, serves one thread at a time; a plan
 *     refuses a second.
 */
#ifndef LACUNA_LACUNA_H
#define LACUNA_LACUNA_H

#include <stddef.h>
#include <stdint.h>

#define LACUNA_VERSION_MAJOR 0
#define LACUNA_VERSION_MINOR 1
#define LACUNA_VERSION_PATCH 0

#if defined(__GNUC__)
#define LACUNA_API __attribute__((visibility("default")))
#else
#define LACUNA_API
#endif

#if defined(__cplusplus)
#define LACUNA_NODISCARD [[nodiscard]]
extern "C" {
#elif defined(__GNUC__)
#define LACUNA_NODISCARD __attribute__((warn_unused_result))
#else
#define LACUNA_NODISCARD
#endif

/* ---- Status ---------------------------------------------------------------------------------- */

typedef enum lacuna_status {
  LACUNA_OK = 0,
  /* an argument is null, misaligned, out of range, NaN, or contradicts another */
  LACUNA_INVALID_ARGUMENT = 1,
  LACUNA_CAPACITY_EXCEEDED = 2, /* the batch is larger than the plan was made for */
  LACUNA_MISMATCH = 3,          /* a tape, plan or batch that do not belong together */
  LACUNA_OUT_OF_MEMORY = 4,     /* the allocator returned null; nothing was lost */
  LACUNA_UNSUPPORTED = 5,       /* legal, but this backend or build does not have it */
  LACUNA_INTERNAL = 6,          /* a defect in Lacuna */
  /* the GPU or its driver reported an error: CUDA's own words, which kernel if it was a launch, and
   * the shape of a run's layer */
  LACUNA_DEVICE_ERROR = 7
} lacuna_status;

/* The message of this thread's latest failed call; "" when there was none. Valid until the
 * thread's next failure. */
LACUNA_API const char* lacuna_last_error(void);
LACUNA_API const char* lacuna_status_name(lacuna_status status);
/* "major.minor.patch" of the library that is loaded; compare with the LACUNA_VERSION_* it was
 * compiled against. */
LACUNA_API const char* lacuna_version(void);

/* ---- Context --------------------------------------------------------------------------------- */

typedef enum lacuna_backend {
  LACUNA_BACKEND_BEST = 0, /* CUDA when the build and the machine have it, else CPU */
  LACUNA_BACKEND_CPU = 1,
  LACUNA_BACKEND_CUDA = 2
} lacuna_backend;

/* Instruction sets of the CPU backend, in rising order. A context never uses more than the
 * machine has. */
typedef enum lacuna_isa {
  LACUNA_ISA_BEST = 0,
  LACUNA_ISA_BASELINE = 1, /* SSE2 on x86-64, NEON on AArch64 */
  LACUNA_ISA_AVX2 = 2,     /* with FMA */
  LACUNA_ISA_AVX512 = 3    /* F, BW, DQ, VL */
} lacuna_isa;

/* The caller's memory. `allocate` returns `bytes` aligned to `alignment` (a power of two), or
 * null when it cannot; `deallocate` gets what was asked for. `stream` is null on the CPU; on
 * CUDA the block may be used in the order of that stream, and the context's device is the current
 * one. Both are called from the thread that creates or destroys an object. A run calls them on CUDA
 * alone, from its own thread and with its own stream: where arrays of the call are the host's, and in
 * training calls that sum (lacuna_linear_backward for weights or bias, lacuna_loss_evaluate,
 * lacuna_clip_gradient_norm, lacuna_adam_step_clipped), it takes scratch memory, and gives it back
 * before it returns. From several threads at once when these share a context. */
typedef struct lacuna_allocator {
  void* (*allocate)(void* user, size_t bytes, size_t alignment, void* stream);
  void (*deallocate)(void* user, void* block, size_t bytes, size_t alignment, void* stream);
  void* user;
} lacuna_allocator;

/* All zero is a good choice: the best backend, all cores, the built-in pool. */
typedef struct lacuna_context_options {
  lacuna_backend backend;
  int32_t threads;            /* CPU threads, 0 .. 1024; 0: all cores this process may use */
  lacuna_isa isa;             /* the most that may be used */
  lacuna_allocator allocator; /* all null: the built-in pool */
  int32_t device;             /* CUDA: the device's index, as the driver counts. CPU: must be 0 */
  /* The most bytes that plans and tapes may have in use together: more is OUT_OF_MEMORY. 0: no
   * limit. What a call on CUDA takes and gives back (see lacuna_allocator) is not counted. */
  size_t memory_limit;
  /* The most bytes of freed blocks that the built-in pool keeps for reuse; what is above goes back
   * to the system. 0: no limit. */
  size_t memory_kept_limit;
} lacuna_context_options;

typedef struct lacuna_context_info {
  lacuna_backend backend; /* the one in use */
  int32_t threads;
  lacuna_isa isa;
  /* Taken from the pool or the caller's allocator by plans and tapes, now. This and the next two
   * leave out what a call on CUDA takes and gives back (see lacuna_allocator). */
  size_t bytes_in_use;
  size_t bytes_peak;  /* the most there has been */
  size_t allocations; /* of plans and tapes so far: it stands still while plans run */
  int32_t device;     /* CUDA: its index; CPU: -1 */
  size_t bytes_kept;  /* of freed blocks, by the built-in pool */
} lacuna_context_info;

typedef struct lacuna_context lacuna_context;

/* `options` may be null (all zero). The context is kept alive by the plans and tapes made from
 * it. On CUDA, destroying any of these waits for the device, and breaks captures of its streams. */
LACUNA_NODISCARD LACUNA_API lacuna_status
lacuna_context_create(const lacuna_context_options* options, lacuna_context** context);
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_context_query(const lacuna_context* context,
                                                               lacuna_context_info* info);
/* Blocks that the built-in pool keeps for reuse go back to the system. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_context_trim(lacuna_context* context);
LACUNA_API void lacuna_context_destroy(lacuna_context* context);

/* ---- Layer ----------------------------------------------------------------------------------- */

typedef enum lacuna_type {
  LACUNA_F32 = 0,
  LACUNA_F64 = 1,
  LACUNA_F16 = 2,
  LACUNA_BF16 = 3
} lacuna_type;

/* How the state takes in what was observed; x is the cell's input, h and c its state.
 *   rnn_tanh           h' = tanh(W_x x + W_h h + b)
 *   rnn_relu           h' = max(0, W_x x + W_h h + b)
 *   rnn_euler          h' = h + dt tanh(W_x x + W_h h + b)
 *   lstm               gates i, f, g, o: c' = f c + i g, h' = o tanh(c')
 *   gru                gates r, z, n: n = tanh(W_xn x + b_n + r (W_hn h + b_hn)),
 *   gru_reset_before                  n = tanh(W_xn x + b_n + W_hn (r h)); both h' = (1-z) n + z h
 */
typedef enum lacuna_cell {
  LACUNA_RNN_TANH = 0,
  LACUNA_RNN_RELU = 1,
  LACUNA_RNN_EULER = 2,
  LACUNA_LSTM = 3,
  LACUNA_GRU = 4,
  LACUNA_GRU_RESET_BEFORE = 5
} lacuna_cell;

/* What a missing feature reads as. With a mask m: x where m = 1, and where m = 0
 *   none      there is no mask: every value is read
 *   mean      x_mean
 *   forward   x_last, the latest value measured before; x_mean when there is none
 *   decay     g x_last + (1-g) x_mean, g = exp(-max(0, w delta + b))          Che et al. 2018
 *   relax     the same with g = exp(-softplus(w) delta): two gaps compose exactly
 */
typedef enum lacuna_impute {
  LACUNA_IMPUTE_NONE = 0,
  LACUNA_IMPUTE_MEAN = 1,
  LACUNA_IMPUTE_FORWARD = 2,
  LACUNA_IMPUTE_DECAY = 3,
  LACUNA_IMPUTE_RELAX = 4
} lacuna_impute;

/* What elapsed time does to the state before the update.
 *   decay        h <- g h, g = exp(-max(0, W_g delta + b))                   Che et al. 2018
 *   decay_step   h <- g h, g = exp(-max(0, w dt + b))                        Cao et al. 2018 (RITS)
 *   relax        s <- s_inf + exp(-softplus(lambda) dt) (s - s_inf), the whole state
 */
typedef enum lacuna_evolve {
  LACUNA_EVOLVE_NONE = 0,
  LACUNA_EVOLVE_DECAY = 1,
  LACUNA_EVOLVE_DECAY_STEP = 2,
  LACUNA_EVOLVE_RELAX = 3
} lacuna_evolve;

/* What happens at a token where no feature was measured; without a mask, where batch.fires is 0. */
typedef enum lacuna_empty_rows {
  LACUNA_EMPTY_ROWS_UPDATE = 0,     /* the cell fires on the imputed row */
  LACUNA_EMPTY_ROWS_EVOLVE_ONLY = 1 /* the state only evolves */
} lacuna_empty_rows;

typedef struct lacuna_layer {
  lacuna_cell cell;
  lacuna_impute impute;
  lacuna_evolve evolve;
  lacuna_empty_rows empty_rows;
  lacuna_type type;
  int64_t features;   /* D, 1 .. 2^24 */
  int64_t hidden;     /* H, 1 .. 2^24 */
  int32_t mask_input; /* 0 or 1: the cell's input is [x, m]; needs a mask */
  int32_t gap_input;  /* 0 or 1: log(1 + dt) is the input's last column */
  /* 0 or 1: read each sequence from its end. The gap of token s is then dt[s+1], and x_last and
   * delta look at the tokens after s */
  int32_t reverse;
  /* [0, 1): zoneout (Krueger et al. 2017), at tokens where the cell fires. In training a unit of h,
   * and apart from it one of c (lstm), keeps its evolved state with this probability instead of
   * taking the new one. Without a tape nothing is drawn: p times the evolved state and 1 - p times
   * the new one. An lstm's h is formed from the c that zoneout has not touched. */
  double zoneout_hidden;
  double zoneout_cell; /* lstm */
  /* [0, 1): variational dropout of the recurrence (Gal & Ghahramani 2016). In training W_h reads m h
   * instead of h, m drawn once for each unit of a sequence: 0 with this probability, else
   * 1 / (1 - p). (gru_reset_before: W_hn reads r m h.) What passes h on without W_h does not see
   * it. Without a tape nothing is dropped. */
  double recurrent_dropout;
  /* 0 or 1: layer normalisation inside the cell (Ba et al. 2016). With
   * LN(a) = (a - mean) / sqrt(variance + 1e-5) over a group of gates, W_x x becomes gain_x LN(W_x x)
   * and W_h h gain_h LN(W_h h), both before any bias; an lstm's h' = o tanh(gain_c LN(c') + b_c).
   * Groups, all units of these gates: rnn [h], lstm [i f g o], gru [r z] and [n]. */
  int32_t layer_norm;
  /* P, 0 .. H, lstm: the state h is W_p (o tanh c'), of P numbers instead of H (Sak et al. 2014);
   * 0: there is no projection. */
  int64_t projection;
} lacuna_layer;

LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_layer_check(const lacuna_layer* layer);
/* K = D (1 + mask_input) + gap_input */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_layer_input_width(const lacuna_layer* layer,
                                                                   int64_t* width);
/* R, the width of h and of a layer's output: H, or the projection's P. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_layer_output_width(const lacuna_layer* layer,
                                                                    int64_t* width);

/* ---- Parameters ------------------------------------------------------------------------------ */

/* Gates are stacked by rows in the order the cell names them. */
typedef enum lacuna_parameter {
  LACUNA_WEIGHTS_X = 0,     /* W_x    [G H, K] */
  LACUNA_WEIGHTS_H = 1,     /* W_h    [G H, R] */
  LACUNA_BIAS = 2,          /* b      [G H]    */
  LACUNA_BIAS_HN = 3,       /* b_hn   [H]      gru */
  LACUNA_X_MEAN = 4,        /* x_mean [D]      impute mean, forward, decay, relax */
  LACUNA_IMPUTE_WEIGHT = 5, /* w      [D]      impute decay, relax */
  LACUNA_IMPUTE_BIAS = 6,   /* b      [D]      impute decay */
  LACUNA_EVOLVE_WEIGHT = 7, /* decay: W_g [R, D]; decay_step: w [R]; relax: lambda [S] */
  LACUNA_EVOLVE_BIAS = 8,   /* decay, decay_step: b [R] */
  LACUNA_EVOLVE_TARGET = 9, /* relax: s_inf [S], h's part first, then c's */
  LACUNA_NORM_GAIN_X = 10,  /* gain_x [G H], layer_norm */
  LACUNA_NORM_GAIN_H = 11,  /* gain_h [G H], layer_norm */
  LACUNA_NORM_GAIN_C = 12,  /* gain_c [H], layer_norm, lstm */
  LACUNA_NORM_BIAS_C = 13,  /* b_c    [H], layer_norm, lstm */
  LACUNA_PROJECTION = 14,   /* W_p    [P, H], projection */
  LACUNA_PARAMETERS = 15    /* how many kinds there are */
} lacuna_parameter;

/* One pointer (to wide) per kind; null where the layer has no such parameter. */
typedef struct lacuna_parameters {
  const void* tensor[LACUNA_PARAMETERS];
} lacuna_parameters;

/* The gradients, "+=". Null where a gradient is not wanted, for example of a frozen x_mean. */
typedef struct lacuna_parameter_gradients {
  void* tensor[LACUNA_PARAMETERS];
} lacuna_parameter_gradients;

typedef struct lacuna_parameter_info {
  const char* name;      /* "weights_x", ... */
  int64_t rows, columns; /* columns = 1 for a vector; both 0 when the layer does not have it */
  int64_t offset;        /* in elements, if all parameters lie back to back in enum order */
} lacuna_parameter_info;

LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_layer_parameter(const lacuna_layer* layer,
                                                                 lacuna_parameter kind,
                                                                 lacuna_parameter_info* info);
/* Elements of all parameters together. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_layer_parameter_count(const lacuna_layer* layer,
                                                                       int64_t* count);
/* The customary start, in the back-to-back layout: the cell's weights and biases, and W_p, uniform in
 * +-1/sqrt(H), gains 1, b_c, x_mean, s_inf, impute and evolve biases 0, decay weights uniform in [0,
 * 1/sqrt(H)) (impute: [0, 1)), relax rates softplus^-1 of values log-uniform in [0.01, 1]. The
 * same seed gives the same numbers everywhere, in any type. `parameters`: wide, on the host. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_layer_initialize(const lacuna_layer* layer,
                                                                  uint64_t seed, void* parameters);

/* Other libraries' weights. Foreign tensors stand in the order given here, null where the layer has
 * none; a foreign bias that is null reads as 0. Import writes target->tensor, "=" here although the
 * struct is that of gradients, export the foreign tensors; both skip null targets. Decay, relax and
 * imputation parameters have no foreign counterpart except where said. All tensors, wide, are the
 * host's, on CUDA too. */
typedef enum lacuna_convention {
  /* weight_ih [GH,K], weight_hh [GH,R], bias_ih [GH], bias_hh [GH], with a projection (proj_size)
   * weight_hr [P,H]; lstm, gru, rnn. Gates as here. Export puts the whole bias into bias_ih, except gru's b_hn. */
  LACUNA_PYTORCH = 0,
  /* kernel [K,GH], recurrent_kernel [H,GH], bias ([GH], or [2,3H] for gru, which is
   * reset_after=True). lstm i,f,g,o; gru z,r,n. gru_reset_before is reset_after=False. */
  LACUNA_KERAS = 1,
  /* W [GH,K], R [GH,H], B [2GH]; lstm i,o,f,g; gru z,r,n; gru is linear_before_reset=1,
   * gru_reset_before 0. One direction. */
  LACUNA_ONNX = 2,
  /* the authors' Keras code, gru_reset_before with decay and mask input: kernel [D,3H],
   * recurrent_kernel [H,3H], masking_kernel [D,3H], bias [3H] (gates z,r,n), input_decay_kernel
   * [D], input_decay_bias [D], hidden_decay_kernel [D,H], hidden_decay_bias [H]. It feeds 1-m
   * and decays to 0, the mean of standardised inputs: the import negates the mask's weights,
   * adds them to the bias and sets x_mean to 0; the export undoes that, and is for inputs with
   * x_mean subtracted. What weights cannot carry over: that code blends with the undecayed h
   * (the paper, and Lacuna, with the decayed), and its defaults are a logistic candidate and
   * piecewise linear gates. */
  LACUNA_GRU_D = 3
} lacuna_convention;

#define LACUNA_FOREIGN_TENSORS 8
typedef struct lacuna_foreign_tensors {
  void* tensor[LACUNA_FOREIGN_TENSORS];
} lacuna_foreign_tensors;

/* Name and shape of the foreign tensor with this index (0 .. LACUNA_FOREIGN_TENSORS - 1); rows
 * and columns 0 and an empty name when the convention has none there for this layer. UNSUPPORTED
 * when it cannot hold the layer's cell at all. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_weights_describe(const lacuna_layer* layer,
                                                                  lacuna_convention convention,
                                                                  int32_t index,
                                                                  lacuna_parameter_info* info);
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_weights_import(
    const lacuna_layer* layer, lacuna_convention convention, const lacuna_foreign_tensors* source,
    const lacuna_parameter_gradients* target);
LACUNA_NODISCARD LACUNA_API lacuna_status
lacuna_weights_export(const lacuna_layer* layer, lacuna_convention convention,
                      const lacuna_parameters* source, const lacuna_foreign_tensors* target);

/* ---- Plan and tape --------------------------------------------------------------------------- */

/* The largest batch a plan will see. */
typedef struct lacuna_capacity {
  int64_t tokens;    /* N, 0 .. 2^48 */
  int64_t sequences; /* B, 0 .. 2^48; CUDA: 0 .. 2^31 - 1 */
  /* The longest sequence; 0: as long as `tokens`. CUDA needs it where only the
   * device knows the lengths, for it launches so many steps; and what it chooses, a regime and
   * branches of the stream, follows from it, too. */
  int64_t max_length;
} lacuna_capacity;

/* How the CUDA backend walks the tokens. Results agree within rounding; each regime repeats its
 * own bits for the same batch. A sequence's results differ by rounding in other company. */
typedef enum lacuna_regime {
  /* The plan's choice, by a model of how long a time step of a full batch takes on this GPU in each
   * of the regimes below; lacuna_plan_explain tells what it reckoned. Where its constants were
   * measured on this kind of GPU, the quickest. Where they were not, it is trusted less: RESIDENT or
   * LONE, whichever is expected to be quicker, if all its blocks fit on the GPU at once; else the
   * quickest, but CLUSTER and GRID only where they are expected to be 1.5 times as quick. */
  LACUNA_REGIME_BEST = 0,
  /* per time step a matrix product and a kernel: every size and type */
  LACUNA_REGIME_STEPWISE = 1,
  /* one kernel, W_h on chip from its first step to its last: H up to 128, all types but fp64 */
  LACUNA_REGIME_RESIDENT = 2,
  /* as resident, by clusters of 2 to 16 blocks that hold W_h together and exchange states through
   * each other's shared memory: compute capability 9.0 and newer, H up to about 512 */
  LACUNA_REGIME_CLUSTER = 3,
  /* as cluster, by groups of 2 to 128 blocks that exchange states through global memory: any GPU,
   * as far as registers and shared memory of its multiprocessors hold W_h */
  LACUNA_REGIME_GRID = 4,
  /* as resident, a block for a single sequence at a time instead of eight, in plain fp32 arithmetic
   * whatever the type, but fp64, and the precision: for batches that would leave most of a GPU idle.
   * H up to 128, less where a block's shared memory says so */
  LACUNA_REGIME_LONE = 5
} lacuna_regime;

/* What the operands of a layer's products of weights are rounded to. */
typedef enum lacuna_precision {
  LACUNA_PRECISION_DEFAULT = 0, /* of the layer's type */
  /* fp32 layers on CUDA: 11 bits, in fp32's range, by tensor cores. Products that form decays stay
   * in fp32, as do sums, states and parameters, and in LACUNA_REGIME_LONE the products of W_h. */
  LACUNA_PRECISION_TF32 = 1
} lacuna_precision;

/* What the CUDA backend keeps of the gates for the backward run. Results agree within rounding;
 * each kind repeats its own bits. */
typedef enum lacuna_tape_kind {
  /* GATES where such a tape fits into options.tape_budget and, beside the plan's workspace, into
   * the context's memory_limit; else STATES, which for the limit has to take less together */
  LACUNA_TAPE_BEST = 0,
  LACUNA_TAPE_GATES = 1, /* all of them */
  /* none: the backward run computes them again, from states and inputs, by products over all
   * tokens. Its workspace may be larger. */
  LACUNA_TAPE_STATES = 2
} lacuna_tape_kind;

typedef struct lacuna_plan_options {
  /* The caller's own workspace, aligned to 64 bytes and kept until the plan is destroyed; null:
   * the context allocates. */
  void* workspace;
  size_t workspace_bytes;
  int32_t inference; /* 1: no backward will be run; a smaller workspace */
  /* This one and no other; UNSUPPORTED where it does not serve. Backends but CUDA have no
   * choice: 0. */
  lacuna_regime regime;
  /* UNSUPPORTED where it does not serve: a layer not in fp32, a backend but CUDA. */
  lacuna_precision precision;
  lacuna_tape_kind tape; /* backends but CUDA have no choice: 0 */
  size_t tape_budget;    /* bytes of a tape at capacity, for LACUNA_TAPE_BEST; 0: any */
  /* Of a group, where `regime` is CLUSTER or GRID: a power of 2 from 2 to 128, UNSUPPORTED where it
   * does not serve. 0: the plan's choice. */
  int32_t blocks;
} lacuna_plan_options;

typedef struct lacuna_plan_info {
  size_t workspace_bytes; /* what the plan uses between calls of run */
  size_t tape_bytes;      /* what a tape of this plan uses, at capacity */
  lacuna_regime regime;   /* CUDA: the one chosen; else 0 */
  lacuna_tape_kind tape;  /* likewise; 0 in inference */
} lacuna_plan_info;

typedef struct lacuna_plan lacuna_plan;
typedef struct lacuna_tape lacuna_tape;

/* `options` may be null. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_plan_create(lacuna_context* context,
                                                             const lacuna_layer* layer,
                                                             const lacuna_capacity* capacity,
                                                             const lacuna_plan_options* options,
                                                             lacuna_plan** plan);
/* What lacuna_plan_create would need, without making anything. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_plan_measure(lacuna_context* context,
                                                              const lacuna_layer* layer,
                                                              const lacuna_capacity* capacity,
                                                              const lacuna_plan_options* options,
                                                              lacuna_plan_info* info);
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_plan_query(const lacuna_plan* plan,
                                                            lacuna_plan_info* info);
/* Writes what will run and why, as text for people, with a closing 0. `length`: in, the size of
 * `text`, which must hold all of it; out, the length without the 0. A null text asks for the
 * length alone. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_plan_explain(const lacuna_plan* plan, char* text,
                                                              size_t* length);
/* The same, and what the plan makes of a batch of these lengths: its lanes, and how many of their
 * steps are idle. `offsets`: [B+1] of the host, as in lacuna_batch; null where `sequences`, B, is 0.
 * CAPACITY_EXCEEDED where such a batch is too large for the plan. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_plan_explain_batch(const lacuna_plan* plan,
                                                                    const int64_t* offsets,
                                                                    int64_t sequences, char* text,
                                                                    size_t* length);
LACUNA_API void lacuna_plan_destroy(lacuna_plan* plan);

/* `memory` (64-byte aligned, at least lacuna_plan_info.tape_bytes, kept until the tape is
 * destroyed) or null: the context allocates. A tape is not tied to the life of its plan: any
 * plan of the same layer, capacity and kind of tape, made from the same context, may use it. A
 * plan made for inference has no tape. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_tape_create(lacuna_plan* plan, void* memory,
                                                             size_t bytes, lacuna_tape** tape);
LACUNA_API void lacuna_tape_destroy(lacuna_tape* tape);

/* ---- Run ------------------------------------------------------------------------------------- */

/* What a sequence cut in pieces carries across the cut besides its state. As an output, the
 * arrays describe the end of the piece (for `reverse`, its beginning, to be handed to the piece
 * before); as an input, what preceded it. Values are constants to the backward run. */
typedef struct lacuna_carry {
  /* real [B,D]: the latest measured value; NaN where there has been none. Needs a mask. */
  void* last_values;
  /* wide [B,D]: time from the latest measurement to the piece's last token; where there was
   * none, since the sequence began. Needs a mask. */
  void* since;
  /* [B]: the time stamp of the last token; NaN where there has been none. Needs times. */
  double* last_time;
  /* wide [B]: `reverse` with delta_t only: the gap before the first token read, whose delta_t
   * stands in the piece that was read before */
  void* first_gap;
} lacuna_carry;

/* Where zoneout and recurrent dropout, and dropout between a stack's layers, take their random
 * numbers from (Philox). They are a function of seed, sequence, position in the order of reading, and
 * unit alone, the same on every backend, so that a step that is run again, in another piece, window or
 * batch order, sees the same ones. Another seed gives others: a training loop takes a new one for each
 * step. Used by runs with a tape of layers that draw; the backward run needs the forward run's
 * (MISMATCH where the seed is another, or an array is given to one of them alone; what stands in the
 * arrays is not compared). */
typedef struct lacuna_noise {
  uint64_t seed;
  /* [B], 0 .. 2^47 - 1: what each sequence is called; null: 0 .. B-1. Sequences of one name see the
   * same numbers. */
  const int64_t* sequence;
  /* [B], 0 .. 2^47 - 1: how many tokens of the sequence were read in earlier pieces; null: 0 */
  const int64_t* position;
} lacuna_noise;

typedef struct lacuna_batch {
  int64_t sequences; /* B */
  int64_t tokens;    /* N */
  /* [B+1], from 0 to N, never falling; on the host, or see offsets_on_device. May be null when B
   * is 0. */
  const int64_t* offsets;
  /* real [N,D]. Unmeasured values are never read. Measured ones are not looked at: a NaN or infinity
   * among them spreads into what follows. May be null when N is 0. */
  const void* values;
  /* [N,D], not 0 where measured; null: NaN in values marks the missing ones. Null if impute is
   * NONE. */
  const uint8_t* mask;
  /* [N], 1 the cell fires, 0 the state only evolves. Needed by a layer without a mask whose
   * empty_rows are EVOLVE_ONLY; null for any other. Where it is 0 values are finite all the same, and
   * change nothing: their d_values are 0. */
  const uint8_t* fires;
  /* Elapsed time: delta_t, or times, or neither when the layer uses none. */
  /* wide [N]: time since the previous token, finite and >= 0. At a sequence's first token, since
   * its initial state. (`reverse`: unused there, and the first gap to be read is 0, or
   * carry_in.first_gap.) */
  const void* delta_t;
  /* [N]: time stamps, finite, not falling within a sequence; the first gap is 0, or counts from
   * carry_in.last_time (`reverse`: up to it). Gaps must be finite in `wide`. */
  const double* times;
  /* wide [N,D], optional: time since each feature was last measured, ready-made, finite and >=
   * 0; null: computed from the gaps and the mask */
  const void* delta;
  const void* initial_hidden; /* real [B,R]; null: 0 */
  const void* initial_cell;   /* real [B,H], lstm; null: 0 */
  lacuna_carry carry_in;      /* null entries: the sequence begins here */
  /* 0 or 1, CUDA only: offsets lie in the device's memory and only the device reads them, in the
   * order of the stream, so that one captured graph serves other lengths. N is then how many rows
   * the arrays have: offsets[B] may be less, and rows behind it are neither read nor, in outputs,
   * written (in gradients they are 0). No length may exceed the plan's capacity.max_length. Offsets
   * against these rules are read as others that keep them, so that no memory but the arrays is
   * touched; the results are then undefined. Stacks take lengths of the
   * host only. */
  int32_t offsets_on_device;
  lacuna_noise noise; /* on CUDA its arrays are the host's or the device's */
} lacuna_batch;

/* All optional, all "=". */
typedef struct lacuna_outputs {
  void* hidden;         /* real [N,R]: the state after each token */
  void* cell;           /* real [N,H]: c after each token, lstm */
  void* evolved_hidden; /* real [N,R]: the state before each update, after evolve */
  void* imputed;        /* real [N,D]: x, measured or imputed */
  /* real [B,R]: after the last token read; the initial state of an empty sequence */
  void* final_hidden;
  void* final_cell; /* real [B,H], lstm */
  lacuna_carry carry_out;
} lacuna_outputs;

/* `tape` null: inference, nothing is kept. The batch and the parameters are read again by
 * lacuna_backward. `stream` is a cudaStream_t on CUDA and must be null on the CPU. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_forward(lacuna_plan* plan,
                                                         const lacuna_parameters* parameters,
                                                         const lacuna_batch* batch,
                                                         const lacuna_outputs* outputs,
                                                         lacuna_tape* tape, void* stream);

/* dL/d(output). Null: 0. */
typedef struct lacuna_output_gradients {
  const void* d_hidden;       /* real [N,R] */
  const void* d_cell;         /* real [N,H], lstm */
  const void* d_final_hidden; /* real [B,R] */
  const void* d_final_cell;   /* real [B,H], lstm */
} lacuna_output_gradients;

/* dL/d(input), "=". Null: not wanted. */
typedef struct lacuna_input_gradients {
  /* real [N,D]: 0 where unmeasured; includes what flows back through x_last */
  void* d_values;
  /* wide [N]: with respect to batch.delta_t (with times: to the gaps they imply). A ready-made
   * batch.delta is a constant. */
  void* d_delta_t;
  void* d_initial_hidden; /* real [B,R] */
  void* d_initial_cell;   /* real [B,H], lstm */
} lacuna_input_gradients;

/* The same parameters and batch as the forward run that wrote `tape`. The tape is only read:
 * backward may run again. `d_parameters` ("+=") and `d_inputs` may be null. MISMATCH when the
 * tape is empty, was made for another plan's layer, capacity or context, or was filled by a
 * batch of other sizes, offsets, optional arrays or, where the layer draws, another noise.seed. */
LACUNA_NODISCARD LACUNA_API lacuna_status
lacuna_backward(lacuna_plan* plan, const lacuna_parameters* parameters, const lacuna_batch* batch,
                const lacuna_output_gradients* d_outputs, const lacuna_tape* tape,
                const lacuna_parameter_gradients* d_parameters,
                const lacuna_input_gradients* d_inputs, void* stream);

/* ---- Padded batches -------------------------------------------------------------------------- */

/* Rows of `row_bytes` bytes: padded [B,T,row], packed [N,row]. offsets [B+1] is written from
 * lengths [B] (each 0 .. T; of a device's lengths one outside counts as the nearer of the two), and
 * `padded` and `packed` may both be null to get the offsets alone. Padding is not read. Of a
 * device's lengths packed must hold all that they say. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_pack(lacuna_context* context, int64_t sequences,
                                                      int64_t max_length, int64_t row_bytes,
                                                      const int64_t* lengths, const void* padded,
                                                      int64_t* offsets, void* packed, void* stream);
/* The way back. Padding is filled with zero bytes. A device's offsets may say anything but more
 * rows, in offsets[B], than packed has: no others are read. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_unpack(lacuna_context* context, int64_t sequences,
                                                        int64_t max_length, int64_t row_bytes,
                                                        const int64_t* offsets, const void* packed,
                                                        void* padded, void* stream);

/* ---- The last mile of training --------------------------------------------------------------- */

/* x, y, predictions and element targets are `real`; weights, biases, gradients of parameters,
 * parameters and moments are `wide`.
 *
 * On CUDA all that a call computes from or writes may be the device's or the host's: arrays, masks,
 * loss, count, norm and loss_scale. Descriptions are the host's and read before the call returns:
 * lacuna_adam, lacuna_loss_scaling, the `gradients` and `counts` of a clipping, and `list`. A captured
 * CUDA graph keeps what they said. To check a list of more than 64 arrays takes memory of the host. */

/* y = x W^T + b.  x [rows, in], W [out, in], b [out] or null, y [rows, out]; y "=". */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_linear_forward(
    lacuna_context* context, lacuna_type type, int64_t rows, int64_t in, int64_t out, const void* x,
    const void* weights, const void* bias, void* y, void* stream);
/* d_x [rows, in] "=", d_weights [out, in] "+=", d_bias [out] "+="; each may be null. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_linear_backward(
    lacuna_context* context, lacuna_type type, int64_t rows, int64_t in, int64_t out, const void* x,
    const void* weights, const void* d_y, void* d_x, void* d_weights, void* d_bias, void* stream);

typedef enum lacuna_loss {
  LACUNA_LOSS_BINARY_CROSS_ENTROPY = 0, /* per element, from logits; targets real in [0,1] */
  /* per row, from logits [rows, columns]; targets int32 [rows]; mask [rows] */
  LACUNA_LOSS_CROSS_ENTROPY = 1,
  LACUNA_LOSS_SQUARED_ERROR = 2, /* per element, (p - t)^2 */
  LACUNA_LOSS_ABSOLUTE_ERROR = 3 /* per element, |p - t| */
} lacuna_loss;

/* Dynamic loss scaling (Micikevicius et al. 2018, Mixed Precision Training): gradients too small for
 * fp16 are multiplied by a scale where the loss's are still wide, and the optimiser divides by it.
 * It grows until gradients overflow. All on the device: nothing waits, and a CUDA graph of a whole
 * step may be replayed. Where growth, backoff and the first scale are powers of two, scaling itself
 * rounds nothing. */
typedef struct lacuna_loss_scaling {
  double growth;  /* > 1: multiplies the scale after `interval` steps in a row with a finite norm */
  double backoff; /* in (0, 1): multiplies it after a step without one, which is skipped */
  int64_t interval; /* >= 1 */
} lacuna_loss_scaling;

/* The caller's, in memory where the arrays are; to be set before the first step, for example to
 * {65536, 0, 0}. A change that would take the scale out of 2^-126 to 2^126, where it and its
 * reciprocal are normal floats, leaves it as it is. */
typedef struct lacuna_loss_scale {
  double scale;         /* 2^-126 to 2^126 */
  int64_t finite_steps; /* in a row, since the scale was last changed */
  int64_t steps;        /* taken, those skipped not counted */
} lacuna_loss_scale;

/* loss = sum over measured targets, count = how many there were, both "=". mask [rows, columns] (cross
 * entropy: [rows]), null: all. An unmeasured target is never read; a NaN or infinity that is measured
 * spreads into loss and gradient. Where the host can read them, targets of cross entropies out of
 * their range are refused, NaN among them. d_predictions [rows, columns]
 * "=" scale * d(loss)/d(prediction), 0 where unmeasured; may be null. With a loss_scale (null: none;
 * only read) they are multiplied by its scale, too, before they are rounded to `type`; the loss is
 * not. */
LACUNA_NODISCARD LACUNA_API lacuna_status
lacuna_loss_evaluate(lacuna_context* context, lacuna_loss kind, lacuna_type type, int64_t rows,
                     int64_t columns, const void* predictions, const void* targets,
                     const uint8_t* mask, double scale, const lacuna_loss_scale* loss_scale,
                     double* loss, int64_t* count, void* d_predictions, void* stream);

/* A list of `arrays` gradients, wide [counts[i]], is scaled in place together to Euclidean norm
 * max_norm > 0 when theirs is larger. `norm` (may be null) gets the norm before. A norm that is not
 * finite changes nothing and is reported as it is. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_clip_gradient_norm(
    lacuna_context* context, lacuna_type type, int64_t arrays, void* const* gradients,
    const int64_t* counts, double max_norm, double* norm, void* stream);

/* All finite. */
typedef struct lacuna_adam {
  double learning_rate; /* >= 0 */
  double beta1, beta2;  /* in [0, 1) */
  double epsilon;       /* > 0 */
  /* >= 0, decoupled (AdamW): parameter -= learning_rate * weight_decay * parameter */
  double weight_decay;
  /* >= 1, 1 for the first step: corrects the bias of moments that began at 0. It is the call's own, so
   * a captured CUDA graph that is replayed takes the same step's correction each time.
   * lacuna_adam_step_clipped with a loss_scale has the device count instead, and so a graph takes each
   * step's own. A loss_scale of {1, 0, 0} without a rule by which it changes (`scaling` null) does no
   * more than that. */
  int64_t step;
} lacuna_adam;

/* Kingma & Ba 2015. All wide [count], count >= 0. Parameters and moments, 0 before the first step, are
 * updated in place. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_adam_step(
    lacuna_context* context, const lacuna_adam* adam, lacuna_type type, int64_t count,
    const void* gradients, void* parameters, void* first_moment, void* second_moment, void* stream);

/* What one array brings to lacuna_adam_step_clipped; all wide [count]. */
typedef struct lacuna_adam_array {
  int64_t count;
  const void* gradients;
  void *parameters, *first_moment, *second_moment; /* updated in place */
} lacuna_adam_array;

/* lacuna_clip_gradient_norm and lacuna_adam_step in one, for all arrays of a model: the same bits
 * with two passes over the gradients less, for they are only read; on CUDA in three launches for
 * every 64 arrays. `norm` (may be null) gets the norm before. Unlike the two calls: where it is not
 * finite, parameters and moments stay as they are. max_norm > 0; infinity clips nothing.
 *
 * `loss_scale` (may be null): gradients are those of a loss times loss_scale->scale. They are divided
 * by it as they are read, by a power of two without rounding; `norm` and max_norm mean the quotients.
 * Then the step updates loss_scale: one that is taken adds 1 to finite_steps and steps, one that is
 * skipped sets finite_steps to 0, and so does a change of the scale. `scaling` is the rule by which it
 * changes; null: it stays, or there is no loss_scale. adam->step is not read with one: a step's number
 * is loss_scale->steps + 1, which the device alone knows. */
LACUNA_NODISCARD LACUNA_API lacuna_status lacuna_adam_step_clipped(
    lacuna_context* context, const lacuna_adam* adam, lacuna_type type, int64_t arrays,
    const lacuna_adam_array* list, double max_norm, const lacuna_loss_scaling* scaling,
    lacuna_loss_scale* loss_scale, double* norm, void* stream);

#if defined(__cplusplus)
}
#endif

#include "lacuna/stack.h" /* layers on top of each other */

#endif
