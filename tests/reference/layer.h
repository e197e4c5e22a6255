// What one recurrent layer of the oracle is: a choice of impute, evolve and cell, and its widths.
// Mirrors docs/equations.md name by name, and shares no declaration with the library it judges.
#pragma once

namespace reference {

enum class Impute { none, mean, forward, decay, relax };
enum class Evolve { none, decay, decay_step, relax };
enum class Cell { rnn_tanh, rnn_relu, rnn_euler, lstm, gru, gru_reset_before };

// What happens at a token where no feature was measured.
enum class EmptyRows { update, evolve_only };

// One layer, one direction.
struct Layer {
  Cell cell = Cell::gru;
  Impute impute = Impute::none;
  Evolve evolve = Evolve::none;
  EmptyRows empty_rows = EmptyRows::update;
  int features = 1;         // D
  int hidden = 1;           // H
  bool mask_input = false;  // the cell also sees m; all ones under Impute::none, which has no mask
  bool gap_input = false;   // the cell also sees log(1 + delta_t), as its last input
  bool reverse = false;     // read every sequence from its last token to its first
  int zoneout_hidden_percent = 0;     // of h's units that keep their evolved state
  int zoneout_cell_percent = 0;       // of c's
  int recurrent_dropout_percent = 0;  // of h's units that W_h does not see
  bool layer_norm = false;
  int projection = 0;  // P; 0: none

  bool has_cell_state() const { return cell == Cell::lstm; }
  bool is_gru() const { return cell == Cell::gru || cell == Cell::gru_reset_before; }

  // G: how many gates the cell stacks.
  int gates() const { return has_cell_state() ? 4 : is_gru() ? 3 : 1; }

  // K: columns of W_x.
  int input_width() const { return features * (mask_input ? 2 : 1) + (gap_input ? 1 : 0); }

  // R: the width of h.
  int output_width() const { return projection > 0 ? projection : hidden; }

  // S: units that Evolve::relax acts on; h first, then c.
  int state_width() const { return output_width() + (has_cell_state() ? hidden : 0); }

  bool operator==(const Layer&) const = default;
};

}  // namespace reference
