// The forward run of one group: its lanes step together, each through its own queue of sequences, from end to end
// without ever meeting another thread.
#pragma once

#include <algorithm>

#include "host/cpu/engine/forward_cells.h"
#include "host/cpu/engine/noise.h"
#include "host/cpu/engine/observe.h"
#include "host/cpu/engine/scratch.h"
#include "kernels/cells/norm.h"

namespace lacuna::cpu {

template <class V, class T, class Arch, class Cell>
class ForwardGroup {
 public:
  ForwardGroup(const Job<T>& job, std::int64_t group, T* memory)
      : job_(job), lay_(*job.layout), lanes_(job.lanes.of(group)), scratch_(job, memory) {}

  void run() {
    const std::int64_t steps = lanes_.empty() ? 0 : lanes_[0].tokens;
    for (std::size_t l = 0; l < lanes_.size(); ++l) walk_[l] = {lanes_[l].first, 0};
    int active = static_cast<int>(lanes_.size());
    for (std::int64_t t = 0; t < steps; ++t) {
      while (lanes_[active - 1].tokens <= t) --active;
      step(active);
    }
    V::end_streams();
  }

 private:
  struct Walk {
    std::int64_t position;  // in the lane's queue
    std::int64_t at;        // tokens of the current sequence that are done
  };

  std::int64_t sequence(int lane) const { return job_.lanes.order[walk_[lane].position]; }
  T* h(int lane) const { return scratch_.h + lane * lay_.output_units; }
  T* c(int lane) const { return scratch_.c + lane * lay_.units; }
  T* factors(int lane) const { return scratch_.factors + lane * lay_.output_units; }
  bool lstm() const { return job_.layer.cell == LACUNA_LSTM; }

  void step(int active) {
    T* row[most_lanes];
    T* cell_in[most_lanes];
    T* decay[most_lanes];
    T dt[most_lanes];
    bool fires[most_lanes];
    for (int l = 0; l < active; ++l) {
      if (walk_[l].at == 0) begin(l);
      const std::int64_t token = job_.token(sequence(l), walk_[l].at);
      const bool taped = job_.operands != nullptr;
      row[l] = taped ? job_.operands + token * lay_.operand_stride
                     : scratch_.row + l * lay_.operand_stride;
      cell_in[l] = taped ? job_.cells + token * lay_.units : scratch_.cell_in + l * lay_.units;
      decay[l] =
          taped ? job_.decay + token * lay_.output_units : scratch_.decay + l * lay_.output_units;
      dt[l] = job_.gap(sequence(l), walk_[l].at);
      fires[l] = observe<V>(job_, token, dt[l], scratch_.last + l * lay_.channels,
                            scratch_.since + l * lay_.channels, scratch_.observe, row[l]);
    }
    Step<T> firing;
    firing.products = scratch_.products;
    if (lay_.elapsed_width > 0) decay_exponents(active, row, decay, firing.ahead);
    for (int l = 0; l < active; ++l) {
      evolve(l, row[l], cell_in[l], decay[l], dt[l]);
      const std::int64_t token = job_.token(sequence(l), walk_[l].at);
      if (job_.evolved_hidden != nullptr)
        copy_row<V>(row[l] + lay_.state, lay_.outputs, job_.evolved_hidden + token * lay_.outputs);
      if (lay_.drops_state) drop(l, row[l]);
      if (!fires[l]) {
        copy_row<V>(row[l] + lay_.state, lay_.output_units, h(l));
        if (lstm()) copy_row<V>(cell_in[l], lay_.units, c(l));
        // Its gates have no gradient, but the weight products multiply that zero with what stands here.
        if (job_.gates != nullptr)
          std::fill_n(job_.saved(token, 0), lay_.saved_gates * lay_.units, T(0));
        continue;
      }
      const int i = firing.count++;
      firing.row[i] = row[l];
      firing.h[i] = h(l);
      firing.c[i] = c(l);
      firing.cell_in[i] = cell_in[l];
      firing.gates[i] = job_.gates != nullptr ? job_.saved(token, 0) : nullptr;
      firing.reset_h[i] = scratch_.reset_h + l * lay_.units;
      firing.unprojected[i] = lay_.projected ? firing.reset_h[i] : h(l);
      firing.update[i] = scratch_.update + l * lay_.units;
      firing.candidate[i] = scratch_.candidate + l * lay_.units;
      firing.norm_factors[i] = job_.norm_factors + token * norm_factors;
      firing.dt[i] = dt[l];
    }
    for (int l = 0; l < active; ++l)
      if (walk_[l].at + 1 < job_.length(sequence(l)))
        look_ahead(job_.token(sequence(l), walk_[l].at + 1), firing.ahead);
    if (firing.count > 0) Cell::run(job_, firing);
    if (lay_.zones_out) zone_out(active, fires, row, cell_in);

    for (int l = 0; l < active; ++l) {
      const std::int64_t token = job_.token(sequence(l), walk_[l].at);
      if (job_.hidden != nullptr)
        copy_row<V>(h(l), lay_.outputs, job_.hidden + token * lay_.outputs);
      if (job_.cell != nullptr) copy_row<V>(c(l), lay_.hidden, job_.cell + token * lay_.hidden);
      if (++walk_[l].at == job_.length(sequence(l))) end(l, token);
    }
  }

