// The walk of resident/forward_walk.h by groups of blocks.
#pragma once

#include "kernels/recurrence/resident/forward.h"
#include "kernels/recurrence/split/cluster.h"
#include "kernels/recurrence/split/grid.h"

namespace lacuna {

// T: float, Fp16 or Bf16.
template <class T>
struct SplitForward : ResidentForward<T> {
  split::Division division;
  split::ExchangeRoom room;  // OverGrid's
};

namespace split {

template <class Cell, class T, class E, class Exchange, class Form>
SIMT_KERNEL(resident::most_threads, 1)
void forward(SplitForward<T> args) {
  if constexpr (Exchange::is_compiled) {
    simt::SharedCarver shared;
    typename Exchange::template Gather<E> gather(shared, args.division, resident::channels<Cell>,
                                                 args.room);
    resident::walk_forward<Cell, T, E, Form>(args, args.division, gather, shared);
    gather.leave();
  }
}

// One cell and type of operands.
template <class Cell, class E, class Exchange, class T>
void launch_forward(simt::Stream stream, const SplitForward<T>& args) {
  const auto bytes = [&]<class Some>(Some) {
    using Gather = typename Exchange::template Gather<Some>;
    return resident::ForwardMemory<Cell, Some, Gather>{args.division}.bytes();
  };
  resident::with_room<E>(args.shared_bytes, bytes, [&]<class Some>(Some some) {
    auto launch = resident::launch_of_tiles(args.lanes, args.division, bytes(some));
    Exchange::group(launch, args.division);
    using resident::CellOf, resident::Usual, resident::Anything;
    simt::launch(launch, stream,
                 resident::is_usual<resident::Own>(args)
                     ? forward<Cell, T, Some, Exchange, Usual>
                     : forward<CellOf<Cell, Anything>, T, Some, Exchange, Anything>,
                 args);
  });
}

}  // namespace split

// Exchange: split::OverCluster or split::OverGrid.
template <class Exchange, class T>
void split_forward(simt::Stream stream, const SplitForward<T>& args) {
  if (args.sequences.count == 0) return;
  with_cell(args.cell, [&]<class Cell>(Cell) {
    resident::with_operand<T>(
        args.tf32, [&]<class E>(E) { split::launch_forward<Cell, E, Exchange>(stream, args); });
  });
}

}  // namespace lacuna
