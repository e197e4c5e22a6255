// A stack's schedule as a picture: which layer does what in which wave, and how much memory is in use.
#include <algorithm>
#include <iomanip>
#include <sstream>

#include "host/stack/recipe.h"

namespace lacuna::stack {
namespace {

constexpr double left = 150, top = 58, row_height = 22, plot_width = 900, memory_height = 110;

std::vector<std::size_t> bytes_in_use(const schedule::Graph& graph) {
  std::vector<std::size_t> bytes(static_cast<std::size_t>(graph.waves()), 0);
  for (const schedule::Buffer& buffer : graph.buffers)
    for (std::int32_t wave = buffer.first; wave >= 0 && wave <= buffer.last; ++wave)
      bytes[static_cast<std::size_t>(wave)] += buffer.bytes;
  return bytes;
}

class Drawing {
 public:
  explicit Drawing(const StackRecipe& recipe) : recipe_(recipe) {
    svg_ << std::fixed << std::setprecision(1);
  }

  std::string draw() {
    const double bottom = top + rows() * row_height + 40 + memory_height + 40;
    svg_ << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << left + plot_width + 30
         << "\" height=\"" << bottom << "\" font-family=\"sans-serif\" font-size=\"12\">\n"
         << "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n";
    const schedule::Graph& graph = recipe_.graph;
    std::ostringstream title;
    title << graph.tasks.size() << " tasks in " << graph.waves() << " waves, "
          << recipe_.windows.count << " windows of " << recipe_.windows.segment << " tokens, "
          << graph.recomputed << " run again";
    text(left, 20, title.str());
    legend();
    for (int layer = 0; layer < recipe_.stack.depth(); ++layer)
      for (int direction = 0; direction < recipe_.stack.directions(); ++direction)
        text(10, row(layer, direction) + 15,
             "layer " + std::to_string(layer) +
                 (recipe_.stack.reads_from_end(layer, direction) ? ", from the end" : ""));
    for (const schedule::Task& task : graph.tasks) draw(task);
    draw_border();
    draw_memory();
    svg_ << "</svg>\n";
    return svg_.str();
  }

 private:
  static constexpr const char* forward = "#4477aa";
  static constexpr const char* again = "#99bbdd";
  static constexpr const char* backward = "#ee6677";

  int rows() const { return recipe_.stack.depth() * recipe_.stack.directions(); }
  double row(int layer, int direction) const {
    return top + (rows() - 1 - (layer * recipe_.stack.directions() + direction)) * row_height;
  }
  double x(double wave) const {
    return left + plot_width * wave / std::max<double>(recipe_.graph.waves(), 1);
  }

  void text(double at_x, double at_y, const std::string& words) {
    svg_ << "<text x=\"" << at_x << "\" y=\"" << at_y << "\">" << words << "</text>\n";
  }
  void box(double at_x, double at_y, double width, double height, const char* colour) {
    svg_ << "<rect x=\"" << at_x << "\" y=\"" << at_y << "\" width=\"" << width << "\" height=\""
         << height << "\" fill=\"" << colour << "\"/>\n";
  }
  void legend() {
    double at = left;
    for (const auto& [colour, words] :
         {std::pair{forward, "forward"}, {again, "forward again"}, {backward, "backward"}}) {
      box(at, 30, 12, 12, colour);
      text(at + 17, 40, words);
      at += 130;
    }
  }
  void draw(const schedule::Task& task) {
    if (task.kind == schedule::Task::Kind::close) return;
    const char* const colour = task.kind == schedule::Task::Kind::backward ? backward
                               : task.again                                ? again
                                                                           : forward;
    const double width = x(1) - x(0), gap = std::min(1.0, width / 8);
    box(x(task.wave) + gap / 2, row(task.layer, task.direction) + 2, width - gap, row_height - 4,
        colour);
  }
  // Where the forward run ends and the caller forms the loss.
  void draw_border() {
    const double at = x(recipe_.graph.forward_waves), end = top + rows() * row_height + 4;
    svg_ << "<line x1=\"" << at << "\" y1=\"" << top - 6 << "\" x2=\"" << at << "\" y2=\"" << end
         << "\" stroke=\"#222222\" stroke-dasharray=\"4 3\"/>\n";
  }
  void draw_memory() {
    const std::vector<std::size_t> bytes = bytes_in_use(recipe_.graph);
    const std::size_t budget = recipe_.options.budget;
    const bool shows_budget = budget > 0 && budget < 4 * recipe_.graph.bytes;
    const auto most = static_cast<double>(
        std::max<std::size_t>({recipe_.graph.bytes, shows_budget ? budget : 0, 1}));
    const double base = top + rows() * row_height + 40 + memory_height;
    const auto y = [&](std::size_t value) {
      return base - memory_height * static_cast<double>(value) / most;
    };
    svg_ << "<polygon fill=\"#ccbb44\" points=\"" << x(0) << ',' << base;
    for (std::size_t wave = 0; wave < bytes.size(); ++wave)
      svg_ << ' ' << x(static_cast<double>(wave)) << ',' << y(bytes[wave]) << ' '
           << x(static_cast<double>(wave) + 1) << ',' << y(bytes[wave]);
    svg_ << ' ' << x(static_cast<double>(bytes.size())) << ',' << base << "\"/>\n";
    const auto level = [&](std::size_t value, const char* colour) {
      svg_ << "<line x1=\"" << left << "\" y1=\"" << y(value) << "\" x2=\"" << left + plot_width
           << "\" y2=\"" << y(value) << "\" stroke=\"" << colour << "\"/>\n";
    };
    level(recipe_.graph.bytes, "#222222");
    text(10, y(recipe_.graph.bytes) + 12, "block " + mebibytes(recipe_.graph.bytes));
    if (shows_budget) {
      level(budget, "#aa3377");
      text(left, y(budget) - 5, "budget " + mebibytes(budget));
    }
    text(left, base + 20, "memory in use");
  }

  const StackRecipe& recipe_;
  std::ostringstream svg_;
};

}  // namespace

std::string timeline(const StackRecipe& recipe) { return Drawing(recipe).draw(); }

}  // namespace lacuna::stack
