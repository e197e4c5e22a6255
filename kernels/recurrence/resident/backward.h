// The whole recurrence in one launch, backward. The same lanes walk the same sequences, each from its last token. What
// stays in place is W_h transposed: of a step only the product of the gates' gradients with it, and the way of those
// gradients through shared memory, depend on the step before.
//
//   per step: gates backward, publish, barrier, product, evolve backward
//   gru_reset_before: z and n backward, publish, barrier, product of n, r backward, publish, barrier, product of r and z, ...
//
// Where a group of blocks holds W_h, each multiplies the gradients of its own gates, with all columns of its rows of W_h,
// and what that adds to another block's d_h goes there by a Scatter (recurrence/split): warp to warp and thread to thread,
// for the same warp and thread have the same place in every slice. What it adds to its own d_h comes last, while the rest
// is on its way, and stays in the thread's registers.
#pragma once

#include <cstdint>

#include "kernels/recurrence/resident/forward.h"

namespace lacuna {

// T: float, Fp16 or Bf16.
template <class T>
struct ResidentBackward : BackwardView<T> {
  const T* weights = nullptr;    // [G units, units]: W_h, zeros in its padding
  std::int32_t lanes = 0;        // a multiple of resident::lanes_per_tile
  bool tf32 = false;             // float: products of 11 bits instead of two parts of 11
  std::size_t shared_bytes = 0;  // that a block may have
};

namespace resident {

// E: operands forward. Gradients of fp16 layers are multiplied in tf32, which has the same 11 bits and lets none of them
// vanish.
template <class E>
using GradientOperand = std::conditional_t<std::is_same_v<E, simt::Fp16>, Tf32, E>;

template <class Cell, class E, bool in_group>
using BackwardWeights = StationaryWeights<E, weight_blocks<Cell>,
                                          kept_fragments<E>(weight_blocks<Cell>, true, in_group)>;

// The Scatter of a block that has all units itself: nothing has to go anywhere.
class OwnSums {
 public:
  static constexpr bool in_group = false;
  static void add_to(simt::SharedLayout& /*shared*/, const Division& /*division*/) {}
  SIMT_DEVICE int tile() const { return static_cast<int>(simt::block_index().x); }
  SIMT_DEVICE int rank() const { return 0; }
};

// E: a GradientOperand.
template <class Cell, class E, class Scatter>
struct BackwardMemory {
  using Stored = typename Operand<E>::Stored;
  static constexpr int blocks = weight_blocks<Cell>;
  Division division;

  // Of one buffer, which has a column of every lane; there are two.
  SIMT_BOTH int gradients() const {
    return static_cast<int>(operand_size<E>(blocks * division.slice));
  }
  SIMT_BOTH int warp_words() const {
    using Weights = BackwardWeights<Cell, E, Scatter::in_group>;
    return static_cast<int>(Weights::shared_words(fragments_of<E>(division)));
  }
  std::size_t bytes() const {
    simt::SharedLayout layout;
    Scatter::add_to(layout, division);
    UnitNumbers::add_to(layout, division);
    layout.add<Stored>(static_cast<std::size_t>(2 * gradients()));
    layout.add<std::uint32_t>(static_cast<std::size_t>(warp_words() * division.warps()));
    return layout.bytes;
  }
};

// Whether BackwardTile's usual case is this.
template <class T>
bool is_usual(const ResidentBackward<T>& args) {
  return is_usual_walk(args) && !args.d_cell_out && !args.d_hidden_rows &&
         goes_in_twos(args.d_hidden_out);
}

template <class Cell, class T, class E, class Scatter, class Form>
class BackwardTile : TileAccess<ResidentBackward<T>, Form> {
  using Access = TileAccess<ResidentBackward<T>, Form>;
  static constexpr bool usual = Form::usual;
  using Access::args_, Access::own_, Access::is_present, Access::hidden, Access::units,
      Access::keep, Access::kept, Access::given, Access::give_sequence, Access::given_sequence;
  using Given = typename Access::template Given<T>;
  static constexpr int blocks = weight_blocks<Cell>;
  using Op = Operand<E>;
  using Stored = typename Op::Stored;
  using Weights = BackwardWeights<Cell, E, Scatter::in_group>;
  using Sum = typename Op::Sum;

