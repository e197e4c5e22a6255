// Shows how far a long run has come: a bar that redraws itself on a terminal, a plain line now and
// then where output goes to a file or a log.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

namespace examples {

class Progress {
 public:
  // On stderr, so that stdout holds results alone.
  explicit Progress(int total)
      : total_(std::max(1, total)), terminal_(isatty(fileno(stderr)) != 0), start_(Clock::now()) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `note` says what has just been done, in a few words.
  void advance(const std::string& note, int steps = 1) {
    done_ = std::min(done_ + steps, total_);
    const auto now = Clock::now();
    // A terminal need not be redrawn more often than the eye can follow; a log wants some ten lines.
    const bool due = terminal_ ? now - last_shown_ > std::chrono::milliseconds(50)
                               : done_ * 10 / total_ > lines_;
    if (!due && done_ < total_) return;
    last_shown_ = now;
    lines_ = done_ * 10 / total_;
    terminal_ ? draw_bar(note, now) : print_line(note, now);
  }

  // Removes the bar, so that a result can be printed in its place.
  void clear() {
    if (terminal_ && drawn_) std::fputs("\r\033[K", stderr);
    drawn_ = false;
  }

 private:
  using Clock = std::chrono::steady_clock;

  void draw_bar(const std::string& note, Clock::time_point now) {
    constexpr int width = 30;
    std::string bar;
    for (int i = 0; i < width; ++i) bar += i * total_ < done_ * width ? "█" : "░";
    std::fprintf(stderr, "\r\033[K%s %3d%%  %s  %.40s", bar.c_str(), percent(), times(now).c_str(),
                 note.c_str());
    std::fflush(stderr);
    drawn_ = true;
  }

  void print_line(const std::string& note, Clock::time_point now) {
    std::fprintf(stderr, "%3d%%  %s  %s\n", percent(), times(now).c_str(), note.c_str());
  }

  int percent() const { return static_cast<int>(100LL * done_ / total_); }

  std::string times(Clock::time_point now) const {
    const double elapsed = std::chrono::duration<double>(now - start_).count();
    const double left = done_ > 0 ? elapsed * (total_ - done_) / done_ : 0;
    char text[48];
    std::snprintf(text, sizeof text, "%.0f s, about %.0f s left", elapsed, left);
    return text;
  }

  int total_;
  int done_ = 0;
  int lines_ = 0;
  bool terminal_;
  bool drawn_ = false;
  Clock::time_point start_;
  Clock::time_point last_shown_{};
};

}  // namespace examples
