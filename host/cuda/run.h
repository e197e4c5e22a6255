// What a forward and a backward run share: the batch as kernels see it, the order of its sequences, the weights as
// products read them, and products themselves.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "host/cuda/engine.h"
#include "host/cuda/fork.h"
#include "host/cuda/lanes.h"
#include "host/cuda/walks.h"
#include "host/plan/shape.h"
#include "kernels/recurrence/cell_steps.h"
#include "kernels/recurrence/evolve_units.h"
#include "kernels/recurrence/sequences.h"
#include "kernels/recurrence/split/division.h"
#include "kernels/recurrence/stepwise/draw_noise.h"
#include "kernels/recurrence/stepwise/normalise.h"
#include "kernels/recurrence/stepwise/product.h"
#include "kernels/tokens/batch.h"
#include "kernels/tokens/locate.h"
#include "kernels/tokens/offsets.h"
#include "kernels/tokens/weights.h"

namespace lacuna::cuda {

template <class T>
class Run {
 public:
  using R = simt::Real<T>;

  // `Call`: ForwardRun or BackwardRun.
  template <class Call>
  Run(const Device& device, const Call& call)
      : device_(device),
        recipe_(call.recipe),
        layer_(call.recipe.layer),
        lay_(call.recipe.device),
        at_(call.recipe.device.workspace),
        parameters_(call.parameters),
        workspace_(call.workspace),
        stream_(static_cast<simt::Stream>(call.stream)),
        prepared_(*static_cast<PreparedPlan*>(call.prepared)),
        host_offsets_(call.batch.offsets_on_device ? nullptr : call.batch.offsets),
        device_offsets_(call.batch.offsets_on_device ? call.batch.offsets : nullptr),
        drawn_(call.drawn),
        given_fires_(call.batch.fires),
        noise_(call.batch.noise),
        first_position_(call.first_position),
        product_scratch_(device.product_scratch(work<void>(at_.product_scratch))) {
    const lacuna_batch& from = call.batch;
    const lacuna_carry& carry = from.carry_in;
    batch_.sequences = from.sequences;
    batch_.tokens = from.tokens;
    batch_.features = layer_.features;
    batch_.offsets = work<std::int64_t>(at_.offsets);
    batch_.values = static_cast<const T*>(from.values);
    batch_.mask = from.mask;
    batch_.delta_t = static_cast<const R*>(from.delta_t);
    batch_.times = from.times;
    batch_.delta = static_cast<const R*>(from.delta);
    batch_.carry_last_values = static_cast<const T*>(carry.last_values);
    batch_.carry_since = static_cast<const R*>(carry.since);
    batch_.carry_last_time = carry.last_time;
    batch_.carry_first_gap = static_cast<const R*>(carry.first_gap);
    batch_.reverse = layer_.reverse != 0;
    if (host_offsets_) order_sequences();
    if (batch_.sequences > 0 && batch_.tokens > 0)
      steps_ = host_offsets_ ? prepared_.lengths.front() : recipe_.capacity.max_length;
  }

 protected:
  template <class X>
  X* work(std::size_t offset) const {
    return reinterpret_cast<X*>(workspace_ + offset);
  }
  const R* parameter(lacuna_parameter kind) const {
    return static_cast<const R*>(parameters_.tensor[kind]);
  }
  std::int64_t tokens() const { return batch_.tokens; }
  std::int64_t sequences() const { return batch_.sequences; }
  std::int64_t units() const { return lay_.units; }
  std::int64_t output_units() const { return lay_.output_units; }
  bool is_lstm() const { return layer_.cell == LACUNA_LSTM; }
  bool resets_before() const { return layer_.cell == LACUNA_GRU_RESET_BEFORE; }

  // Does anything read whose a token is, or the time before it?
  bool locates() const {
    return has_mask(layer_) || uses_gaps(layer_) || (drawn_ && draws(layer_));
  }

  // Where each sequence's tokens are, longest first unless sorts(); if `located`, which sequence each token is of, and its
  // gap.
  void arrange(bool located) {
    auto* const offsets = work<std::int64_t>(at_.offsets);
    auto* const order = work<std::int32_t>(at_.order);
    if (host_offsets_) {
      write_sequences(stream_, host_offsets_, prepared_.order.data(), sequences(), offsets, order);
    } else {
      bound_offsets(stream_, device_offsets_, sequences(), tokens(), recipe_.capacity.max_length,
                    offsets);
      if (!sorts()) rank_sequences(stream_, offsets, sequences(), order);
    }
    if (located && sequences() > 0)
      locate(stream_, batch_, work<std::int32_t>(at_.sequence_of), work<R>(at_.gaps));
  }
  // Is the order left to sort_sequences, which is needed by the recurrence alone?
  bool sorts() const { return !host_offsets_ && sequences() > most_ranked_sequences; }

