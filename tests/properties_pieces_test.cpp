// A sequence fed in pieces gives the bits of the whole, or where sizes decide those, the same up to rounding: the final state and the carry of one piece
// are all that the next one needs, whichever way the layer reads.
#include <algorithm>
#include <array>
#include <map>

#include "support/properties.h"

namespace {

using support::Case;
using support::Data;
using support::in_type;
using support::library_run;
using support::LibraryRun;
using support::Per;
using support::Selection;

constexpr std::size_t pieces = 3;

struct Pieces : support::PropertyTest {};

INSTANTIATE_TEST_SUITE_P(Each, Pieces, testing::ValuesIn(support::property_cases),
                         support::test_name);

// The pieces in the order in which the layer reads them. Some are empty, at either end and between.
std::array<Selection, pieces> cut(const Case& c, const reference::Batch& whole) {
  std::array<Selection, pieces> parts;
  for (std::int64_t b = 0; b < whole.sequences(); ++b) {
    const auto at = static_cast<std::size_t>(b);
    const std::int64_t begin = whole.offsets[at], end = whole.offsets[at + 1];
    std::int64_t first = begin + (b * 5 + 2) % (end - begin + 1);
    std::int64_t second = begin + (b * 3) % (end - begin + 1);
    if (first > second) std::swap(first, second);
    parts[c.layer.reverse ? 2 : 0].add(b, begin, first);
    parts[1].add(b, first, second);
    parts[c.layer.reverse ? 0 : 2].add(b, second, end);
  }
  return parts;
}

template <class Real>
std::vector<double> doubles(const LibraryRun<Real>& run, const std::string& name) {
  const auto* buffer = run.results.find(name);
  if (buffer == nullptr) return {};
  return {buffer->span().begin(), buffer->span().end()};
}

// What a piece gets from the one that was read before it, `before`.
template <class Real>
void hand_over(const LibraryRun<Real>& before, const reference::Batch& its, Data& piece) {
  std::vector<std::int64_t>& position = piece.batch.noise.position = its.noise.position;
  position.resize(static_cast<std::size_t>(its.sequences()));
  for (std::size_t b = 0; b < position.size(); ++b)
    position[b] += its.offsets[b + 1] - its.offsets[b];
  piece.batch.initial_hidden = doubles(before, "final_hidden");
  piece.batch.initial_cell = doubles(before, "final_cell");
  piece.batch.context.last_value = doubles(before, "carry_last_values");
  piece.batch.context.since = doubles(before, "carry_since");
  piece.batch.context.first_gap = doubles(before, "carry_first_gap");
  piece.batch.context.last_time.clear();
  if (before.last_time) piece.batch.context.last_time = before.last_time->vector();
}

// The context is a value to the backward run, so only models that look back no further than the
// state and the gap have the whole's gradient.
bool looks_back(const Case& c) {
  return c.layer.impute > reference::Impute::mean || c.layer.evolve == reference::Evolve::decay;
}

template <class Real>
class Check {
 public:
  Check(const Case& c, lacuna_isa isa)
      : c_(c), data_(c), context_(support::make_context(1, isa)), parts_(cut(c, data_.batch)) {}

  void run() {
    auto whole = library_run<Real>(c_, data_);
    whole.run(context_.get());
    std::vector<Data> inputs;
    std::vector<LibraryRun<Real>> runs;
    runs.reserve(pieces);
    const lacuna_capacity room = whole.capacity();
    std::array<support::PlanHandle, pieces> plan;
    std::array<support::TapeHandle, pieces> tape;
    for (std::size_t p = 0; p < pieces; ++p) {
      inputs.push_back(support::select(data_, parts_[p]));
      if (p > 0) hand_over(runs[p - 1], inputs[p - 1].batch, inputs[p]);
      runs.push_back(library_run<Real>(c_, inputs[p]));
      plan[p] = support::make_plan(context_.get(), runs[p].layer(), room);
      tape[p] = support::make_tape(plan[p].get());
      runs[p].forward(plan[p].get(), tape[p].get());
      expect_rows(runs[p], whole, parts_[p], Per::token);
    }
    expect_rows(runs.back(), whole, parts_.back(), Per::sequence);
    if (whole.last_time) {
      EXPECT_TRUE(support::are_same_bits("last_time", runs.back().last_time->vector(),
                                         whole.last_time->vector()));
    }
    if (!looks_back(c_)) expect_gradients(whole, inputs, plan, tape);
  }

