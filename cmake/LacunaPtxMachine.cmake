# The PTX machine (tests/ptx) by itself: the interpreter, which needs no CUDA toolkit, and its own tests.
file(GLOB ptx_machine_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/ptx/*.cpp)
list(FILTER ptx_machine_sources EXCLUDE REGEX "/(runtime|blas)[a-z_]*\\.cpp$|_test\\.cpp$")
add_library(lacuna_ptx_machine STATIC ${ptx_machine_sources})
target_include_directories(lacuna_ptx_machine PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(lacuna_ptx_machine PRIVATE lacuna_compile)
# Registers hold whatever type an instruction takes them for, integers wrap, and nothing is fused unless PTX says so.
target_compile_options(lacuna_ptx_machine PRIVATE -fno-strict-aliasing -fwrapv -ffp-contract=off)

file(GLOB ptx_machine_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/ptx/machine_*_test.cpp)
add_executable(ptx_machine_test ${ptx_machine_tests})
target_link_libraries(ptx_machine_test PRIVATE lacuna_ptx_machine lacuna_compile GTest::gtest
                                               GTest::gtest_main)
add_test(NAME ptx_machine COMMAND ptx_machine_test --gtest_brief=1)
set_tests_properties(ptx_machine PROPERTIES LABELS "unit;fast;ptx" TIMEOUT 300)
