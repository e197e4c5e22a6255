// The walk of resident/backward_walk.h by groups of blocks.
#pragma once

#include "kernels/recurrence/resident/backward.h"
#include "kernels/recurrence/split/cluster.h"
#include "kernels/recurrence/split/grid.h"

namespace lacuna {

// T: float, Fp16 or Bf16.
template <class T>
struct SplitBackward : ResidentBackward<T> {
  split::Division division;
  split::ExchangeRoom room;  // OverGrid's
};

namespace split {

template <class Cell, class T, class E, class Exchange, class Form>
SIMT_KERNEL(resident::most_threads, 1)
void backward(SplitBackward<T> args) {
  if constexpr (Exchange::is_compiled) {
    simt::SharedCarver shared;
    typename Exchange::Scatter scatter(shared, args.division, args.room);
    resident::walk_backward<Cell, T, E, Form>(args, args.division, scatter, shared);
    scatter.leave();
  }
}

// One cell and type of operands, a GradientOperand.
template <class Cell, class E, class Exchange, class T>
void launch_backward(simt::Stream stream, const SplitBackward<T>& args) {
  const auto bytes = [&]<class Some>(Some) {
    return resident::BackwardMemory<Cell, Some, typename Exchange::Scatter>{args.division}.bytes();
  };
  resident::with_room<E>(args.shared_bytes, bytes, [&]<class Some>(Some some) {
    auto launch = resident::launch_of_tiles(args.lanes, args.division, bytes(some));
    Exchange::group(launch, args.division);
    using resident::CellOf, resident::Usual, resident::Anything;
    simt::launch(launch, stream,
                 resident::is_usual<resident::Own>(args)
                     ? backward<Cell, T, Some, Exchange, Usual>
                     : backward<CellOf<Cell, Anything>, T, Some, Exchange, Anything>,
                 args);
  });
}

}  // namespace split

// Exchange: split::OverCluster or split::OverGrid.
template <class Exchange, class T>
void split_backward(simt::Stream stream, const SplitBackward<T>& args) {
  if (args.sequences.count == 0) return;
  with_cell(args.cell, [&]<class Cell>(Cell) {
    resident::with_operand<T>(args.tf32, [&]<class Forward>(Forward) {
      split::launch_backward<Cell, resident::GradientOperand<Forward, true>, Exchange>(stream,
                                                                                       args);
    });
  });
}

}  // namespace lacuna