  void look_ahead(std::int64_t token, Ahead& ahead) const {
    ahead.add(job_.values + token * lay_.features, lay_.features);
    if (job_.mask != nullptr) ahead.add(job_.mask + token * lay_.features, lay_.features);
    if (job_.operands != nullptr) {
      ahead.add(job_.operands + token * lay_.operand_stride, lay_.operand_stride);
      // What is streamed needs no line in the cache, and would have to push it out.
      if constexpr (!V::streams) ahead.add(job_.saved(token, 0), lay_.saved_gates * lay_.units);
      if (lay_.elapsed_width > 0)
        ahead.add(job_.decay + token * lay_.output_units, lay_.output_units);
      if (lstm()) ahead.add(job_.cells + token * lay_.units, lay_.units);
    }
    if (job_.hidden != nullptr) ahead.add(job_.hidden + token * lay_.outputs, lay_.outputs);
  }

  void begin(int lane) {
    const std::int64_t b = sequence(lane);
    fill_state(h(lane), lay_.output_units, job_.initial_hidden, lay_.outputs, b);
    if (lstm()) fill_state(c(lane), lay_.units, job_.initial_cell, lay_.hidden, b);
    if (lay_.drops_state && job_.drawn) draw_dropout<V>(job_, b, factors(lane));
    begin_observation<V>(job_, b, scratch_.last + lane * lay_.channels,
                         scratch_.since + lane * lay_.channels);
  }

  static void fill_state(T* state, std::int64_t padded, const T* initial, std::int64_t width,
                         std::int64_t b) {
    std::fill_n(state, padded, T(0));
    if (initial != nullptr) std::copy_n(initial + b * width, width, state);
  }

  void end(int lane, std::int64_t token) {
    const std::int64_t b = sequence(lane);
    if (job_.final_hidden != nullptr)
      std::copy_n(h(lane), lay_.outputs, job_.final_hidden + b * lay_.outputs);
    if (job_.final_cell != nullptr)
      std::copy_n(c(lane), lay_.hidden, job_.final_cell + b * lay_.hidden);
    const T* last = scratch_.last + lane * lay_.channels;
    const T* since = scratch_.since + lane * lay_.channels;
    if (job_.carry_out.last_values != nullptr)
      std::copy_n(last, lay_.features, job_.carry_out.last_values + b * lay_.features);
    if (job_.carry_out.since != nullptr)
      std::copy_n(since, lay_.features, job_.carry_out.since + b * lay_.features);
    if (job_.carry_out.last_time != nullptr) job_.carry_out.last_time[b] = job_.times[token];
    if (job_.carry_out.first_gap != nullptr)
      job_.carry_out.first_gap[b] = job_.delta_t[job_.offsets[b]];
    walk_[lane] = {walk_[lane].position + 1, 0};
  }

