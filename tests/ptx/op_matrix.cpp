// mma.sync, ldmatrix and movmatrix. Layouts of fragments are those of the PTX ISA's chapter on warp-level matrix
// instructions: with g = lane / 4 and t = lane % 4, which it calls groupID and threadID_in_group. All products of
// one element are summed in double and rounded once (fp64: rounded at every step); a tensor core rounds otherwise.
#include <cmath>
#include <cstring>

#include "ptx/lanewise.h"
#include "ptx/numbers.h"

namespace lacuna::ptx {
namespace {

// Formats of 16 bits, two to a register: element i of a fragment.
template <float (*from)(std::uint16_t)>
struct Halves {
  static constexpr int k = 16, a_registers = 4, b_registers = 2;
  static double element(const std::uint32_t* const* registers, int i, unsigned lane) {
    return from(static_cast<std::uint16_t>(registers[i / 2][lane] >> 16 * (i % 2)));
  }
  static constexpr int a_elements = 8, b_elements = 4;
  static int a_row(int i, int g) { return (i & 2) ? g + 8 : g; }
  static int a_column(int i, int t) { return 2 * t + (i & 1) + (i >= 4 ? 8 : 0); }
  static int b_row(int i, int t) { return 2 * t + (i & 1) + (i >= 2 ? 8 : 0); }
};

struct Tf32 {
  static constexpr int k = 8, a_registers = 4, b_registers = 2;
  static double element(const std::uint32_t* const* registers, int i, unsigned lane) {
    return from_tf32(registers[i][lane]);
  }
  static constexpr int a_elements = 4, b_elements = 2;
  static int a_row(int i, int g) { return (i & 1) ? g + 8 : g; }
  static int a_column(int i, int t) { return i >= 2 ? t + 4 : t; }
  static int b_row(int i, int t) { return i ? t + 4 : t; }
};

// d = a·b + c, m16n8. Slots: d 4, a 4, b 2, c 4.
template <class Format>
void mma(Warp& w, const Instruction& i, std::uint32_t mask) {
  if (!w.gather(i, mask, all_lanes)) return;
  const std::uint32_t *a_registers[4], *b_registers[2];
  for (unsigned r = 0; r < 4; ++r) a_registers[r] = w.at<std::uint32_t>(i, 4 + r);
  for (unsigned r = 0; r < 2; ++r) b_registers[r] = w.at<std::uint32_t>(i, 8 + r);
  double a[16][Format::k], b[Format::k][8], c[16][8];
  for (unsigned lane = 0; lane < 32; ++lane) {
    const int g = static_cast<int>(lane / 4), t = static_cast<int>(lane % 4);
    for (int e = 0; e < Format::a_elements; ++e)
      a[Format::a_row(e, g)][Format::a_column(e, t)] = Format::element(a_registers, e, lane);
    for (int e = 0; e < Format::b_elements; ++e)
      b[Format::b_row(e, t)][g] = Format::element(b_registers, e, lane);
    for (int e = 0; e < 4; ++e)
      c[g + (e >= 2 ? 8 : 0)][2 * t + (e & 1)] =
          w.at<float>(i, 10 + static_cast<unsigned>(e))[lane];
  }
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < Format::k; ++k)
      for (int column = 0; column < 8; ++column) c[row][column] += a[row][k] * b[k][column];
  for (int e = 0; e < 4; ++e) {
    float* const d = w.at<float>(i, static_cast<unsigned>(e));
    for (unsigned lane = 0; lane < 32; ++lane)
      d[lane] =
          canonical(static_cast<float>(c[lane / 4 + (e >= 2 ? 8 : 0)][2 * (lane % 4) + (e & 1)]));
    w.define(i.slot[static_cast<unsigned>(e)], all_lanes);
  }
}

// m8n8k4 in fp64. Slots: d 2, a, b, c 2.
void mma_double(Warp& w, const Instruction& i, std::uint32_t mask) {
  if (!w.gather(i, mask, all_lanes)) return;
  double a[8][4], b[4][8], c[8][8];
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned g = lane / 4, t = lane % 4;
    a[g][t] = w.at<double>(i, 2)[lane];
    b[t][g] = w.at<double>(i, 3)[lane];
    for (unsigned e = 0; e < 2; ++e) c[g][2 * t + e] = w.at<double>(i, 4 + e)[lane];
  }
  for (unsigned e = 0; e < 2; ++e) {
    double* const d = w.at<double>(i, e);
    for (unsigned lane = 0; lane < 32; ++lane) {
      const unsigned row = lane / 4, column = 2 * (lane % 4) + e;
      double sum = c[row][column];
      for (unsigned k = 0; k < 4; ++k) sum = std::fma(a[row][k], b[k][column], sum);
      d[lane] = canonical(sum);
    }
    w.define(i.slot[e], all_lanes);
  }
}

// Tiles of 8 rows of 8 elements of 16 bits: lane l of the fragment holds row l / 4, elements 2·(l % 4) and the next
// in its low and high half; of the transpose, for .trans.
std::uint32_t fragment_of(const std::uint16_t tile[8][8], unsigned lane, bool transposed) {
  const unsigned g = lane / 4, t = 2 * (lane % 4);
  const std::uint32_t low = transposed ? tile[t][g] : tile[g][t],
                      high = transposed ? tile[t + 1][g] : tile[g][t + 1];
  return low | high << 16;
}

