# Tests that run on a GPU: the sources that every backend has to pass, once more, in one program, since the library with all
# its kernels takes 60 MB. Without a GPU it ends with 77 and counts as skipped; cases are not listed at build time, which
# would need one.
#
# It carries GoogleTest, the CUDA run-time library and the C++ library with it, so that a build
# can be taken to a machine that has a driver and cuBLASLt and nothing else (tests/device/run.py).
add_library(lacuna_device_main OBJECT device/main.cpp)
target_link_libraries(lacuna_device_main PRIVATE GTest::gtest CUDA::cudart_static lacuna_compile)

set(device_libraries lacuna_objects lacuna_reference lacuna_support lacuna_compile lacuna_simd GTest::gtest
                     CUDA::cudart_static)
add_executable(lacuna_device_tests)
target_link_libraries(lacuna_device_tests PRIVATE lacuna_device_main ${device_libraries})
target_link_options(lacuna_device_tests PRIVATE -static-libstdc++ -static-libgcc)
set_target_properties(lacuna_device_tests PROPERTIES LINKER_LANGUAGE CXX)

# Objects of one source, which the PTX machine links by itself.
function(lacuna_add_device_test source)
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "_test$" "" name ${name})
  add_library(${name}_device_test OBJECT ${source})
  target_compile_definitions(
    ${name}_device_test PRIVATE LACUNA_TEST_BACKEND=LACUNA_BACKEND_CUDA LACUNA_TEST_ON_DEVICE)
  target_link_libraries(${name}_device_test PRIVATE ${device_libraries})
  lacuna_optimise_little(${name}_device_test)
  target_link_libraries(lacuna_device_tests PRIVATE ${name}_device_test)
  add_test(NAME ${name}_device_test
           COMMAND lacuna_device_tests ${name}
                   --gtest_output=xml:${CMAKE_CURRENT_BINARY_DIR}/${name}_device_test.xml
           WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name}_device_test PROPERTIES LABELS gpu SKIP_RETURN_CODE 77 RUN_SERIAL ON
                                                      TIMEOUT 1800)
endfunction()

foreach(source ${device_tests})
  lacuna_add_device_test(${source})
endforeach()

# That it knows them apart, and no two have a suite of the same name, shows without a GPU.
list(TRANSFORM device_tests REPLACE "^.*/(.*)_test\\.cpp$" "\\1" OUTPUT_VARIABLE device_sources)
list(SORT device_sources)
list(JOIN device_sources "\n" device_sources)
add_test(NAME package.device_sources COMMAND lacuna_device_tests --sources)
set_tests_properties(package.device_sources PROPERTIES LABELS package TIMEOUT 60 PASS_REGULAR_EXPRESSION
                                                       "^${device_sources}\n$")

# By nvcc, for which kernels/simt has no need of the emulator.
set_source_files_properties(device/step_cost.cpp PROPERTIES LANGUAGE CUDA)
lacuna_add_step_cost(CUDA::cudart_static)
target_link_options(lacuna_step_cost PRIVATE -static-libstdc++ -static-libgcc)
set_target_properties(lacuna_step_cost PROPERTIES LINKER_LANGUAGE CXX CUDA_RUNTIME_LIBRARY Static)

# Registers and spills of every kernel, from what ptxas said while the library was compiled.
find_package(Python3 COMPONENTS Interpreter)
if(NOT Python3_FOUND)
  message(STATUS "tests: no Python, so nobody looks at the registers of kernels")
  return()
endif()
set(checked_kernels ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cmake/check_kernels.py)
add_test(
  NAME package.kernels
  COMMAND ${checked_kernels} --reports $<TARGET_FILE_DIR:lacuna_objects> --exceptions
          ${PROJECT_SOURCE_DIR}/cmake/kernels_that_may_spill.txt --table
          ${PROJECT_BINARY_DIR}/kernels.txt)
set_tests_properties(package.kernels PROPERTIES LABELS "package" TIMEOUT 120)

# A check of the check: each folder of planted reports, and what must be said of it.
function(lacuna_add_planted_kernels name expected)
  set(folder ${CMAKE_CURRENT_SOURCE_DIR}/kernel_reports/${name})
  add_test(NAME package.kernels_${name}
           COMMAND ${checked_kernels} --reports ${folder} --exceptions ${folder}/may_spill.txt --table
                   ${CMAKE_CURRENT_BINARY_DIR}/kernels_${name}.txt)
  set_tests_properties(package.kernels_${name} PROPERTIES LABELS "package" TIMEOUT 60
                                                          PASS_REGULAR_EXPRESSION "${expected}")
endfunction()
lacuna_add_planted_kernels(clean "3 kernels, no spill but 1 named exceptions")
lacuna_add_planted_kernels(spill "scale<float>.*sm_80: 8 bytes of spill stores, 12 of loads")
lacuna_add_planted_kernels(stack "scale<float>.*sm_80: 48 bytes of stack")
lacuna_add_planted_kernels(stale "no kernel needs the exception 'gone'")
lacuna_add_planted_kernels(empty "no report of any kernel")

# What a step of the recurrences on chip issues, from their machine code: the table of docs/regimes.md. Passed by where the
# CUDA toolkit at hand has no nvdisasm.
set(objects $<TARGET_OBJECTS:lacuna_objects>)
add_test(
  NAME package.step_loop
  COMMAND
    ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cmake/count_step_loop.py --kernel "resident::|lone::" --arch
    sm_90a --table ${PROJECT_BINARY_DIR}/step_loop.md
    "$<FILTER:${objects},INCLUDE,cuda/walks/(resident|lone)_.*\\.cu>"
  COMMAND_EXPAND_LISTS)
set_tests_properties(package.step_loop PROPERTIES LABELS "package" TIMEOUT 300 SKIP_RETURN_CODE 77)
