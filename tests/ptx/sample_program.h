// A program of kernels written in PTX, registered as an object that nvcc made would register it.
#pragma once

#include <cuda_runtime_api.h>
#include <fatbinary_section.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

extern "C" {
void** __cudaRegisterFatBinary(void* wrapper);
void __cudaRegisterFatBinaryEnd(void** program);
void __cudaRegisterFunction(void** program, const char* stub, char* device, const char* name, int,
                            uint3*, uint3*, dim3*, dim3*, int*);
}

namespace lacuna::ptx {

// As nvcc --no-compress lays it out: a header of 16 bytes, and somewhere behind it the text with its final zero.
inline std::vector<char> fat_binary(std::string_view text) {
  constexpr std::uint16_t version = 1, header_bytes = 16;
  constexpr std::size_t between = 80;
  constexpr std::uint32_t magic = 0xba55ed50u;
  const std::uint64_t size = between + text.size() + 1;
  std::vector<char> bytes(header_bytes + size);
  std::memcpy(bytes.data(), &magic, 4);
  std::memcpy(bytes.data() + 4, &version, 2);
  std::memcpy(bytes.data() + 6, &header_bytes, 2);
  std::memcpy(bytes.data() + 8, &size, 8);
  std::memcpy(bytes.data() + header_bytes + between, text.data(), text.size());
  return bytes;
}

inline constexpr char sample_text[] = R"(
.version 8.0
.target sm_90
.address_size 64

// out[block * threads + thread] = value
.visible .entry fill(.param .u64 fill_param_0, .param .u32 fill_param_1)
.maxntid 256, 1, 1
{
  .reg .b32 %r<6>;
  .reg .b64 %rd<5>;
  ld.param.u64 %rd1, [fill_param_0];
  ld.param.u32 %r1, [fill_param_1];
  cvta.to.global.u64 %rd2, %rd1;
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.s32 %r5, %r2, %r3, %r4;
  mul.wide.s32 %rd3, %r5, 4;
  add.s64 %rd4, %rd2, %rd3;
  st.global.u32 [%rd4], %r1;
  ret;
}

// Its static shared memory counts beside the dynamic.
.visible .entry shares()
{
  .shared .align 4 .b8 shares_fixed[1024];
  ret;
}
)";

// The addresses of its members stand for the kernels' stubs.
struct SampleProgram {
  SampleProgram() {
    static std::vector<char> bytes = fat_binary(sample_text);
    static __fatBinC_Wrapper_t wrapper{FATBINC_MAGIC, FATBINC_VERSION,
                                       reinterpret_cast<const unsigned long long*>(bytes.data()),
                                       nullptr};
    void** const program = __cudaRegisterFatBinary(&wrapper);
    for (const auto& [stub, name] :
         {std::pair{&fill, "fill"}, {&shares, "shares"}, {&lost, "lost"}})
      __cudaRegisterFunction(program, stub, nullptr, name, -1, nullptr, nullptr, nullptr, nullptr,
                             nullptr);
    __cudaRegisterFatBinaryEnd(program);
  }
  char fill = 0, shares = 0;
  char lost = 0;  // registered, but not in the text
};

inline SampleProgram& samples() {
  static auto* const program = new SampleProgram;
  return *program;
}

}  // namespace lacuna::ptx
