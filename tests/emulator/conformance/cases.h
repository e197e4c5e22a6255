// The list of conformance cases: one per group of wrappers.
#pragma once
#include "emulator/conformance/block_cases.h"
#include "emulator/conformance/cluster_cases.h"
#include "emulator/conformance/warp_cases.h"

namespace lacuna::conformance {
inline namespace SIMT_PATH {

template <auto kernel>
void one_warp(const Buffers& b, simt::Stream stream) {
  simt::launch({.grid = {1}, .block = {32}, .shared_bytes = 2048}, stream, kernel, b);
}

inline const Case all_cases[] = {
    {"conversions", 8 * input_words, false,
     [](const Buffers& b, simt::Stream stream) {
       simt::launch({.grid = {1}, .block = {256}}, stream, convert, b);
     }},
    {"products", product_words* input_words, false,
     [](const Buffers& b, simt::Stream stream) {
       simt::launch({.grid = {1}, .block = {256}}, stream, products, b);
     }},
    {"nonlinearities", 256, false,
     [](const Buffers& b, simt::Stream stream) {
       simt::launch({.grid = {1}, .block = {256}}, stream, nonlinearities, b);
     }},
    {"shuffles", shuffle_words, false, one_warp<shuffles>},
    {"votes", 256, false, one_warp<votes>},
    {"mma m16n8k16 fp16", 128, false, one_warp<mma16<simt::Fp16>>},
    {"mma m16n8k16 bf16", 128, false, one_warp<mma16<simt::Bf16>>},
    {"mma m16n8k8 tf32", 128, false, one_warp<mma_tf32>},
    {"mma m8n8k4 fp64", 128, false, one_warp<mma_fp64>},
    {"ldmatrix and movmatrix", 512, false, one_warp<matrix_moves>},
    {"indices", 8 * 120 * 12, false,
     [](const Buffers& b, simt::Stream stream) {
       simt::launch({.grid = {3, 2, 2}, .block = {5, 6, 4}}, stream, indices, b);
     }},
    {"shared memory and barriers", 256, false,
     [](const Buffers& b, simt::Stream stream) {
       simt::launch({.grid = {1}, .block = {128}, .shared_bytes = 16 + 512}, stream, shared_memory,
                    b);
     }},
    {"vector loads and stores", 256, false, one_warp<vectors>},
    {"vectors of other elements", 256, false, one_warp<other_vectors>},
    {"cp.async", 256, false, one_warp<async_copies>},
    {"flags between blocks", 33, false,
     [](const Buffers& b, simt::Stream stream) {
       simt::launch({.grid = {3}, .block = {32}, .cooperative = true}, stream, flags, b);
     }},
    {"grid barrier", 5 * 64, false,
     [](const Buffers& b, simt::Stream stream) {
       simt::launch({.grid = {5}, .block = {64}, .cooperative = true}, stream, grid_barrier, b);
     }},
    {"peers' shared memory", 4 * 64 * 2 * cluster_blocks, true,
     [](const Buffers& b, simt::Stream stream) {
       simt::launch({.grid = {2 * cluster_blocks},
                     .block = {64},
                     .shared_bytes = 256,
                     .cluster = cluster_blocks},
                    stream, peers, b);
     }},
    {"mbarriers, st.async, bulk copies", 33 * cluster_blocks, true,
     [](const Buffers& b, simt::Stream stream) {
       simt::launch({.grid = {cluster_blocks},
                     .block = {32},
                     .shared_bytes = 512 + 1024 + 32,
                     .cluster = cluster_blocks},
                    stream, mbarriers, b);
     }},
};

}  // namespace SIMT_PATH
}  // namespace lacuna::conformance
