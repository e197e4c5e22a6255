// See case.h for the grammar.
#include "support/case.h"

#include <array>
#include <charconv>
#include <stdexcept>
#include <utility>
#include <vector>

namespace support {
namespace {

using reference::Cell;
using reference::EmptyRows;
using reference::Evolve;
using reference::Impute;
using reference::Layer;

template <class Value>
struct Named {
  std::string_view name;
  Value value;
};

constexpr std::array<Named<Cell>, 6> cells{{{"rnn_tanh", Cell::rnn_tanh},
                                            {"rnn_relu", Cell::rnn_relu},
                                            {"rnn_euler", Cell::rnn_euler},
                                            {"lstm", Cell::lstm},
                                            {"gru", Cell::gru},
                                            {"gru_reset_before", Cell::gru_reset_before}}};
constexpr std::array<Named<Impute>, 5> imputes{{{"none", Impute::none},
                                                {"mean", Impute::mean},
                                                {"forward", Impute::forward},
                                                {"decay", Impute::decay},
                                                {"relax", Impute::relax}}};
constexpr std::array<Named<Evolve>, 4> evolves{{{"none", Evolve::none},
                                                {"decay", Evolve::decay},
                                                {"decay_step", Evolve::decay_step},
                                                {"relax", Evolve::relax}}};

constexpr EmptyRows update = EmptyRows::update, evolve_only = EmptyRows::evolve_only;

// Only the model and its flags count; a plain cell's name is a model already.
constexpr std::array<Named<Layer>, 8> presets{{
    {"rnn", {Cell::rnn_tanh, Impute::none, Evolve::none, update}},
    {"rnn_decay", {Cell::rnn_tanh, Impute::forward, Evolve::decay_step, update, 1, 1, true}},
    {"gru_decay", {Cell::gru, Impute::forward, Evolve::decay_step, update, 1, 1, true}},
    {"lstm_decay", {Cell::lstm, Impute::forward, Evolve::decay_step, update, 1, 1, true}},
    {"grud", {Cell::gru_reset_before, Impute::decay, Evolve::decay, update, 1, 1, true}},
    {"grud_relax", {Cell::gru_reset_before, Impute::relax, Evolve::relax, evolve_only, 1, 1, true}},
    {"gru_gap", {Cell::gru, Impute::forward, Evolve::none, update, 1, 1, true, true}},
    {"ode_euler", {Cell::rnn_euler, Impute::forward, Evolve::none, update, 1, 1, true}},
}};

// In the order of Type.
constexpr std::array<std::string_view, 4> type_names{"_f32", "_f64", "_f16", "_bf16"};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Case parse() {
    std::size_t type = std::string_view::npos, type_length = 0;
    for (std::size_t t = 0; t < type_names.size(); ++t) {
      const std::size_t at = text_.find(type_names[t]);
      if (at >= type) continue;
      type = at;
      type_length = type_names[t].size();
      case_.type = static_cast<Type>(t);
    }
    if (type == std::string_view::npos)
      fail(text_, "lacks the type, _f32 or _f64 or _f16 or _bf16");
    parse_model(text_.substr(0, type));
    std::string_view rest = text_.substr(type + type_length);
    while (!rest.empty()) {
      if (rest.front() != '_') fail(rest, "should begin with an underscore");
      rest.remove_prefix(1);
      const std::string_view field = rest.substr(0, rest.find('_'));
      rest.remove_prefix(field.size());
      parse_field(field);
    }
    check();
    return case_;
  }

 private:
  [[noreturn]] void fail(std::string_view part, const std::string& problem) const {
    throw std::invalid_argument("case '" + std::string(text_) + "': '" + std::string(part) + "' " +
                                problem);
  }

  template <class Table>
  auto look_up(const Table& table, std::string_view name, const std::string& kind) const {
    std::string known;
    for (const auto& entry : table) {
      if (entry.name == name) return entry.value;
      known += (known.empty() ? "" : ", ") + std::string(entry.name);
    }
    fail(name, "is no " + kind + "; there are " + known);
  }