 private:
  void expect_rows(const LibraryRun<Real>& part, const LibraryRun<Real>& whole,
                   const Selection& which, Per rows) {
    for (const auto& [name, buffer] : part.results.entries()) {
      if (support::rows_of(name) != rows) continue;
      EXPECT_TRUE(support::guards_are_whole(name, *buffer));
      const std::vector<Real> all = whole.results.find(name)->vector();
      EXPECT_TRUE(support::are_alike(
          c_, name, data_.batch.tokens(), buffer->vector(),
          rows == Per::token ? support::pick(all, which.tokens, data_.batch.tokens()) : all));
    }
  }

  // Backwards from the last piece, each handing dL/d(its initial state) to the one before.
  void expect_gradients(const LibraryRun<Real>& whole, std::vector<Data>& inputs,
                        const std::array<support::PlanHandle, pieces>& plan,
                        const std::array<support::TapeHandle, pieces>& tape) {
    const std::int64_t n = data_.batch.tokens();
    std::map<std::string, std::vector<Real>> sums;
    for (std::size_t p = pieces; p-- > 0;) {
      auto run = library_run<Real>(c_, inputs[p]);
      run.backward(plan[p].get(), tape[p].get());
      for (const auto& [name, buffer] : run.results.entries()) {
        const std::vector<Real> all = whole.results.find(name)->vector();
        if (support::rows_of(name) == Per::parameter) {
          std::vector<Real>& sum = sums[name];
          sum.resize(buffer->size());
          for (std::size_t at = 0; at < sum.size(); ++at) sum[at] += buffer->span()[at];
        } else if (name == "d_values" || (name == "d_delta_t" && !c_.layer.reverse)) {
          // In reverse a piece's first gap is a constant.
          EXPECT_TRUE(support::are_close(c_, name, n, buffer->vector(),
                                         support::pick(all, parts_[p].tokens, n)));
        } else if (name.starts_with("d_initial") && p == 0) {
          EXPECT_TRUE(support::are_close(c_, name, n, buffer->vector(), all));
        }
      }
      if (p == 0) break;
      inputs[p - 1].upstream.d_final_hidden = doubles(run, "d_initial_hidden");
      inputs[p - 1].upstream.d_final_cell = doubles(run, "d_initial_cell");
    }
    for (const auto& [name, sum] : sums)
      EXPECT_TRUE(support::are_close(c_, name, n, sum, whole.results.find(name)->vector()));
  }

  Case c_;
  Data data_;
  support::ContextHandle context_;
  std::array<Selection, pieces> parts_;
};

TEST_P(Pieces, EqualTheWhole) {
  for (const bool reverse : {false, true}) {
    for (const bool times : {false, true}) {
      c.layer.reverse = reverse;
      c.times = times;
      in_type(c, [&]<class Real>(Real) {
        for (const lacuna_isa isa : support::instruction_sets()) {
          SCOPED_TRACE(support::to_string(c) + " isa " + std::to_string(isa));
          Check<Real>(c, isa).run();
        }
      });
    }
  }
}

// Every impute x evolve, in either direction and form of time, cell by cell in turn.
TEST(PiecesOfEveryModel, EqualTheWhole) {
  const reference::Cell cells[] = {reference::Cell::lstm, reference::Cell::gru,
                                   reference::Cell::gru_reset_before, reference::Cell::rnn_tanh,
                                   reference::Cell::rnn_euler};
  std::uint64_t turn = 0;
  for (int impute = 0; impute < 5; ++impute) {
    for (int evolve = 0; evolve < 4; ++evolve) {
      for (int form = 0; form < 4; ++form) {
        Case c = support::parse_case("rnn_f64_n5_d3_h9_len0-9");
        c.type = form % 3 ? support::Type::f64 : support::Type::f32;
        c.layer.impute = static_cast<reference::Impute>(impute);
        c.layer.evolve = static_cast<reference::Evolve>(evolve);
        c.layer.cell = cells[turn % 5];
        c.layer.reverse = form & 1;
        c.times = form & 2;
        c.missing_percent = impute > 0 ? 60 : 0;
        c.layer.empty_rows = static_cast<reference::EmptyRows>(impute > 0 && turn % 2);
        c.seed = turn++;
        SCOPED_TRACE(support::to_string(c));
        in_type(c, [&]<class Real>(Real) { Check<Real>(c, LACUNA_ISA_BEST).run(); });
      }
    }
  }
}

}  // namespace
