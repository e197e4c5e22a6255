# The emulator: runs the CUDA kernels' own source on the CPU, one Boost.Context fiber per CUDA thread.
# tests/emulator/*.cpp make the library lacuna_emulator; tests/emulator/*_test.cpp one program each.
file(GLOB_RECURSE emulator_tests CONFIGURE_DEPENDS
     ${CMAKE_CURRENT_SOURCE_DIR}/emulator/*_test.cpp)

set(LACUNA_WITH_EMULATOR OFF)
if(NOT LACUNA_EMULATOR STREQUAL "OFF" AND emulator_tests)
  set(requirement QUIET)
  if(LACUNA_EMULATOR STREQUAL "ON")
    set(requirement REQUIRED)
  endif()
  find_package(Boost 1.74 ${requirement} COMPONENTS context)
  if(Boost_FOUND)
    set(LACUNA_WITH_EMULATOR ON)
    lacuna_add_test_library(lacuna_emulator emulator Boost::context lacuna_reference)
    foreach(source ${emulator_tests})
      lacuna_add_gtest(${source} emulator_ LIBRARIES lacuna_emulator lacuna_objects
                       LABELS emulator)
    endforeach()
  endif()
endif()
