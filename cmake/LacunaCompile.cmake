# Compiler settings shared by every target, and the two helpers that apply them.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_package(Threads REQUIRED)

find_program(LACUNA_CCACHE ccache)
mark_as_advanced(LACUNA_CCACHE)
if(LACUNA_CCACHE AND PROJECT_IS_TOP_LEVEL)
  # With paths relative to the source tree, a second clone finds what the first has compiled.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
               ${LACUNA_CCACHE})
  foreach(language C CXX CUDA)
    if(NOT DEFINED CMAKE_${language}_COMPILER_LAUNCHER)
      set(CMAKE_${language}_COMPILER_LAUNCHER ${launcher})
    endif()
  endforeach()
endif()

# One interface target carries what all of our own code is compiled with, tests included. A field that
# a designated initialiser leaves out has its default, on purpose, so that is no warning.
add_library(lacuna_compile INTERFACE)
target_compile_options(
  lacuna_compile
  INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-Wno-missing-field-initializers>
            $<$<AND:$<BOOL:${LACUNA_WERROR}>,$<COMPILE_LANGUAGE:C,CXX>>:-Werror>
            $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wno-missing-field-initializers>
            $<$<AND:$<BOOL:${LACUNA_WERROR}>,$<COMPILE_LANGUAGE:CUDA>>:-Werror=all-warnings>
            $<$<AND:$<BOOL:${LACUNA_NATIVE}>,$<COMPILE_LANGUAGE:C,CXX>>:-march=native>)

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 warns of overlapping copies inside "text" + std::string, wrongly (its bug 105651).
  target_compile_options(lacuna_compile INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()

# Nothing here reads errno; with it, g++ leaves loops with a square root scalar.
target_compile_options(lacuna_compile INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-fno-math-errno>)

if(LACUNA_SANITIZE)
  # -fno-sanitize-recover turns a report into a failing test instead of a line in a log.
  set(lacuna_sanitize_flags -fsanitize=${LACUNA_SANITIZE} -fno-sanitize-recover=all
                            -fno-omit-frame-pointer)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND LACUNA_SANITIZE MATCHES "address")
    # A call per access instead of the check in place: the SIMD files compile five times as fast.
    list(APPEND lacuna_sanitize_flags --param=asan-instrumentation-with-call-threshold=0)
  endif()
  target_compile_options(lacuna_compile
                         INTERFACE "$<$<COMPILE_LANGUAGE:C,CXX>:${lacuna_sanitize_flags}>")
  target_link_options(lacuna_compile INTERFACE ${lacuna_sanitize_flags})
endif()

# xsimd is header only. Its include path is SYSTEM, so that its warnings are not ours.
find_package(xsimd QUIET CONFIG)
if(NOT xsimd_FOUND)
  find_path(XSIMD_INCLUDE_DIR xsimd/xsimd.hpp REQUIRED)
endif()
if(xsimd_FOUND)
  get_target_property(XSIMD_INCLUDE_DIR xsimd INTERFACE_INCLUDE_DIRECTORIES)
endif()
add_library(lacuna_simd INTERFACE)
target_include_directories(lacuna_simd SYSTEM INTERFACE ${XSIMD_INCLUDE_DIR})

# Gives each file named *_<isa>.cpp the instruction set in its name, and drops from `sources_var`
# those of another processor family and, with LACUNA_BASELINE_ONLY, the wider ones. Dispatch at run time picks among them.
function(lacuna_apply_isa_flags sources_var)
  string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" processor)
  if(processor MATCHES "x86_64|amd64")
    set(here sse2)
    if(NOT LACUNA_BASELINE_ONLY)
      list(APPEND here avx2 avx512)
    endif()
  elseif(processor MATCHES "aarch64|arm64")
    set(here neon)
  endif()
  set(flags_sse2 "")
  set(flags_avx2 -mavx2 -mfma)
  set(flags_avx512 -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mprefer-vector-width=512)
  set(flags_neon "")

  set(common $<$<CONFIG:Release>:-O3>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ 12 takes its own AVX-512 intrinsics' deliberate "undefined" operand for a mistake (its bug 105593).
    list(APPEND common -Wno-maybe-uninitialized -Wno-uninitialized)
  endif()
  if(LACUNA_FP_CONTRACT)
    list(APPEND common -ffp-contract=${LACUNA_FP_CONTRACT})
  endif()

  # These checks keep every vector of a kernel in memory, at ten times the cost; heap and stack stay
  # guarded, and so does arithmetic.
  if(LACUNA_SANITIZE MATCHES "address")
    list(APPEND common -fno-sanitize-address-use-after-scope)
  endif()
  if(LACUNA_SANITIZE MATCHES "undefined")
    list(APPEND common -fno-sanitize=null,object-size,vptr,alignment)
  endif()

  set(kept ${${sources_var}})
  foreach(isa sse2 avx2 avx512 neon)
    set(files ${${sources_var}})
    list(FILTER files INCLUDE REGEX "_${isa}\\.cpp$")
    if(NOT files)
      continue()
    endif()
    if(isa IN_LIST here)
      set_source_files_properties(${files} PROPERTIES COMPILE_OPTIONS "${flags_${isa}};${common}")
    else()
      list(REMOVE_ITEM kept ${files})
    endif()
  endforeach()
  set(${sources_var} ${kept} PARENT_SCOPE)
endfunction()