  // Cells with a c have no registers for what few of their layers read, nor have groups for a decay's exponents: these are
  // fetched when their turn has come.
  static constexpr bool fetches_h = !Cell::has_cell;
  static constexpr bool fetches_exponent = !Cell::has_cell && !Scatter::in_group;

  // What is known of the next token before its turn, as it lies in memory.
  struct Token : Meeting<usual> {
    TwoOnTheirWay<T> gates[Cell::saved_gates][2] = {};
    Given d_h;                                  // dL/d(output) of the token
    TwoOnTheirWay<float> cells[1][2] = {};      // c of the tape: evolved
    TwoOnTheirWay<T> states[1][2] = {};         // h, where something reads it. fetches_h
    TwoOnTheirWay<float> exponents[1][2] = {};  // of decay. fetches_exponent

    SIMT_DEVICE void saved(Number<T> (&to)[Cell::saved_gates], int pair) const {
      SIMT_UNROLL
      for (int g = 0; g < Cell::saved_gates; ++g) to[g] = Number<T>(arrived<T>(gates[g], pair));
    }
    SIMT_DEVICE float c(int pair) const { return arrived<float>(cells[0], pair); }
    SIMT_DEVICE float h(int pair) const { return arrived<T>(states[0], pair); }
    SIMT_DEVICE float exponent(int pair) const { return arrived<float>(exponents[0], pair); }
  };
  using R = Number<T>;

  // The same once they are there.
  struct Arrived {
    R saved[pairs][Cell::saved_gates];
    float d_h[pairs], c[pairs], h[pairs], exponent[pairs];
  };
  using Gradients = float[Cell::gradient_gates][pairs];

 public:
  SIMT_DEVICE BackwardTile(const ResidentBackward<T>& args, const Division& division,
                           Scatter& scatter, UnitNumbers evolve, Stored* gradients,
                           std::uint32_t* shared)
      : Access(args, Own(division, scatter)),  // gcov: what would follow an exception
        division_(division),
        scatter_(scatter),
        evolve_(evolve),
        gradients_(gradients),
        lane_{{args.sequences, this->first_lane(), args.lanes},
              {args.sequences, this->first_lane() + 1, args.lanes}},
        weights_(fragments_of<E>(division), own_.thread,
                 shared + static_cast<int>(simt::warp_index()) *
                              BackwardMemory<Cell, E, Scatter>{division}.warp_words(),
                 [&](int block, int fragment, int place, int k) {
                   const int target =
                       division.block_at(own_.rank, distance(fragment / per_target()));
                   const int to = target * division.slice + own_.row * units_per_warp + place;
                   const int gate_unit =
                       own_.rank * division.slice + fragment % per_target() * Op::depth + k;
                   // Aligned to their number, as units() is: all are inside, or none.
                   Patch<Op::patch_depth> patch;
                   if (to < units() && gate_unit < units()) {
                     const T* row =
                         args.weights + std::int64_t{block * units() + gate_unit} * units() + to;
                     SIMT_UNROLL
                     for (int i = 0; i < Op::patch_depth; ++i) {
                       const auto two = simt::load<2>(row);
                       patch.of[0][i] = simt::to_float(two[0]);
                       patch.of[1][i] = simt::to_float(two[1]);
                       row += units();
                     }
                   }
                   return patch;
                 }) {}

  SIMT_DEVICE void run() {
    const std::int32_t steps = steps_of_tile<true>(args_.sequences, own_.tile, args_.lanes);
    if constexpr (Scatter::in_group)
      if (own_.depth > 0) return help(steps);
    prepare();
    if (steps == 0) return;
    Token even, odd;
    look_ahead(even);
    // In pairs, so that no number that is still on its way has to be moved from one token to the other.
    for (std::int32_t step = 0; step < steps; step += 2) {
      walk(even, odd, step);
      if (step + 1 < steps) walk(odd, even, step + 1);
    }
  }

 private:
  // Fragments in the depth of one product, and how far the block is whose d_h this warp's n-th one is for. Warps that share
  // the depth of products forward share the targets here: those that own units have their own block as their last.
  SIMT_DEVICE int per_target() const { return division_.slice / Op::depth; }
  SIMT_DEVICE int distance(int n) const {
    return (own_.depth - 1) * (division_.blocks / division_.depths) + 1 + n;
  }
  SIMT_DEVICE int fragments_for_others() const {
    return weights_.fragments() - (own_.depth == 0 ? per_target() : 0);
  }
  SIMT_DEVICE Stored* buffer_of(std::int32_t step) const {
    return gradients_ + (step % 2) * BackwardMemory<Cell, E, Scatter>{division_}.gradients();
  }

