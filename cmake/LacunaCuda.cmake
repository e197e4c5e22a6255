# Decides whether the CUDA backend is built. Leaves LACUNA_WITH_CUDA and, for the summary, the reason.
# sm_80 and sm_90a as machine code, and PTX for every later GPU (lacuna_generate_code says of which capability).
set(LACUNA_CUDA_ARCHITECTURES "80-real;90a-real;90-virtual" CACHE STRING
    "GPU architectures, as CMAKE_CUDA_ARCHITECTURES understands them")

file(GLOB_RECURSE lacuna_cuda_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/host/cuda/*.cpp
     ${PROJECT_SOURCE_DIR}/host/cuda/*.cu)
list(FILTER lacuna_cuda_sources EXCLUDE REGEX "/absent\\.cpp$")

set(LACUNA_WITH_CUDA OFF)
if(LACUNA_CUDA STREQUAL "OFF")
  set(LACUNA_CUDA_REASON "off, as asked")
elseif(NOT lacuna_cuda_sources)
  if(LACUNA_CUDA STREQUAL "ON")
    message(FATAL_ERROR "LACUNA_CUDA=ON, but this source tree has no CUDA backend (host/cuda) yet")
  endif()
  set(LACUNA_CUDA_REASON "off: this source tree has no CUDA backend (host/cuda) yet")
else()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    # Must precede enable_language, which would otherwise fill in a default of its own.
    set(CMAKE_CUDA_ARCHITECTURES ${LACUNA_CUDA_ARCHITECTURES})
    enable_language(CUDA)
    # In numbers, which lacuna_generate_code counts with.
    foreach(word NATIVE ALL_MAJOR ALL)
      string(REPLACE "_" "-" asked "${word}")
      string(TOLOWER "${asked}" asked)
      if(CMAKE_CUDA_ARCHITECTURES STREQUAL asked)
        set(CMAKE_CUDA_ARCHITECTURES ${CMAKE_CUDA_ARCHITECTURES_${word}})
        list(FILTER CMAKE_CUDA_ARCHITECTURES EXCLUDE REGEX "^[1-7][0-9]($|[^0-9])")
      endif()
    endforeach()
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      message(FATAL_ERROR "LACUNA_CUDA_ARCHITECTURES is ${LACUNA_CUDA_ARCHITECTURES}, of which none was found that is 80 or newer")
    endif()
    # CMake 3.25 does not know that nvcc speaks C++20, as it does since 12.0.
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    endif()
    find_package(CUDAToolkit 12.4 REQUIRED)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.4)
      message(FATAL_ERROR "nvcc is of CUDA ${CMAKE_CUDA_COMPILER_VERSION}, expected 12.4 or later")
    endif()
    set(LACUNA_WITH_CUDA ON)
    string(REPLACE ";" " " architectures "${CMAKE_CUDA_ARCHITECTURES}")
    set(LACUNA_CUDA_REASON "on: CUDA ${CUDAToolkit_VERSION}, architectures ${architectures}")
  elseif(LACUNA_CUDA STREQUAL "ON")
    message(FATAL_ERROR "LACUNA_CUDA=ON, but no nvcc was found: set CUDACXX or put it on PATH")
  else()
    set(LACUNA_CUDA_REASON "off: no nvcc found")
  endif()
endif()

# lacuna_generate_code(VARIABLE LEAST): nvcc's options for kernels that need compute capability LEAST; where no architecture
# asked for is as new, for all of them. CMake's own would have nvcc make PTX once for each architecture, which takes longer
# than all else and always makes the same: of the architecture the sources know nothing but whether there are clusters. So
# PTX is made once, for the least capability, and ptxas makes every machine code of it. It stays in the library where PTX
# of any was asked for.
function(lacuna_generate_code variable least)
  set(lowest 0)
  foreach(pass ${least} 0)
    foreach(architecture IN LISTS CMAKE_CUDA_ARCHITECTURES)
      string(REGEX MATCH "^([0-9]+)([af]?)(-real|-virtual)?$" matched "${architecture}")
      if(NOT matched)
        message(FATAL_ERROR "LACUNA_CUDA_ARCHITECTURES has '${architecture}', expected the like of 80-real or 90-virtual")
      endif()
      set(capability ${CMAKE_MATCH_1})
      if(capability LESS 80)
        message(FATAL_ERROR "LACUNA_CUDA_ARCHITECTURES has '${architecture}', expected 80 or newer")
      endif()
      if(capability LESS pass)
        continue()
      endif()
      if(NOT lowest OR capability LESS lowest)
        set(lowest ${capability})
      endif()
      if(NOT CMAKE_MATCH_3 STREQUAL "-virtual")
        list(APPEND codes sm_${capability}${CMAKE_MATCH_2})
      endif()
      if(NOT CMAKE_MATCH_3 STREQUAL "-real")
        set(keeps_ptx ON)
      endif()
    endforeach()
    if(lowest)
      break()
    endif()
  endforeach()
  if(keeps_ptx)
    list(PREPEND codes compute_${lowest})
  endif()
  list(JOIN codes "," codes)
  set(${variable} "--generate-code=arch=compute_${lowest},code=[${codes}]" PARENT_SCOPE)
endfunction()

# What ptxas says of each kernel (registers, shared memory, spills) is kept beside the object, for
# cmake/check_kernels.py.
function(lacuna_record_kernels target)
  if(PROJECT_IS_TOP_LEVEL)
    set_target_properties(
      ${target} PROPERTIES CUDA_COMPILER_LAUNCHER
                           "sh;${PROJECT_SOURCE_DIR}/cmake/record_kernels.sh;${CMAKE_CUDA_COMPILER_LAUNCHER}")
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-Xptxas=-v>)
  endif()
endfunction()

# The PTX machine (tests/ptx) reads a program's kernels out of its own fat binaries, as they are registered.
function(lacuna_keep_ptx_readable target)
  if("ptx" IN_LIST LACUNA_TESTS)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:--no-compress>)
  endif()
endfunction()