  void parse_model(std::string_view model) {
    for (const auto& preset : presets) {
      if (preset.name != model) continue;
      const Layer sizes = case_.layer;
      case_.layer = preset.value;
      case_.layer.features = sizes.features;
      case_.layer.hidden = sizes.hidden;
      return;
    }
    std::array<std::string_view, 3> part = {"", "none", "none"};
    std::string_view rest = model;
    for (std::size_t p = 0; p < part.size(); ++p) {
      const std::size_t plus = rest.find('+');
      part[p] = rest.substr(0, plus);
      if (plus == std::string_view::npos) break;
      rest.remove_prefix(plus + 1);
      if (p + 1 == part.size()) fail(model, "has more parts than cell+impute+evolve");
    }
    case_.layer.cell = look_up(cells, part[0], "preset or cell");
    case_.layer.impute = look_up(imputes, part[1], "impute");
    case_.layer.evolve = look_up(evolves, part[2], "evolve");
  }

  template <class Integer>
  Integer parse_integer(std::string_view field, std::string_view digits) const {
    Integer value = 0;
    const char* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, value);
    if (digits.empty() || error != std::errc() || stop != end || digits.front() == '-') {
      fail(field, "needs a whole number, and '" + std::string(digits) + "' is none that fits");
    }
    return value;
  }

  void parse_lengths(std::string_view field, std::string_view lengths) {
    if (const std::size_t plus = lengths.find('+'); plus != std::string_view::npos) {
      case_.first_length = parse_integer<std::int64_t>(field, lengths.substr(plus + 1));
      lengths = lengths.substr(0, plus);
    }
    const std::size_t dash = lengths.find('-');
    case_.shortest = parse_integer<std::int64_t>(field, lengths.substr(0, dash));
    case_.longest = dash == std::string_view::npos
                        ? case_.shortest
                        : parse_integer<std::int64_t>(field, lengths.substr(dash + 1));
    if (case_.longest < case_.shortest) fail(field, "has its shorter length behind the longer");
  }

  void parse_field(std::string_view field) {
    const std::size_t letters = field.find_first_of("0123456789");
    const std::string_view name = field.substr(0, letters);
    const std::string_view number = field.substr(name.size());
    for (const std::string_view earlier : seen_) {
      if (earlier == name) fail(field, "comes twice");
    }
    seen_.push_back(name);

    Layer& layer = case_.layer;
    const std::array<Named<bool*>, 9> flags{{{"mask", &layer.mask_input},
                                             {"ln", &layer.layer_norm},
                                             {"gap", &layer.gap_input},
                                             {"rev", &layer.reverse},
                                             {"nan", &case_.mask_from_nan},
                                             {"times", &case_.times},
                                             {"delta", &case_.delta},
                                             {"init", &case_.initial_state},
                                             {"carry", &case_.carry}}};
    for (const auto& flag : flags) {
      if (field != flag.name) continue;
      *flag.value = true;
      return;
    }
    if (field == "eo") {
      layer.empty_rows = EmptyRows::evolve_only;
    } else if (name == "n") {
      case_.sequences = parse_integer<std::int64_t>(field, number);
    } else if (name == "d") {
      layer.features = parse_integer<int>(field, number);
    } else if (name == "h") {
      layer.hidden = parse_integer<int>(field, number);
    } else if (name == "p") {
      layer.projection = parse_integer<int>(field, number);
    } else if (name == "zone") {
      layer.zoneout_hidden_percent = parse_integer<int>(field, number);
    } else if (name == "zonec") {
      layer.zoneout_cell_percent = parse_integer<int>(field, number);
    } else if (name == "rdrop") {
      layer.recurrent_dropout_percent = parse_integer<int>(field, number);
    } else if (name == "seed") {
      case_.seed = parse_integer<std::uint64_t>(field, number);
    } else if (name == "miss") {
      case_.missing_percent = parse_integer<int>(field, number);
    } else if (name == "len") {
      parse_lengths(field, number);
    } else {
      fail(field,
           "is no field; there are n, d, h, p, len, miss, zone, zonec, rdrop and seed with a "
           "number, "
           "and eo, mask, gap, rev, ln, nan, times, delta, init and carry");
    }
  }