  // In a group, warps that own units and those that help them are at different places in the program.
  SIMT_DEVICE void gradients_are_there() const {
    if constexpr (Scatter::in_group)
      scatter_.meet_own();
    else
      simt::sync_block();
  }

  SIMT_DEVICE void prepare() {
    evolve_.fill(own_, hidden(), [&](int which, int unit) {
      return evolve_number(args_.evolve, which, unit, hidden(), Cell::has_cell);
    });
    this->pass_empty(lane_, args_.d_initial_hidden, args_.d_final_hidden);
    if constexpr (Cell::has_cell) this->pass_empty(lane_, args_.d_initial_cell, args_.d_final_cell);
    lane_[0].begin();
    lane_[1].begin();
  }

  SIMT_DEVICE void look_ahead(Token& token) {
    if constexpr (!usual) token = {};
    this->template advance<Cell>(lane_, token);
    kept(args_.gates, token, token.gates);
    given(args_.d_hidden_out, token, token.d_h);
    if constexpr (Cell::has_cell) kept(args_.tape_c, token, token.cells);
    const lacuna_evolve kind = args_.evolve.kind;
    if constexpr (fetches_h)
      if (Cell::backward_reads_h || does_evolve(kind, 0)) kept(args_.tape_h, token, token.states);
    if constexpr (fetches_exponent) {
      if (kind == LACUNA_EVOLVE_DECAY) kept(args_.evolve.exponent, token, token.exponents);
    }
  }
  // As in forward.h: before numbers of the next token are asked for.
  SIMT_DEVICE void take(const Token& token, Arrived& now) const {
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      token.saved(now.saved[i], i);
      now.d_h[i] = this->number(token.d_h, i);
      now.c[i] = Cell::has_cell ? token.c(i) : 0;
      now.h[i] = fetches_h ? token.h(i) : 0;
      now.exponent[i] = fetches_exponent ? token.exponent(i) : 0;
    }
  }
  SIMT_DEVICE float h_of(const Token& token, int pair) const {
    if constexpr (fetches_h) return token.h(pair);
    return this->kept_one(args_.tape_h, token, pair);
  }
  SIMT_DEVICE float h_of(const Token& token, const Arrived& now, int pair) const {
    return fetches_h ? now.h[pair] : h_of(token, pair);
  }
  SIMT_DEVICE float exponent_of(const Token& token, const Arrived& now, int pair) const {
    if constexpr (fetches_exponent) return now.exponent[pair];
    if (args_.evolve.kind != LACUNA_EVOLVE_DECAY) return 0;
    return this->kept_one(args_.evolve.exponent, token, pair);
  }
  // What a cell's backward reads.
  SIMT_DEVICE static UnitState<R> state_of(const Arrived& now, int pair) {
    static_assert(fetches_h || !Cell::backward_reads_h);
    return {R(now.h[pair]), R(now.c[pair])};
  }

  SIMT_DEVICE void walk(const Token& now, Token& next, std::int32_t step) {
    simt::note_step(step);
    if constexpr (Form::units == 0) own_.template forget_addresses<Scatter::in_group>();
    Arrived numbers;
    take(now, numbers);
    look_ahead(next);
    Stored* const buffer = buffer_of(step);
    receive(now, numbers);
    if constexpr (Cell::reset_before)
      update_in_halves(now, numbers, buffer);
    else
      update(now, numbers, buffer);
    evolve(now, numbers, next);
  }

