// Tensor core products against plain sums. Which lane holds which element is written down here a second time, as the
// tables of the PTX ISA have it, element by element.
#include <array>
#include <random>

#include "ptx/machine_bench.h"
#include "ptx/numbers.h"

namespace lacuna::ptx::testing {
namespace {

// Loads `words` registers %r0 … of each lane from the first array, and stores %r28 … of it to the second.
std::string around(const std::string& body, unsigned words, unsigned results) {
  std::string text =
      "mul.wide.u32 %d0, %t, " + std::to_string(4 * words) + ";\nadd.s64 %d0, %a0, %d0;\n";
  for (unsigned w = 0; w < words; ++w)
    text += "ld.global.u32 %r" + std::to_string(w) + ", [%d0+" + std::to_string(4 * w) + "];\n";
  text +=
      body + "mul.wide.u32 %d1, %t, " + std::to_string(4 * results) + ";\nadd.s64 %d1, %a1, %d1;\n";
  for (unsigned w = 0; w < results; ++w)
    text +=
        "st.global.u32 [%d1+" + std::to_string(4 * w) + "], %r" + std::to_string(24 + w) + ";\n";
  return kernel(text, 2);
}

struct Product {
  double a[16][16] = {}, b[16][8] = {}, c[16][8] = {};
  double of(unsigned row, unsigned column, unsigned k) const {
    double sum = c[row][column];
    for (unsigned i = 0; i < k; ++i) sum += a[row][i] * b[i][column];
    return sum;
  }
};

Product small_integers(unsigned k) {
  std::mt19937 generator(3);
  Product p;
  const auto draw = [&] { return static_cast<double>(static_cast<int>(generator() % 17)) - 8; };
  for (auto& row : p.a)
    for (unsigned i = 0; i < k; ++i) row[i] = draw();
  for (unsigned i = 0; i < k; ++i)
    for (double& x : p.b[i]) x = draw();
  for (auto& row : p.c)
    for (double& x : row) x = draw();
  return p;
}

// Integers so small are exact in every format, so that results are compared bit by bit.
void check_c(const Product& p, const std::uint32_t* out, unsigned k) {
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned group = lane >> 2, thread = lane & 3;
    EXPECT_EQ(single(out[4 * lane + 0]), p.of(group, thread * 2, k));
    EXPECT_EQ(single(out[4 * lane + 1]), p.of(group, thread * 2 + 1, k));
    EXPECT_EQ(single(out[4 * lane + 2]), p.of(group + 8, thread * 2, k));
    EXPECT_EQ(single(out[4 * lane + 3]), p.of(group + 8, thread * 2 + 1, k));
  }
}
void put_c(const Product& p, std::uint32_t* lane_words, unsigned lane) {
  const unsigned group = lane >> 2, thread = lane & 3;
  lane_words[6] = bits(static_cast<float>(p.c[group][thread * 2]));
  lane_words[7] = bits(static_cast<float>(p.c[group][thread * 2 + 1]));
  lane_words[8] = bits(static_cast<float>(p.c[group + 8][thread * 2]));
  lane_words[9] = bits(static_cast<float>(p.c[group + 8][thread * 2 + 1]));
}
const std::string operands =
    " {%r24,%r25,%r26,%r27}, {%r0,%r1,%r2,%r3}, {%r4,%r5}, {%r6,%r7,%r8,%r9};\n";

void check_halves(const std::string& type, std::uint16_t (*to)(double)) {
  Bounds memory;
  auto* const in = memory.array<std::uint32_t>(320);
  auto* const out = memory.array<std::uint32_t>(128);
  const Product p = small_integers(16);
  const auto two = [&](double low, double high) { return to(low) | std::uint32_t{to(high)} << 16; };
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned group = lane >> 2, thread = lane & 3, k = thread * 2;
    std::uint32_t* const w = in + 10 * lane;
    w[0] = two(p.a[group][k], p.a[group][k + 1]);
    w[1] = two(p.a[group + 8][k], p.a[group + 8][k + 1]);
    w[2] = two(p.a[group][k + 8], p.a[group][k + 9]);
    w[3] = two(p.a[group + 8][k + 8], p.a[group + 8][k + 9]);
    w[4] = two(p.b[k][group], p.b[k + 1][group]);
    w[5] = two(p.b[k + 8][group], p.b[k + 9][group]);
    put_c(p, w, lane);
  }
  const std::string opcode = "mma.sync.aligned.m16n8k16.row.col.f32." + type + "." + type + ".f32";
  launch(around(opcode + operands, 10, 4), {.block = {32}}, memory, {in, out});
  check_c(p, out, 16);
}

TEST(Matrix, ProductsOfF16) { check_halves("f16", to_f16); }
TEST(Matrix, ProductsOfBf16) { check_halves("bf16", to_bf16); }

TEST(Matrix, ProductsOfTf32IgnoreLowBits) {
  Bounds memory;
  auto* const in = memory.array<std::uint32_t>(320);
  auto* const out = memory.array<std::uint32_t>(128);
  const Product p = small_integers(8);
  const auto one = [](double x) { return bits(static_cast<float>(x)) | 0x1fffu; };
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned group = lane >> 2, thread = lane & 3;
    std::uint32_t* const w = in + 10 * lane;
    w[0] = one(p.a[group][thread]);
    w[1] = one(p.a[group + 8][thread]);
    w[2] = one(p.a[group][thread + 4]);
    w[3] = one(p.a[group + 8][thread + 4]);
    w[4] = one(p.b[thread][group]);
    w[5] = one(p.b[thread + 4][group]);
    put_c(p, w, lane);
  }
  launch(around("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32" + operands, 10, 4),
         {.block = {32}}, memory, {in, out});
  check_c(p, out, 8);
}

