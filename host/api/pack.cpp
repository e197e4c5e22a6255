// lacuna_pack and lacuna_unpack: padded [B,T,...] rows and ragged [N,...] ones, turned into each
// other at the door.
#include <cstring>

#include "host/api/arrays.h"
#include "host/api/context.h"
#include "host/api/guard.h"

namespace lacuna::api {
namespace {

struct PaddedShape {
  std::int64_t sequences, max_length, row_bytes;
};

void check(const PaddedShape& shape) {
  const auto at_least = [](std::int64_t value, std::int64_t least, std::string_view name) {
    if (value < least) refuse(LACUNA_INVALID_ARGUMENT, name, ": ", value, ", expected >= ", least);
  };
  at_least(shape.sequences, 0, "sequences");
  at_least(shape.max_length, 0, "max_length");
  at_least(shape.row_bytes, 1, "row_bytes");
}

std::int64_t padded_rows(const PaddedShape& shape) {
  std::int64_t rows = 0;
  if (__builtin_mul_overflow(shape.sequences, shape.max_length, &rows))
    refuse(LACUNA_INVALID_ARGUMENT, "sequences: ", shape.sequences, " of max_length ",
           shape.max_length, ", which do not fit in memory");
  return rows;
}

// A sequence's rows lie back to back in both forms.
struct Piece {
  std::size_t packed, padded, bytes;
};

Piece piece(const PaddedShape& shape, std::int64_t sequence, std::int64_t begin, std::int64_t end) {
  const auto row = static_cast<std::size_t>(shape.row_bytes);
  return {static_cast<std::size_t>(begin) * row,
          static_cast<std::size_t>(sequence * shape.max_length) * row,
          static_cast<std::size_t>(end - begin) * row};
}

void pack(Context& context, const PaddedShape& shape, const std::int64_t* lengths,
          const std::byte* padded, std::int64_t* offsets, std::byte* packed) {
  check(shape);
  Arrays arrays;
  arrays.input("lengths", lengths, {.rows = shape.sequences, .element = sizeof(std::int64_t)});
  arrays.output("offsets", offsets, {.rows = shape.sequences + 1, .element = sizeof(std::int64_t)});
  std::int64_t tokens = 0;
  for (std::int64_t b = 0; b < shape.sequences; ++b) {
    if (lengths[b] < 0 || lengths[b] > shape.max_length)
      refuse(LACUNA_INVALID_ARGUMENT, "lengths[", b, "]: ", lengths[b],
             ", expected 0 to max_length = ", shape.max_length);
    tokens += lengths[b];
  }
  if (tokens > 0 && !padded != !packed)
    refuse(LACUNA_INVALID_ARGUMENT, padded ? "packed" : "padded",
           ": null, expected both arrays or neither");
  arrays.optional_input("padded", padded, {.rows = padded_rows(shape), .columns = shape.row_bytes});
  arrays.optional_output("packed", packed, {.rows = tokens, .columns = shape.row_bytes});
  arrays.check();

  offsets[0] = 0;
  for (std::int64_t b = 0; b < shape.sequences; ++b) offsets[b + 1] = offsets[b] + lengths[b];
  if (!packed || !padded) return;
  context.team.run(shape.sequences, [&](std::int64_t b, int) {
    const Piece rows = piece(shape, b, offsets[b], offsets[b + 1]);
    if (rows.bytes > 0) std::memcpy(packed + rows.packed, padded + rows.padded, rows.bytes);
  });
}

void unpack(Context& context, const PaddedShape& shape, const std::int64_t* offsets,
            const std::byte* packed, std::byte* padded) {
  check(shape);
  Arrays arrays;
  arrays.input("offsets", offsets, {.rows = shape.sequences + 1, .element = sizeof(std::int64_t)});
  if (offsets[0] != 0) refuse(LACUNA_INVALID_ARGUMENT, "offsets[0]: ", offsets[0], ", expected 0");
  for (std::int64_t b = 1; b <= shape.sequences; ++b) {
    // Falling is asked first: the difference of two wild offsets could overflow.
    if (offsets[b] < offsets[b - 1] || offsets[b] - offsets[b - 1] > shape.max_length)
      refuse(LACUNA_INVALID_ARGUMENT, "offsets[", b, "]: ", offsets[b], ", expected offsets[",
             b - 1, "] = ", offsets[b - 1], " plus 0 to max_length = ", shape.max_length);
  }
  arrays.input("packed", packed, {.rows = offsets[shape.sequences], .columns = shape.row_bytes});
  arrays.output("padded", padded, {.rows = padded_rows(shape), .columns = shape.row_bytes});
  arrays.check();

  const std::size_t sequence_bytes =
      static_cast<std::size_t>(shape.max_length) * static_cast<std::size_t>(shape.row_bytes);
  if (sequence_bytes == 0) return;
  context.team.run(shape.sequences, [&](std::int64_t b, int) {
    const Piece rows = piece(shape, b, offsets[b], offsets[b + 1]);
    if (rows.bytes > 0) std::memcpy(padded + rows.padded, packed + rows.packed, rows.bytes);
    std::memset(padded + rows.padded + rows.bytes, 0, sequence_bytes - rows.bytes);
  });
}

}  // namespace
}  // namespace lacuna::api

namespace api = lacuna::api;

extern "C" {

lacuna_status lacuna_pack(lacuna_context* context, int64_t sequences, int64_t max_length,
                          int64_t row_bytes, const int64_t* lengths, const void* padded,
                          int64_t* offsets, void* packed) {
  return api::guarded([&] {
    api::pack(*api::not_null(context, "context").shared, {sequences, max_length, row_bytes},
              lengths, static_cast<const std::byte*>(padded), offsets,
              static_cast<std::byte*>(packed));
  });
}

lacuna_status lacuna_unpack(lacuna_context* context, int64_t sequences, int64_t max_length,
                            int64_t row_bytes, const int64_t* offsets, const void* packed,
                            void* padded) {
  return api::guarded([&] {
    api::unpack(*api::not_null(context, "context").shared, {sequences, max_length, row_bytes},
                offsets, static_cast<const std::byte*>(packed), static_cast<std::byte*>(padded));
  });
}
}