  // All of dL/d(state after the token).
  SIMT_DEVICE void receive(const Token& token, const Arrived& now) {
    float d_h[pairs], d_c[pairs];
    Given d_cell_out;
    if constexpr (Cell::has_cell && !usual) given(args_.d_cell_out, token, d_cell_out);
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      d_h[i] = now.d_h[i];
      d_c[i] = usual ? 0 : this->number(d_cell_out, i);
    }
    if (token.place[0].last() || token.place[1].last()) {
      SIMT_UNROLL
      for (int i = 0; i < pairs; ++i) {
        const Place& place = token.place_of(i);
        if (!place.last()) continue;
        d_h[i] += given_sequence(args_.d_final_hidden, place.sequence, i);
        d_h_[i] = 0;
        if constexpr (Cell::has_cell) {
          d_c[i] += given_sequence(args_.d_final_cell, place.sequence, i);
          d_c_[i] = 0;
        }
      }
    }
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      d_h_[i] = d_h[i] + d_h_[i];
      if constexpr (Cell::has_cell) d_c_[i] = d_c[i] + d_c_[i];
    }
    if constexpr (!usual)
      keep(args_.d_hidden_rows, token, [&](int pair) { return is_present(pair) ? d_h_[pair] : 0; });
  }

  // What a gate of the products is multiplied by: 0 where the unit is not present.
  SIMT_DEVICE void publish(Stored* buffer, int gate, const float (&values)[pairs]) const {
    // A thread's units are in one fragment.
    const int place = own_.place(0);
    const int first = at(place / Op::depth, gate) + place % Op::depth;
    SIMT_UNROLL
    for (int side = 0; side < 2; ++side) {
      simt::store(column(buffer, own_.lane(side)) + first,
                  Op::stored(values[Own::pair_of(side, 0)], values[Own::pair_of(side, 1)]));
    }
  }

  template <int gates>
  SIMT_DEVICE static float total(const Sum (&sums)[gates], int pair) {
    float result = sums[0].total(pair);
    SIMT_UNROLL
    for (int g = 1; g < gates; ++g) result += sums[g].total(pair);
    return result;
  }
  // A lane's column has each fragment of all gates, then the next, so that gates are no more than a constant apart.
  template <class S>
  SIMT_DEVICE S* column(S* buffer, int lane) const {
    return buffer + lane * column_stride<E>(blocks * division_.slice);
  }
  SIMT_DEVICE static int at(int fragment, int gate) {
    return (fragment * blocks + gate) * Op::depth;
  }

  // meanwhile(): what does not wait for it.
  template <int first, int end, class F>
  SIMT_DEVICE void add_product(const Stored* buffer, float (&to)[pairs], F&& meanwhile) {
    Sum sums[end - first];
    multiply<first, end>(sums, buffer);
    meanwhile();
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) to[i] += total(sums, i);
    if constexpr (Scatter::in_group) {
      scatter_.meet();
      for (int distance = 1; distance < division_.blocks; ++distance) {
        const simt::Float4 part = scatter_.from(distance, own_);
        SIMT_UNROLL
        for (int i = 0; i < pairs; ++i) to[i] += part[i];
      }
    }
  }

  // What others get is sent to each as soon as it is complete. What is left in `sums` is this block's own.
  template <int first, int end>
  SIMT_DEVICE void multiply(Sum (&sums)[end - first], const Stored* buffer) {
    const Stored* const from = column(buffer, own_.thread / 4);
    if constexpr (Scatter::in_group) {
      const int others = fragments_for_others();
      if (others == 0) scatter_.all_sent();
      int to = distance(0), next = 0;  // whom for, and where in the column
      weights_.template multiply<first, end, false>(
          sums, [&](int gate, int) { return from + next + gate * Op::depth; },
          [&](int fragment) {
            if ((next += blocks * Op::depth) < blocks * division_.slice || to == 0) return;
            scatter_.send(to, own_,
                          {total(sums, 0), total(sums, 1), total(sums, 2), total(sums, 3)});
            SIMT_UNROLL
            for (Sum& sum : sums) sum = {};
            ++to;
            next = 0;
            if (fragment + 1 == others) scatter_.all_sent();
          });
    } else {
      weights_.template multiply<first, end, false>(
          sums, [&](int gate, int fragment) { return from + at(fragment, gate); }, [](int) {});
    }
  }

  // What a warp does that has no units of its own.
  SIMT_DEVICE void help(std::int32_t steps) {
    for (std::int32_t step = 0; step < steps; ++step) {
      simt::note_step(step);
      if constexpr (Cell::reset_before) {
        help_product<2, 3>(buffer_of(step));
        help_product<0, 2>(buffer_of(step));
      } else {
        help_product<0, blocks>(buffer_of(step));
      }
    }
  }
  template <int first, int end>
  SIMT_DEVICE void help_product(const Stored* buffer) {
    gradients_are_there();
    Sum sums[end - first];
    multiply<first, end>(sums, buffer);
    scatter_.meet();
  }

  // What the product waits for comes first; what goes to memory, for the sums over all tokens, follows.
  SIMT_DEVICE void update(const Token& token, const Arrived& now, Stored* buffer) {
    Gradients d_gates;
    float d_dt[1][pairs];
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      R d[Cell::gradient_gates], of_dt;
      const UnitState<R> direct =
          Cell::backward(now.saved[i], state_of(now, i), UnitState<R>{R(d_h_[i]), R(d_c_[i])},
                         R(token.dt_of(i)), d, of_dt);
      const bool fires = token.fires(i);
      d_h_[i] = fires ? direct.h.value() : d_h_[i];
      d_c_[i] = fires ? direct.c.value() : d_c_[i];
      d_dt[0][i] = of_dt.value();
      SIMT_UNROLL
      for (int g = 0; g < Cell::gradient_gates; ++g) d_gates[g][i] = d[g].value();
    }
    this->clear_idle(token, d_gates);
    SIMT_UNROLL
    for (int g = 0; g < Cell::product_gates; ++g)
      publish(buffer, g, d_gates[Cell::product_gradient(g)]);
    gradients_are_there();
    add_product<0, blocks>(buffer, d_h_, [&] {
      this->template keep<Cell::gradient_gates>(
          args_.d_gates, token, [&](int gate, int pair) { return d_gates[gate][pair]; });
      if constexpr (Cell::reads_gap) {
        this->clear_idle(token, d_dt);
        keep(args_.d_euler, token, [&](int pair) { return d_dt[0][pair]; });
      }
    });
  }

  SIMT_DEVICE void update_in_halves(const Token& token, const Arrived& now, Stored* buffer) {
    float d_reset[pairs] = {}, reset_h[1][pairs];
    Gradients d_gates = {};
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      R d_z, d_n;
      const R direct = Cell::backward_candidate(now.saved[i][1], now.saved[i][2], R(now.h[i]),
                                                R(d_h_[i]), d_z, d_n);
      const bool fires = token.fires(i);
      d_h_[i] = fires ? direct.value() : d_h_[i];
      d_gates[1][i] = d_z.value();
      d_gates[2][i] = d_n.value();
    }
    this->clear_idle(token, d_gates);
    publish(buffer, 1, d_gates[1]);
    publish(buffer, 2, d_gates[2]);
    gradients_are_there();
    add_product<2, 3>(buffer, d_reset, [] {});
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      // Where the token does not fire, r and d_reset are 0, and so is what d_h receives.
      R d_r;
      const R reset = now.saved[i][0], h(now.h[i]);
      d_h_[i] += Cell::backward_reset(reset, h, R(d_reset[i]), d_r).value();
      d_gates[0][i] = d_r.value();
      reset_h[0][i] = (reset * h).value();
    }
    this->clear_idle(token, d_gates);
    this->clear_idle(token, reset_h);
    publish(buffer, 0, d_gates[0]);
    gradients_are_there();
    add_product<0, 2>(buffer, d_h_, [&] {
      this->template keep<Cell::gradient_gates>(
          args_.d_gates, token, [&](int gate, int pair) { return d_gates[gate][pair]; });
      keep(args_.reset_operand, token, [&](int pair) { return reset_h[0][pair]; });
    });
  }

  // The h that a token began with, where a rounded tape does not do for it (evolve_units.h): what the token before made of
  // its own, which `before` holds already.
  SIMT_DEVICE float h_before(const Token& token, const Token& before, int pair) const {
    const Place& place = token.place_of(pair);
    if (place.first()) return given_sequence(args_.initial_hidden, place.sequence, pair);
    if (!before.fires(pair)) return h_of(before, pair);
    R s[Cell::saved_gates];
    before.saved(s, pair);
    const UnitState<R> state{R(h_of(before, pair)), R(before.c(pair))};
    return Cell::next_h(s, state, R(before.dt_of(pair))).value();
  }

  // Back through what time did before the token, and out at a sequence's begin.
  SIMT_DEVICE void evolve(const Token& token, const Arrived& now, const Token& before) {
    const bool relaxes = !usual && args_.evolve.kind == LACUNA_EVOLVE_RELAX;
    if (does_evolve(args_.evolve.kind, 0))
      evolve_part<0>(token, now, d_h_, [&](int pair, const Evolution& time) {
        if (sizeof(T) < sizeof(float) && relaxes)
          return relax(time.factor, time.target, h_before(token, before, pair));
        return h_of(token, now, pair);
      });
    if constexpr (Cell::has_cell)
      if (relaxes)
        evolve_part<1>(token, now, d_c_, [&](int pair, const Evolution&) { return now.c[pair]; });
    if (!token.place[0].first() && !token.place[1].first()) return;
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      const Place& place = token.place_of(i);
      if (!place.first()) continue;
      give_sequence(args_.d_initial_hidden, place.sequence, i, d_h_[i]);
      if constexpr (Cell::has_cell) give_sequence(args_.d_initial_cell, place.sequence, i, d_c_[i]);
    }
  }

  // `d`: in, dL/d(evolved state); out, dL/d(state before). evolved(pair, time): the state's part.
  template <int part, class F>
  SIMT_DEVICE void evolve_part(const Token& token, const Arrived& now, float (&d)[pairs],
                               F&& evolved) const {
    constexpr int parts = Cell::has_cell ? 2 : 1;
    const lacuna_evolve kind = usual ? LACUNA_EVOLVE_DECAY : args_.evolve.kind;
    const bool relaxes = kind == LACUNA_EVOLVE_RELAX;
    float d_exponent[pairs] = {}, d_target[pairs] = {};
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      const Evolution time =
          evolution(kind, evolve_.of(own_, i), exponent_of(token, now, i), token.dt_of(i), part);
      const float state = evolved(i, time);
      if (is_present(i)) {
        d_exponent[i] = relaxes ? relax_d_exponent(time.target, state, d[i])
                                : decay_d_pre(time.exponent, state, d[i]);
        d_target[i] = relax_d_target(time.factor, d[i]);
      }
      d[i] = time.factor * d[i];
    }
    const auto exponents = [&](int, int pair) { return d_exponent[pair]; };
    if (!relaxes) return this->template keep<1>(args_.d_evolve.d_exponent, token, exponents);
    this->template keep<parts, part, part + 1>(args_.d_evolve.d_exponent, token, exponents);
    this->template keep<parts, part, part + 1>(args_.d_evolve.d_target, token,
                                               [&](int, int pair) { return d_target[pair]; });
  }

  Division division_;
  Scatter& scatter_;
  UnitNumbers evolve_;
  Stored* gradients_;
  Lane<true> lane_[2];
  Weights weights_;
  float d_h_[pairs] = {}, d_c_[pairs] = {};
};