  // On the host.
  void order_sequences() {
    auto& order = prepared_.order;
    const auto length = [&](std::int32_t b) { return host_offsets_[b + 1] - host_offsets_[b]; };
    order.resize(static_cast<std::size_t>(sequences()));
    std::iota(order.begin(), order.end(), 0);
    // Not stable_sort, which allocates.
    std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
      return length(a) != length(b) ? length(a) > length(b) : a < b;
    });
    prepared_.lengths.clear();
    for (const std::int32_t b : order) prepared_.lengths.push_back(length(b));
  }
  // On the device.
  void sort_sequences() const {
    auto* const lengths = work<std::int64_t>(at_.lengths);
    auto* const index = work<std::int32_t>(at_.index);
    sequence_lengths(stream_, batch_.offsets, sequences(), lengths, index);
    device_.sort(stream_, work<void>(at_.sort), at_.sort_bytes, lengths,
                 work<std::int64_t>(at_.sorted_lengths), recipe_.capacity.max_length, index,
                 work<std::int32_t>(at_.order), sequences());
  }

  bool draws_noise() const { return drawn_ && draws(layer_); }
  // Zoneout of all tokens and dropout of all sequences. After arrange.
  void draw() const {
    if (!draws_noise()) return;
    const NoiseView<R> view = noise_view();
    DrawNoise<R> args;
    args.sequences = sequence_view();
    args.units = units();
    args.output_units = output_units();
    args.sequence_of = work<const std::int32_t>(at_.sequence_of);
    args.noise.seed = noise_.seed;
    args.names = {noise_.sequence, noise_.position};
    args.first_position = first_position_;
    args.hidden_below = threshold_of(layer_.zoneout_hidden);
    args.cell_below = threshold_of(layer_.zoneout_cell);
    args.dropout_below = threshold_of(layer_.recurrent_dropout);
    args.scale = static_cast<R>(1 / (1 - layer_.recurrent_dropout));
    args.zoned = const_cast<std::uint8_t*>(view.zoned);
    args.factors = const_cast<R*>(view.factors);
    draw_noise(stream_, args, tokens());
  }

  NoiseView<R> noise_view() const {
    NoiseView<R> view;
    view.units = units();
    view.output_units = output_units();
    view.zoneout[0] = static_cast<R>(layer_.zoneout_hidden);
    view.zoneout[1] = static_cast<R>(layer_.zoneout_cell);
    if (drawn_ && zones_out(layer_)) view.zoned = work<const std::uint8_t>(at_.zoned);
    if (drawn_ && drops_state(layer_)) view.factors = work<const R>(at_.factors);
    return view;
  }

  SequenceView sequence_view() const {
    return {batch_.offsets, work<const std::int32_t>(at_.order), sequences(), layer_.reverse != 0};
  }

  EvolveView<R> evolve_view(const R* exponent) const {
    EvolveView<R> view;
    view.kind = layer_.evolve;
    view.exponent = exponent;
    view.weight = parameter(LACUNA_EVOLVE_WEIGHT);
    view.bias = parameter(LACUNA_EVOLVE_BIAS);
    view.rate = work<const R>(at_.rate);
    view.target = parameter(LACUNA_EVOLVE_TARGET);
    return view;
  }

  // with_inputs: does anything multiply inputs, or their gradients?
  void pack(bool with_inputs) {
    const std::int64_t h = layer_.hidden, r = lay_.outputs, g = gates(layer_.cell);
    PackedList<T> list;
    if (with_inputs)
      weights_x_ = packed(list, LACUNA_WEIGHTS_X,
                          {.gates = g,
                           .hidden = h,
                           .columns = lay_.input,
                           .packed = work<T>(at_.weights_x),
                           .units = units(),
                           .stride = lay_.input_stride});
    weights_h_ = packed(list, LACUNA_WEIGHTS_H,
                        {.gates = g,
                         .hidden = h,
                         .columns = r,
                         .packed = work<T>(at_.weights_h),
                         .units = units(),
                         .stride = output_units()});
    if (lay_.projected)
      projection_ = packed(list, LACUNA_PROJECTION,
                           {.gates = 1,
                            .hidden = r,
                            .columns = h,
                            .packed = work<T>(at_.weights_projection),
                            .units = output_units(),
                            .stride = units()});
    PackedList<R> wide;
    if (layer_.evolve == LACUNA_EVOLVE_DECAY) {
      const PackedWeights<R> decay{.gates = 1,
                                   .hidden = r,
                                   .columns = layer_.features,
                                   .packed = work<R>(at_.weights_decay),
                                   .units = output_units(),
                                   .stride = lay_.delta_stride};
      // By the same launch, if they are of the same type.
      if constexpr (std::is_same_v<T, R>)
        weights_decay_ = packed(list, LACUNA_EVOLVE_WEIGHT, decay);
      else
        weights_decay_ = packed(wide, LACUNA_EVOLVE_WEIGHT, decay);
    }
    pack_weights(stream_, list);
    pack_weights(stream_, wide);
    if (layer_.evolve == LACUNA_EVOLVE_RELAX)
      rates(stream_, parameter(LACUNA_EVOLVE_WEIGHT), relaxed_units(layer_), work<R>(at_.rate));
  }
  // The caller's own where they need neither another type nor padding, else what the list is going to make of them.
  template <class X>
  const X* packed(PackedList<X>& list, lacuna_parameter kind, PackedWeights<X> weights) const {
    weights.source = parameter(kind);
    if constexpr (std::is_same_v<X, R>)
      if (weights.hidden == weights.units &&
          is_dense(weights.source, weights.columns, weights.stride))
        return weights.source;
    list.add(weights);
    return weights.packed;
  }
  // Can a product take such rows as they are?
  static bool is_dense(const void* rows, std::int64_t columns, std::int64_t stride) {
    return columns == stride && reinterpret_cast<std::uintptr_t>(rows) % 16 == 0;
  }

  // W_h; and W_hn of gru_reset_before, behind the rows of r and z.
  const T* weights() const { return weights_h_; }
  const T* candidate_weights() const { return weights() + 2 * units() * units(); }

  const T* projection() const { return projection_; }

  // Of numbers as they are stored, in the plan's precision.
  void multiply(Form form, std::int64_t m, std::int64_t n, std::int64_t k, const T* a,
                std::int64_t a_stride, const T* b, std::int64_t b_stride, R* c,
                std::int64_t c_stride, bool add = false) const {
    queue(Product<T>{form, m, n, k, a, a_stride, b, b_stride, c, c_stride, lay_.tf32, add});
  }
  // What a step's product leaves: for each of the run's sequences a row of so many numbers.
  StepProduct<R> step_product(std::size_t place, std::int64_t width, int parts) const {
    return {work<R>(place), parts, sequences() * width};
  }
  void multiply_step(Form form, std::int64_t m, std::int64_t n, std::int64_t k, const T* a,
                     std::int64_t a_stride, const T* b, std::int64_t b_stride,
                     const StepProduct<R>& to) const {
    queue(Product<T>{form, m, n, k, a, a_stride, b, b_stride, to.rows, n, lay_.tf32, false,
                     to.parts, to.part_size});
  }
  // Of times and what is made of them, which no type and no precision rounds.
  void multiply_wide(Form form, std::int64_t m, std::int64_t n, std::int64_t k, const R* a,
                     std::int64_t a_stride, const R* b, std::int64_t b_stride, R* c,
                     std::int64_t c_stride) const {
    queue(Product<R>{form, m, n, k, a, a_stride, b, b_stride, c, c_stride});
  }
  template <class X>
  void queue(const Product<X>& product) const {
    device_.multiply(stream_, product, *prepared_.choices, product_scratch_);
  }

  // Work that neither reads nor writes what other such work writes; of a run `Self`.
  template <class Self>
  struct Chain {
    bool wanted;
    void (Self::*queue)() const;
  };
  // Each on a branch of the stream, or one after the other where the plan has none: with the same bits, for their products
  // have the same size of scratch in all plans of a layer. The longest come first.
  template <class Self>
  void side_by_side(const Self& self, std::initializer_list<Chain<Self>> chains) {
    const auto wanted = static_cast<int>(
        std::count_if(chains.begin(), chains.end(), [](const auto& c) { return c.wanted; }));
    const simt::Stream caller = stream_;
    const ProductScratch all = product_scratch_;
    const auto in_turn = [&](auto&& stream_of, auto&& part_of) {
      int piece = 0;
      for (const Chain<Self>& chain : chains) {
        if (!chain.wanted) continue;
        stream_ = stream_of(piece);
        if (!lay_.whole_scratch)
          product_scratch_ =
              device_.product_scratch(work<void>(at_.product_scratch), part_of(piece));
        (self.*chain.queue)();
        ++piece;
      }
    };
    if (wanted > 1 && prepared_.branches) {
      Fork fork(device_, caller, *prepared_.branches, wanted);
      in_turn([&](int piece) { return fork.stream(piece); },
              [&](int piece) { return piece % lay_.branches; });
      fork.join();
    } else {
      in_turn([&](int) { return caller; }, [](int) { return 0; });
    }
    stream_ = caller;
    product_scratch_ = all;
  }

  // Where the cell fires: as the caller says, or as observe found; null: at all tokens.
  const std::uint8_t* fires(const std::uint8_t* found) const {
    if (reads_fires(layer_)) return given_fires_;
    return finds_fires(layer_) ? found : nullptr;
  }

  bool normalises() const { return layer_.layer_norm != 0; }
  bool shows_cell() const { return normalises() && is_lstm(); }

  // Where LN of the products is kept: a token's row has G gates of W_x x, then those of W_h h.
  struct NormKept {
    T* normalised = nullptr;
    R* factors = nullptr;
  };
  std::int64_t norm_stride() const { return 2 * lay_.input_gates * units(); }
  NormRows norm_rows(int gates) const {
    NormRows rows;
    rows.sequences = sequence_view();
    rows.hidden = layer_.hidden;
    rows.units = units();
    rows.gates = gates;
    return rows;
  }
  // Of W_x x, all gates, and W_h h, from a gate on.
  Normalise<T> normalise_x(const NormKept& kept, R* products) const {
    return normalise_args(kept, products, static_cast<int>(lay_.input_gates), LACUNA_NORM_GAIN_X, 0,
                          0);
  }
  Normalise<T> normalise_h(const NormKept& kept, R* products, int gates, int first = 0) const {
    return normalise_args(kept, products, gates, LACUNA_NORM_GAIN_H, first,
                          lay_.input_gates + first);
  }
  Normalise<T> normalise_args(const NormKept& kept, R* products, int gates, lacuna_parameter gain,
                              int first, std::int64_t place) const {
    Normalise<T> args{norm_rows(gates)};
    args.rows = products;
    args.gain = parameter(gain) + first * layer_.hidden;
    if (kept.normalised) {
      args.normalised = kept.normalised + place * units();
      args.factors = kept.factors + norm_place(gain, first);
    }
    args.stride = norm_stride();
    return args;
  }
  static int norm_place(lacuna_parameter gain, int first) {
    return (gain == LACUNA_NORM_GAIN_H ? 2 : 0) + (first > 0 ? 1 : 0);
  }

  ShowView<R> show_view() const {
    ShowView<R> view;
    view.gain = parameter(LACUNA_NORM_GAIN_C);
    view.bias = parameter(LACUNA_NORM_BIAS_C);
    return view;
  }

  bool saves_gates() const { return lay_.tape_kind == LACUNA_TAPE_GATES; }

  // Queues a recurrence that one launch walks; false where the regime has launches for every step. OfBlock and OfGroup
  // are ResidentForward and SplitForward, or those of the way back.
  template <template <class> class OfBlock, template <class> class OfGroup, class View>
  bool walk(const View& view) const {
    if constexpr (std::is_same_v<T, double>) {
      return false;
    } else {
      const OfBlock<T> args{view, weights(), lanes(), lay_.tf32, device_.shared_bytes()};
      switch (lay_.regime) {
        case LACUNA_REGIME_RESIDENT: Walk<T>::resident(stream_, args); return true;
        case LACUNA_REGIME_LONE: Walk<T>::lone(stream_, args); return true;
        case LACUNA_REGIME_CLUSTER:
          Walk<T>::cluster(stream_, OfGroup<T>{args, division(), {}});
          return true;
        case LACUNA_REGIME_GRID:
          Walk<T>::grid(stream_, OfGroup<T>{args, division(), exchange_room()});
          return true;
        default: return false;
      }
    }
  }
  split::Division division() const { return split::division_of(lay_.hidden, lay_.blocks); }
  // Of a recurrence that is queued next.
  split::ExchangeRoom exchange_room() const {
    auto* const arrivals = work<unsigned>(at_.arrivals);
    device_.zero(stream_, arrivals, at_.arrivals_bytes);
    return {work<std::byte>(at_.exchange), arrivals};
  }
  std::int32_t lanes() const {
    return host_offsets_ ? lanes_for(lay_, prepared_.lengths) : lay_.most_lanes;
  }

  // That a step covers; where only the device knows the lengths, all of them.
  std::int64_t rows(std::int64_t step) const {
    return host_offsets_ ? stepwise_rows(prepared_.lengths, step) : sequences();
  }

  const Device& device_;
  const Recipe& recipe_;
  const lacuna_layer& layer_;
  const DeviceLayout& lay_;
  const DeviceLayout::Workspace& at_;
  const lacuna_parameters& parameters_;
  std::byte* workspace_;
  simt::Stream stream_;  // that work is queued on now
  PreparedPlan& prepared_;
  const std::int64_t* host_offsets_;    // null: only the device knows them
  const std::int64_t* device_offsets_;  // the caller's then, which arrange alone reads
  bool drawn_;                          // zoneout and recurrent dropout draw
  const std::uint8_t* given_fires_;
  const lacuna_noise& noise_;
  std::int64_t first_position_;
  ProductScratch product_scratch_;  // of products that are queued now
  DeviceBatch<T> batch_;
  std::int64_t steps_ = 0;
  const T *weights_x_ = nullptr, *weights_h_ = nullptr, *projection_ = nullptr;  // from pack
  const R* weights_decay_ = nullptr;
};

}  // namespace lacuna::cuda