  void check() const {
    const Layer& layer = case_.layer;
    if (layer.features < 1) fail("d0", "must be at least d1");
    if (layer.hidden < 1) fail("h0", "must be at least h1");
    if (case_.missing_percent > 100) fail("miss", "must be at most 100");
    if (layer.zoneout_hidden_percent > 99) fail("zone", "must be at most 99");
    if (layer.zoneout_cell_percent > 99) fail("zonec", "must be at most 99");
    if (layer.recurrent_dropout_percent > 99) fail("rdrop", "must be at most 99");
    if (layer.projection > layer.hidden) fail("p", "must be at most h");
    if (!layer.has_cell_state()) {
      if (layer.projection > 0) fail("p", "needs an lstm");
      if (layer.zoneout_cell_percent > 0) fail("zonec", "needs an lstm");
    }
    if (layer.impute == Impute::none) {
      if (case_.missing_percent > 0 && layer.empty_rows == update)
        fail("miss", "needs an impute other than none, or eo");
      if (layer.mask_input) fail("mask", "needs an impute other than none");
      if (case_.mask_from_nan) fail("nan", "needs an impute other than none");
    }
  }

  std::string_view text_;
  Case case_;
  std::vector<std::string_view> seen_;
};

template <class Table, class Value>
std::string name_of(const Table& table, Value value) {
  for (const auto& entry : table) {
    if (entry.value == value) return std::string(entry.name);
  }
  return "?";
}

// The model's name, and `implied` set to the flags that the name brings along.
std::string model_name(const Layer& layer, Layer& implied) {
  for (const auto& preset : presets) {
    const Layer& p = preset.value;
    if (p.cell == layer.cell && p.impute == layer.impute && p.evolve == layer.evolve &&
        (p.empty_rows == update || layer.empty_rows == evolve_only) &&
        (!p.mask_input || layer.mask_input) && (!p.gap_input || layer.gap_input)) {
      implied = p;
      return std::string(preset.name);
    }
  }
  std::string name = name_of(cells, layer.cell);
  if (layer.impute != Impute::none || layer.evolve != Evolve::none) {
    name += "+" + name_of(imputes, layer.impute);
  }
  if (layer.evolve != Evolve::none) name += "+" + name_of(evolves, layer.evolve);
  return name;
}

}  // namespace

Case parse_case(std::string_view text) { return Parser(text).parse(); }

std::string to_string(const Case& c) {
  const Layer& layer = c.layer;
  Layer implied;
  std::string text = model_name(layer, implied);
  text += type_names[static_cast<std::size_t>(c.type)];
  text += "_n" + std::to_string(c.sequences) + "_d" + std::to_string(layer.features) + "_h" +
          std::to_string(layer.hidden) + "_len" + std::to_string(c.shortest);
  if (c.longest != c.shortest) text += "-" + std::to_string(c.longest);
  if (c.first_length >= 0) text += "+" + std::to_string(c.first_length);
  if (c.missing_percent > 0) text += "_miss" + std::to_string(c.missing_percent);
  if (layer.empty_rows != implied.empty_rows) text += "_eo";
  if (layer.mask_input && !implied.mask_input) text += "_mask";
  if (layer.gap_input && !implied.gap_input) text += "_gap";
  if (layer.reverse) text += "_rev";
  if (layer.zoneout_hidden_percent > 0)
    text += "_zone" + std::to_string(layer.zoneout_hidden_percent);
  if (layer.zoneout_cell_percent > 0) text += "_zonec" + std::to_string(layer.zoneout_cell_percent);
  if (layer.recurrent_dropout_percent > 0)
    text += "_rdrop" + std::to_string(layer.recurrent_dropout_percent);
  if (layer.layer_norm) text += "_ln";
  if (layer.projection > 0) text += "_p" + std::to_string(layer.projection);
  if (c.mask_from_nan) text += "_nan";
  if (c.times) text += "_times";
  if (c.delta) text += "_delta";
  if (c.initial_state) text += "_init";
  if (c.carry) text += "_carry";
  return text + "_seed" + std::to_string(c.seed);
}

}  // namespace support