template <class Cell, class T, class E, class Form, class Scatter>
SIMT_DEVICE void walk_backward(const ResidentBackward<T>& args, const Division& division,
                               Scatter& scatter, simt::SharedCarver& shared) {
  using Stored = typename Operand<E>::Stored;
  const BackwardMemory<Cell, E, Scatter> memory{division};
  const UnitNumbers evolve(shared, division);
  auto* const gradients = shared.take<Stored>(static_cast<std::size_t>(2 * memory.gradients()));
  auto* const weights =
      shared.take<std::uint32_t>(static_cast<std::size_t>(memory.warp_words() * division.warps()));
  BackwardTile<Cell, T, E, Scatter, Form>(args, division, scatter, evolve, gradients, weights)
      .run();
}

template <class Cell, class T, class E, class Form>
SIMT_KERNEL(most_threads, 1)
void backward(ResidentBackward<T> args) {
  simt::SharedCarver shared;
  OwnSums scatter;
  walk_backward<Cell, T, E, Form>(args, whole_division<Form>(args.hidden), scatter, shared);
}

}  // namespace resident

template <class T>
void resident_backward(simt::Stream stream, const ResidentBackward<T>& args) {
  if (args.sequences.count == 0) return;
  with_cell(args.cell, [&]<class Cell>(Cell) {
    resident::with_operand<T>(args.tf32, [&]<class Forward>(Forward) {
      using E = resident::GradientOperand<Forward>;
      const resident::Division division{.slice = resident::padded_units(args.hidden)};
      const auto bytes = [&]<class Some>(Some) {
        return resident::BackwardMemory<Cell, Some, resident::OwnSums>{division}.bytes();
      };
      resident::with_room<E>(args.shared_bytes, bytes, [&]<class Some>(Some some) {
        resident::with_form<Cell, Some>(
            resident::is_usual(args), args.hidden, [&]<class Form>(Form) {
              simt::launch(resident::launch_of_tiles(args.lanes, division, bytes(some)), stream,
                           resident::backward<Cell, T, Some, Form>, args);
            });
      });
    });
  });
}

}  // namespace lacuna