TEST(Matrix, ProductsOfF64) {
  Bounds memory;
  auto* const in = memory.array<double>(128);
  auto* const out = memory.array<double>(64);
  const Product p = small_integers(4);
  for (unsigned lane = 0; lane < 32; ++lane) {
    in[4 * lane] = p.a[lane >> 2][lane & 3];
    in[4 * lane + 1] = p.b[lane & 3][lane >> 2];
    in[4 * lane + 2] = p.c[lane >> 2][2 * (lane & 3)];
    in[4 * lane + 3] = p.c[lane >> 2][2 * (lane & 3) + 1];
  }
  launch(
      kernel("mul.wide.u32 %d0, %t, 32;\nadd.s64 %d0, %a0, %d0;\nld.global.v2.f64 {%d1, %d2}, "
             "[%d0];\nld.global.v2.f64 {%d3, %d4}, [%d0+16];\n"
             "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%d3,%d4}, {%d1}, {%d2}, {%d3,%d4};\n"
             "mul.wide.u32 %d0, %t, 16;\nadd.s64 %d0, %a1, %d0;\nst.global.v2.f64 [%d0], {%d3, "
             "%d4};\n",
             2),
      {.block = {32}}, memory, {in, out});
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned i = 0; i < 2; ++i)
      EXPECT_EQ(out[2 * lane + i], p.of(lane >> 2, 2 * (lane & 3) + i, 4)) << lane;
}

// Rows are written in an order of their own, so that the lanes' addresses matter. Element (row, column) of tile n is
// 100·n + 10·row + column.
std::vector<std::uint32_t> loaded(const std::string& modifiers, unsigned tiles) {
  Bounds memory;
  auto* const in = memory.array<std::uint32_t>(32 * 4);
  auto* const out = memory.array<std::uint32_t>(32 * tiles);
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned w = 0; w < 4; ++w) {
      const unsigned first = 100 * (lane / 8) + 10 * (lane % 8) + 2 * w;
      in[4 * lane + w] = first | (first + 1) << 16;
    }
  std::string registers;
  for (unsigned n = 0; n < tiles; ++n) registers += (n ? ",%r" : "%r") + std::to_string(24 + n);
  launch(around(".shared .align 16 .b8 s[512];\nmov.u32 %r10, s;\nxor.b32 %r11, %t, 21;\nshl.b32 "
                "%r11, %r11, 4;\nadd.s32 %r12, %r10, %r11;\n"
                "st.shared.v4.u32 [%r12], {%r0,%r1,%r2,%r3};\nbar.warp.sync -1;\n"
                "ldmatrix.sync.aligned.m8n8." +
                    modifiers + ".shared.b16 {" + registers + "}, [%r12];\n",
                4, tiles),
         {.block = {32}}, memory, {in, out});
  return {out, out + 32 * tiles};
}

TEST(Matrix, LdmatrixHandsOutRowsOrColumns) {
  for (const unsigned tiles : {1u, 2u, 4u}) {
    const std::string x = "x" + std::to_string(tiles);
    const auto plain = loaded(x, tiles), transposed = loaded(x + ".trans", tiles);
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned n = 0; n < tiles; ++n) {
        const unsigned row = lane / 4, column = lane % 4 * 2, tile = 100 * n;
        EXPECT_EQ(plain[tiles * lane + n],
                  (tile + 10 * row + column) | (tile + 10 * row + column + 1) << 16);
        EXPECT_EQ(transposed[tiles * lane + n],
                  (tile + 10 * column + row) | (tile + 10 * (column + 1) + row) << 16);
      }
  }
}

TEST(Matrix, MovmatrixTransposes) {
  Bounds memory;
  auto* const in = memory.array<std::uint32_t>(32);
  auto* const out = memory.array<std::uint32_t>(32);
  const auto element = [](unsigned row, unsigned column) { return 10 * row + column; };
  for (unsigned lane = 0; lane < 32; ++lane)
    in[lane] = element(lane / 4, lane % 4 * 2) | element(lane / 4, lane % 4 * 2 + 1) << 16;
  launch(around("movmatrix.sync.aligned.m8n8.trans.b16 %r24, %r0;\n", 1, 1), {.block = {32}},
         memory, {in, out});
  for (unsigned lane = 0; lane < 32; ++lane)
    EXPECT_EQ(out[lane], element(lane % 4 * 2, lane / 4) | element(lane % 4 * 2 + 1, lane / 4)
                                                               << 16);
}

TEST(Matrix, EveryLaneIsNeeded) {
  Bounds memory;
  auto* const array = memory.array<std::uint32_t>(320);
  const auto fault = [&](const std::string& body, unsigned threads) {
    return fault_of([&] {
      launch(around(body, 10, 0), {.block = {threads}}, memory, {array, array});
    });
  };
  const std::string mma = "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32" + operands;
  expect_in(fault(mma, 31), "do not exist");
  expect_in(fault("setp.ne.s32 %p0, %t, 9;\n@%p0 " + mma, 32), "nobody can go on");
  expect_in(fault(".shared .align 16 .b8 s[16];\nmov.u32 %r0, "
                  "s;\nldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r1}, [%r0+8];\n",
                  32),
            "not aligned");
}

}  // namespace
}  // namespace lacuna::ptx::testing
