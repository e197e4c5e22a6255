// Command lines of the examples: options by name, complaints that say what was expected, and one
// place where errors become a message and an exit status.
#pragma once

#include <charconv>
#include <cstdio>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace examples {

// Wrong usage, as opposed to a failure later on.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Takes the arguments one by one; what nobody took is an error in finish().
class Arguments {
 public:
  Arguments(int argc, const char* const* argv) : words_(argv + (argc > 0), argv + argc) {}

  bool flag(std::string_view name) {
    for (std::size_t i = 0; i < words_.size(); ++i)
      if (words_[i] == name) return take(i), true;
    return false;
  }

  // `--name value` or `--name=value`.
  std::optional<std::string> text(std::string_view name) {
    for (std::size_t i = 0; i < words_.size(); ++i) {
      const std::string_view word = words_[i];
      if (word.starts_with(name) && word.substr(name.size()).starts_with('='))
        return take(i).substr(name.size() + 1);
      if (word != name) continue;
      if (i + 1 == words_.size()) throw UsageError(std::string(name) + " needs a value");
      take(i);
      return take(i);
    }
    return std::nullopt;
  }

  std::string text(std::string_view name, std::string_view fallback) {
    return text(name).value_or(std::string(fallback));
  }

  int integer(std::string_view name, int fallback, int least, int most) {
    const auto given = text(name);
    if (!given) return fallback;
    int value = 0;
    const char* const last = given->data() + given->size();
    const auto [end, error] = std::from_chars(given->data(), last, value);
    if (error != std::errc{} || end != last || value < least || value > most)
      throw UsageError(std::string(name) + " is \"" + *given + "\"; expected an integer from " +
                       std::to_string(least) + " to " + std::to_string(most));
    return value;
  }

  // The next word that is no option. Ask for it after all options have been taken.
  std::string positional(std::string_view name) {
    if (words_.empty()) throw UsageError(std::string(name) + " is missing");
    if (words_.front().starts_with("-")) throw UsageError("unknown option " + words_.front());
    return take(0);
  }

  void finish() const {
    if (!words_.empty()) throw UsageError("unknown argument " + words_.front());
  }

 private:
  std::string take(std::size_t i) {
    std::string word = std::move(words_[i]);
    words_.erase(words_.begin() + static_cast<std::ptrdiff_t>(i));
    return word;
  }

  std::vector<std::string> words_;
};

// The whole of a main(): 0 after success or --help, 1 after a failure, 2 after wrong usage.
template <class Program>
int run_program(const char* name, const char* usage, int argc, const char* const* argv,
                Program program) {
  try {
    Arguments arguments(argc, argv);
    if (arguments.flag("--help") || arguments.flag("-h")) {
      std::fputs(usage, stdout);
      return 0;
    }
    program(arguments);
    return 0;
  } catch (const UsageError& error) {
    std::fprintf(stderr, "%s: %s\nTry %s --help\n", name, error.what(), name);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", name, error.what());
    return 1;
  }
}

}  // namespace examples
