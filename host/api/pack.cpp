// lacuna_pack and lacuna_unpack: padded [B,T,...] rows and ragged [N,...] ones, turned into each
// other at the door.
#include "host/api/arrays.h"
#include "host/api/context.h"
#include "host/api/guard.h"

namespace lacuna::api {
namespace {

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

void pack(Backend& backend, const PackRun& run) {
  const PaddedShape& shape = run.shape;
  check(shape);
  LayerArrays arrays;
  arrays.input("lengths", run.lengths, {.rows = shape.sequences, .element = sizeof(std::int64_t)});
  arrays.output("offsets", run.offsets,
                {.rows = shape.sequences + 1, .element = sizeof(std::int64_t)});
  // How many rows are packed is known where the lengths can be read.
  const bool known = shape.sequences == 0 || (run.lengths && backend.host_reads(run.lengths));
  std::int64_t tokens = 0;
  if (known) {
    for (std::int64_t b = 0; b < shape.sequences; ++b) {
      if (run.lengths[b] < 0 || run.lengths[b] > shape.max_length)
        refuse(LACUNA_INVALID_ARGUMENT, "lengths[", b, "]: ", run.lengths[b],
               ", expected 0 to max_length = ", shape.max_length);
      tokens += run.lengths[b];
    }
  }
  if ((tokens > 0 || !known) && !run.padded != !run.packed)
    refuse(LACUNA_INVALID_ARGUMENT, run.padded ? "packed" : "padded",
           ": null, expected both arrays or neither");
  arrays.optional_input("padded", run.padded,
                        {.rows = padded_rows(shape), .columns = shape.row_bytes});
  if (known || !run.packed)
    arrays.optional_output("packed", run.packed, {.rows = tokens, .columns = shape.row_bytes});
  else
    arrays.unsized_output("packed", run.packed, "lengths");
  arrays.check(backend);
  backend.pack(run);
}

void unpack(Backend& backend, const UnpackRun& run) {
  const PaddedShape& shape = run.shape;
  const std::int64_t* const offsets = run.offsets;
  check(shape);
  LayerArrays arrays;
  arrays.input("offsets", offsets, {.rows = shape.sequences + 1, .element = sizeof(std::int64_t)});
  const bool known = backend.host_reads(offsets);
  std::int64_t tokens = 0;
  if (known) {
    if (offsets[0] != 0)
      refuse(LACUNA_INVALID_ARGUMENT, "offsets[0]: ", offsets[0], ", expected 0");
    for (std::int64_t b = 1; b <= shape.sequences; ++b) {
      // Falling is asked first: the difference of two wild offsets could overflow.
      if (offsets[b] < offsets[b - 1] || offsets[b] - offsets[b - 1] > shape.max_length)
        refuse(LACUNA_INVALID_ARGUMENT, "offsets[", b, "]: ", offsets[b], ", expected offsets[",
               b - 1, "] = ", offsets[b - 1], " plus 0 to max_length = ", shape.max_length);
    }
    tokens = offsets[shape.sequences];
  }
  if (known || padded_rows(shape) == 0)
    arrays.input("packed", run.packed, {.rows = tokens, .columns = shape.row_bytes});
  else
    arrays.unsized_input("packed", run.packed, "offsets");
  arrays.output("padded", run.padded, {.rows = padded_rows(shape), .columns = shape.row_bytes});
  arrays.check(backend);
  backend.unpack(run);
}

}  // namespace
}  // namespace lacuna::api

namespace api = lacuna::api;

extern "C" {

lacuna_status lacuna_pack(lacuna_context* context, int64_t sequences, int64_t max_length,
                          int64_t row_bytes, const int64_t* lengths, const void* padded,
                          int64_t* offsets, void* packed, void* stream) {
  return api::guarded([&] {
    auto& backend = *api::not_null(context, "context").shared->backend;
    api::check_stream(backend, stream);
    api::pack(backend, {{sequences, max_length, row_bytes},
                        lengths,
                        static_cast<const std::byte*>(padded),
                        offsets,
                        static_cast<std::byte*>(packed),
                        stream});
  });
}

lacuna_status lacuna_unpack(lacuna_context* context, int64_t sequences, int64_t max_length,
                            int64_t row_bytes, const int64_t* offsets, const void* packed,
                            void* padded, void* stream) {
  return api::guarded([&] {
    auto& backend = *api::not_null(context, "context").shared->backend;
    api::check_stream(backend, stream);
    api::unpack(backend, {{sequences, max_length, row_bytes},
                          offsets,
                          static_cast<const std::byte*>(packed),
                          static_cast<std::byte*>(padded),
                          stream});
  });
}
}
