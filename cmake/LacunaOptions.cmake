# Every switch a user may set, in one place. Set them with -D or through CMakePresets.json.
set(LACUNA_CUDA AUTO CACHE STRING "CUDA backend: AUTO (when nvcc and its sources are found), ON or OFF")
set_property(CACHE LACUNA_CUDA PROPERTY STRINGS AUTO ON OFF)

set(LACUNA_EMULATOR AUTO CACHE STRING
    "Run the CUDA kernels' source on the CPU in the tests: AUTO (when Boost.Context is found), ON or OFF")
set_property(CACHE LACUNA_EMULATOR PROPERTY STRINGS AUTO ON OFF)

option(LACUNA_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
set(LACUNA_TESTS "cpu;emulated;kernels;device" CACHE STRING
    "Which tests: cpu; emulated, the CUDA backend on the CPU; kernels, its own tests and those of its kernels, likewise; device, on a GPU (where nvcc is found); ptx, what nvcc made, on the CPU")
option(LACUNA_COVERAGE "Let the emulated tests count the lines they execute, for gcov" OFF)
option(LACUNA_BUILD_BENCH "Build the benchmarks" OFF)
option(LACUNA_BUILD_EXAMPLES "Build the example programs" ${PROJECT_IS_TOP_LEVEL})

option(LACUNA_NATIVE "Compile everything for this machine's CPU; the library then runs on no older one" OFF)
option(LACUNA_BASELINE_ONLY
       "CPU backend without AVX2 and AVX-512: its engines compile in a third of the time, and are slower" OFF)
option(LACUNA_WERROR "Treat warnings in Lacuna's own code as errors" OFF)
set(LACUNA_SANITIZE "" CACHE STRING "Sanitizers for all of Lacuna's code: address,undefined or thread")
set_property(CACHE LACUNA_SANITIZE PROPERTY STRINGS "" "address,undefined" thread)
set(LACUNA_FP_CONTRACT "" CACHE STRING
    "-ffp-contract for the SIMD files: off, on or fast; empty keeps the compiler's default")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
