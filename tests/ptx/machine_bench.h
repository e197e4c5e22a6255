// What the machine's tests share: memory with bounds, kernels around a few lines of PTX, and a bench that runs one
// instruction on given values.
#pragma once
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ptx/machine.h"

namespace lacuna::ptx::testing {

// Arrays, each allowed from its first byte to its last.
class Bounds : public Memory {
 public:
  template <class T>
  T* array(std::size_t count, T value = {}) {
    auto storage = std::make_unique<std::byte[]>(count * sizeof(T) + 64);
    const auto begin = (reinterpret_cast<std::uintptr_t>(storage.get()) + 31) / 32 * 32;
    T* const first = reinterpret_cast<T*>(begin);
    std::fill(first, first + count, value);
    spans_[begin] = {count * sizeof(T), true};
    storage_.push_back(std::move(storage));
    return first;
  }
  void make_read_only(const void* array) {
    spans_[reinterpret_cast<std::uintptr_t>(array)].writable = false;
  }

  bool allows(std::uintptr_t address, std::size_t bytes, bool write) const override {
    auto after = spans_.upper_bound(address);
    if (after == spans_.begin()) return false;
    const auto& [begin, span] = *--after;
    return address + bytes <= begin + span.bytes && (span.writable || !write);
  }

 private:
  struct Span {
    std::size_t bytes;
    bool writable;
  };
  std::map<std::uintptr_t, Span> spans_;
  std::vector<std::unique_ptr<std::byte[]>> storage_;
};

// A kernel `k` with the arrays' addresses as parameters, registers of all kinds, %a0 … holding those addresses, and
// %tid in %t. Lines of `body` end in semicolons.
inline std::string kernel(const std::string& body, unsigned arrays = 1,
                          const std::string& before = "") {
  std::string text =
      ".version 8.0\n.target sm_90\n.address_size 64\n" + before + "\n.visible .entry k(";
  for (unsigned p = 0; p < arrays; ++p)
    text += (p ? ", .param .u64 k_param_" : ".param .u64 k_param_") + std::to_string(p);
  text +=
      ")\n{\n.reg .pred %p<16>;\n.reg .b16 %h<16>;\n.reg .b32 %t, %r<32>;\n.reg .f32 %f<32>;\n.reg "
      ".b64 %a<8>, %d<32>;\n"
      "mov.u32 %t, %tid.x;\n";
  for (unsigned p = 0; p < arrays; ++p)
    text += "ld.param.u64 %a" + std::to_string(p) + ", [k_param_" + std::to_string(p) + "];\n";
  return text + body + "\nret;\n}\n";
}

inline void launch(const std::string& text, const Shape& shape, const Bounds& memory,
                   std::vector<void*> arrays, Counts* counts = nullptr) {
  const auto module = parse(text, "test");
  std::vector<const void*> arguments;
  for (void*& array : arrays) arguments.push_back(&array);
  run(*find(*module, "k"), shape, arguments.data(), memory, counts);
}

// The message of the Fault that f throws; a failure where it throws none.
template <class F>
std::string fault_of(F f) {
  try {
    f();
  } catch (const Fault& fault) {
    return fault.what();
  }
  ADD_FAILURE() << "no fault";
  return "";
}

inline void expect_in(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
}

// Types of operands for evaluate(): a predicate, and registers by their size.
struct Predicate {
  bool value;
};

template <class T>
std::string register_of(const std::string& number) {
  if (std::is_same_v<T, Predicate>) return "%p" + number;
  return (sizeof(T) == 2 ? "%h" : sizeof(T) == 4 ? "%r" : "%d") + number;
}

// opcode d, a, b, …, and further operands as text, with all 32 lanes on the same values.
template <class D, class... A>
D evaluate_with(const std::string& opcode, const std::string& more, A... values) {
  Bounds memory;
  auto* const in = memory.array<std::byte>(16 * sizeof...(A) + 16);
  auto* const out = memory.array<std::uint64_t>(32, 0x5555555555555555u);
  std::string body, operands;
  unsigned n = 0;
  const auto load = [&](auto value) {
    using T = decltype(value);
    std::memcpy(in + 16 * n, &value, sizeof value);
    const std::string number = std::to_string(n + 1),
                      at = "[%a0+" + std::to_string(16 * n) + "];\n";
    if constexpr (std::is_same_v<T, Predicate>)
      body += "ld.global.u8 %r31, " + at + "setp.ne.u32 %p" + number + ", %r31, 0;\n";
    else
      body +=
          "ld.global.b" + std::to_string(8 * sizeof(T)) + " " + register_of<T>(number) + ", " + at;
    operands += ", " + register_of<T>(number);
    ++n;
  };
  (load(values), ...);
  const std::string d = register_of<D>("0");
  body += opcode + " " + d + operands + more +
          ";\nmul.wide.u32 %d31, %t, 8;\nadd.s64 %a1, %a1, %d31;\n";
  if constexpr (std::is_same_v<D, Predicate>)
    body += "selp.u32 %r0, 1, 0, %p0;\nst.global.u8 [%a1], %r0;\n";
  else
    body += "st.global.b" + std::to_string(8 * sizeof(D)) + " [%a1], " + d + ";\n";
  launch(kernel(body, 2), {.block = {32}}, memory, {in, out});
  for (unsigned lane = 1; lane < 32; ++lane)
    EXPECT_EQ(out[lane], out[0]) << opcode << ", lane " << lane;
  D result{};
  std::memcpy(&result, out, sizeof result);
  return result;
}
template <class D, class... A>
D evaluate(const std::string& opcode, A... values) {
  return evaluate_with<D>(opcode, "", values...);
}

inline std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }
inline std::uint64_t bits(double x) { return std::bit_cast<std::uint64_t>(x); }
inline float single(std::uint32_t x) { return std::bit_cast<float>(x); }

}  // namespace lacuna::ptx::testing