  void decay_exponents(int active, T* const (&row)[most_lanes], T* const (&decay)[most_lanes],
                       Ahead& ahead) {
    const T* panel = job_.panel_decay;
    for_panels<V>(lay_.output_units, [&](std::int64_t first, auto width) {
      panel = Product<V, Arch, AllSlots<decltype(width)::value>>::set(
          panel, lay_.elapsed_width + 1, active, [&](int l) { return row[l] + lay_.elapsed; },
          [&](int l) { return decay[l] + first; }, ahead);
    });
  }

  // From the lane's state to the operand row, and for lstm to the row of cells.
  void evolve(int lane, T* row, T* cell_in, const T* decay, T dt) {
    T* const evolved = row + lay_.state;
    switch (job_.layer.evolve) {
      case LACUNA_EVOLVE_NONE: copy_row<V>(h(lane), lay_.output_units, evolved); break;
      case LACUNA_EVOLVE_DECAY:
      case LACUNA_EVOLVE_DECAY_STEP:
        for (std::int64_t u = 0; u < lay_.output_units; u += V::size)
          (decay_factor(V::load(decay + u)) * V::load(h(lane) + u)).store(evolved + u);
        break;
      case LACUNA_EVOLVE_RELAX:
        relax_row(h(lane), dt, 0, lay_.output_units, evolved);
        if (lstm()) relax_row(c(lane), dt, lay_.output_units, lay_.units, cell_in);
        return;
    }
    if (lstm()) copy_row<V>(c(lane), lay_.units, cell_in);
  }

  // What W_h reads of the evolved h: all of it, where nothing is drawn.
  void drop(int lane, T* row) const {
    if (!job_.drawn) return copy_row<V>(row + lay_.state, lay_.output_units, row + lay_.h);
    const T* const left = factors(lane);
    for (std::int64_t u = 0; u < lay_.output_units; u += V::size)
      (V::load(left + u) * V::load(row + lay_.state + u)).store(row + lay_.h + u);
  }

  void zone_out(int active, const bool (&fires)[most_lanes], T* const (&row)[most_lanes],
                T* const (&cell_in)[most_lanes]) const {
    const Zoned hidden = of_hidden(job_), cell = of_cell(job_);
    const auto drawn_h = [&](int l) {
      return job_.drawn ? scratch_.drawn_h + l * lay_.output_units : nullptr;
    };
    const auto drawn_c = [&](int l) {
      return job_.drawn ? scratch_.drawn_c + l * lay_.units : nullptr;
    };
    if (job_.drawn) {
      RowDraws<V, T> draws(job_.noise, T(1), T(0));
      for (int l = 0; l < active; ++l) {
        if (!fires[l]) continue;
        const Place place{sequence(l), walk_[l].at};
        draw_zoneout(job_, hidden, place, drawn_h(l), draws);
        if (lstm()) draw_zoneout(job_, cell, place, drawn_c(l), draws);
      }
      draws.flush();
    }
    for (int l = 0; l < active; ++l) {
      if (!fires[l]) continue;
      cpu::zone_out<V, T>(hidden, drawn_h(l), row[l] + lay_.state, h(l));
      if (lstm()) cpu::zone_out<V, T>(cell, drawn_c(l), cell_in[l], c(l));
    }
  }

  // `part`: where the state's parameters begin.
  void relax_row(const T* state, T dt, std::int64_t part, std::int64_t width, T* evolved) const {
    for (std::int64_t u = 0; u < width; u += V::size) {
      const V factor = relax_factor(V::load(job_.relax_rate + part + u), V(dt));
      relax(factor, V::load(job_.relax_target + part + u), V::load(state + u)).store(evolved + u);
    }
  }

  const Job<T>& job_;
  const Layout& lay_;
  std::span<const Lane> lanes_;
  ForwardScratch<T> scratch_;
  Walk walk_[most_lanes];
};

}  // namespace lacuna::cpu