// Slots: d …, address. tag: transposed. The rows of tile i are where lanes 8i … 8i + 7 point.
void ldmatrix(Warp& w, const Instruction& i, std::uint32_t mask) {
  if (!w.gather(i, mask, all_lanes)) return;
  std::byte* rows[32];
  const unsigned tiles = i.first_source;
  w.translate(i, tiles == 4 ? all_lanes : (1u << 8 * tiles) - 1, tiles, false, rows);
  for (unsigned n = 0; n < tiles; ++n) {
    std::uint16_t tile[8][8];
    for (unsigned row = 0; row < 8; ++row)
      std::memcpy(tile[row], rows[8 * n + row], sizeof tile[row]);
    auto* const d = w.at<std::uint32_t>(i, n);
    for (unsigned lane = 0; lane < 32; ++lane) d[lane] = fragment_of(tile, lane, i.tag);
    w.define(i.slot[n], all_lanes);
  }
}

void movmatrix(Warp& w, const Instruction& i, std::uint32_t mask) {
  if (!w.gather(i, mask, all_lanes)) return;
  std::uint16_t tile[8][8];
  const auto* const a = w.at<std::uint32_t>(i, 1);
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned e = 0; e < 2; ++e)
      tile[lane / 4][2 * (lane % 4) + e] = static_cast<std::uint16_t>(a[lane] >> 16 * e);
  auto* const d = w.at<std::uint32_t>(i, 0);
  for (unsigned lane = 0; lane < 32; ++lane) d[lane] = fragment_of(tile, lane, true);
  w.define(i.slot[0], all_lanes);
}

void expect_elements(Decoder& decoder, const Operand& operand, std::size_t count) {
  if (operand.kind != Operand::Kind::vector || operand.elements.size() != count)
    decoder.fail("{" + std::to_string(count) + " registers} are expected");
}

template <unsigned results, unsigned a, unsigned b, unsigned width, unsigned ab_width>
void decode_mma(Decoder& decoder) {
  decoder.expect_operands(4, 4);
  const auto& operands = decoder.statement().operands;
  expect_elements(decoder, operands[0], results);
  expect_elements(decoder, operands[1], a);
  expect_elements(decoder, operands[2], b);
  expect_elements(decoder, operands[3], results);
  for (const Operand& e : operands[0].elements) decoder.result(e, width);
  for (const Operand& e : operands[1].elements) decoder.source(e, ab_width);
  for (const Operand& e : operands[2].elements) decoder.source(e, ab_width);
  for (const Operand& e : operands[3].elements) decoder.source(e, width);
  decoder.handler_defines_results();
}

template <unsigned tiles, bool transposed>
void decode_ldmatrix(Decoder& decoder) {
  decoder.expect_operands(2, 2);
  const auto& operands = decoder.statement().operands;
  expect_elements(decoder, operands[0], tiles);
  for (const Operand& e : operands[0].elements) decoder.result(e, 4);
  decoder.address(operands[1], Space::shared);
  Instruction& i = decoder.instruction();
  i.handler = ldmatrix;
  i.bytes = 16;
  i.tag = transposed;
  decoder.handler_defines_results();
}

void decode_movmatrix(Decoder& decoder) {
  decoder.expect_operands(2, 2);
  decoder.result(decoder.statement().operands[0], 4);
  decoder.source(decoder.statement().operands[1], 4);
  decoder.instruction().handler = movmatrix;
  decoder.handler_defines_results();
}

}  // namespace

void add_matrix(Opcodes& table) {
  const auto halves = decode_mma<4, 4, 2, 4, 4>;
  table["mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"] = {mma<Halves<from_f16>>, nullptr,
                                                                Class::mma, halves};
  table["mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"] = {mma<Halves<from_bf16>>, nullptr,
                                                                  Class::mma, halves};
  table["mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"] = {mma<Tf32>, nullptr, Class::mma,
                                                                 halves};
  table["mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64"] = {mma_double, nullptr, Class::mma,
                                                              decode_mma<2, 1, 1, 8, 8>};
  const auto load = [&](const std::string& tiles, void (*plain)(Decoder&),
                        void (*transposed)(Decoder&)) {
    for (const char* space : {"shared", "shared::cta"}) {
      const std::string name = "ldmatrix.sync.aligned.m8n8." + tiles;
      table[name + "." + space + ".b16"] = {nullptr, nullptr, Class::matrix, plain};
      table[name + ".trans." + space + ".b16"] = {nullptr, nullptr, Class::matrix, transposed};
    }
  };
  load("x1", decode_ldmatrix<1, false>, decode_ldmatrix<1, true>);
  load("x2", decode_ldmatrix<2, false>, decode_ldmatrix<2, true>);
  load("x4", decode_ldmatrix<4, false>, decode_ldmatrix<4, true>);
  table["movmatrix.sync.aligned.m8n8.trans.b16"] = {nullptr, nullptr, Class::matrix,
                                                    decode_movmatrix};
}

}  // namespace lacuna::ptx
