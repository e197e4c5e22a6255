# Tests for a GPU on the PTX machine: the very objects that the device tests link, over stand-ins for the CUDA runtime and
# cuBLASLt (tests/ptx), which run their kernels' PTX on the CPU.
file(GLOB ptx_runtime_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/ptx/runtime*.cpp
     ${CMAKE_CURRENT_SOURCE_DIR}/ptx/blas*.cpp)
list(FILTER ptx_runtime_sources EXCLUDE REGEX "_test\\.cpp$")
add_library(lacuna_ptx_runtime STATIC ${ptx_runtime_sources})
target_include_directories(lacuna_ptx_runtime SYSTEM PUBLIC ${CUDAToolkit_INCLUDE_DIRS})
target_link_libraries(lacuna_ptx_runtime PUBLIC lacuna_ptx_machine PRIVATE lacuna_compile)

# Cases that the stand-ins have to pass by themselves, and launches of nvcc's own.
file(GLOB ptx_runtime_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/ptx/runtime_*_test.cpp
     ${CMAKE_CURRENT_SOURCE_DIR}/ptx/runtime_*_test.cu ${CMAKE_CURRENT_SOURCE_DIR}/ptx/blas_*test.cpp)
add_executable(ptx_runtime_test ${ptx_runtime_tests})
target_include_directories(ptx_runtime_test PRIVATE ${PROJECT_SOURCE_DIR})
target_link_libraries(ptx_runtime_test PRIVATE lacuna_ptx_runtime lacuna_compile GTest::gtest
                                               GTest::gtest_main)
lacuna_keep_ptx_readable(ptx_runtime_test)
set_target_properties(ptx_runtime_test PROPERTIES LINKER_LANGUAGE CXX CUDA_RUNTIME_LIBRARY None)
add_test(NAME ptx_runtime COMMAND ptx_runtime_test)
add_test(NAME ptx_runtime_devices COMMAND ptx_runtime_test --gtest_filter=RuntimeDevices.*)
set_tests_properties(ptx_runtime ptx_runtime_devices PROPERTIES LABELS ptx TIMEOUT 300)
set_tests_properties(ptx_runtime_devices PROPERTIES ENVIRONMENT LACUNA_PTX_DEVICES=sm_90,sm_90,sm_80)

# And what the backend makes of CUDA's errors: the library as a file, for as a target it would bring NVIDIA's libraries along.
add_executable(ptx_device_errors_test ${CMAKE_CURRENT_SOURCE_DIR}/ptx/device_errors_test.cu)
add_dependencies(ptx_device_errors_test lacuna_objects)
target_include_directories(ptx_device_errors_test PRIVATE ${PROJECT_SOURCE_DIR}
                                                          ${PROJECT_SOURCE_DIR}/include)
target_link_libraries(ptx_device_errors_test PRIVATE $<TARGET_FILE:lacuna_objects>
                                                     lacuna_ptx_runtime lacuna_compile GTest::gtest
                                                     GTest::gtest_main)
lacuna_keep_ptx_readable(ptx_device_errors_test)
set_target_properties(ptx_device_errors_test PROPERTIES LINKER_LANGUAGE CXX CUDA_RUNTIME_LIBRARY None)
add_test(NAME ptx_device_errors COMMAND ptx_device_errors_test)
set_tests_properties(ptx_device_errors PROPERTIES LABELS ptx TIMEOUT 300)

# lacuna_link_on_ptx(TARGET FROM): the objects of FROM linked again, with the stand-ins where NVIDIA's libraries would be.
function(lacuna_link_on_ptx target from)
  add_executable(${target} $<TARGET_OBJECTS:${from}>)
  add_dependencies(${target} ${from})
  target_link_libraries(${target} PRIVATE ${ARGN} lacuna_ptx_runtime)
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
endfunction()

if(TARGET lacuna_conformance)
  lacuna_link_on_ptx(lacuna_conformance_ptx lacuna_conformance lacuna_emulator)
  add_test(NAME conformance_on_ptx COMMAND lacuna_conformance_ptx)
  add_test(NAME conformance_on_ptx_sm_80 COMMAND lacuna_conformance_ptx)
  set_tests_properties(conformance_on_ptx conformance_on_ptx_sm_80 PROPERTIES LABELS ptx TIMEOUT 300)
  set_tests_properties(conformance_on_ptx_sm_80 PROPERTIES ENVIRONMENT LACUNA_PTX_DEVICES=sm_80)
endif()

# lacuna_run_on_ptx(TEST TARGET [FILTER filter] [ENVIRONMENT variables]...)
function(lacuna_run_on_ptx test target)
  cmake_parse_arguments(PARSE_ARGV 2 run "" FILTER ENVIRONMENT)
  if(NOT run_FILTER)
    set(run_FILTER *)
  endif()
  add_test(NAME ${test} COMMAND ${target} --gtest_brief=1 --gtest_filter=${run_FILTER}
           WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${test} PROPERTIES LABELS ptx TIMEOUT 900 ENVIRONMENT "${run_ENVIRONMENT}")
endfunction()

# Programs of which ctest runs every so-manieth case: together they would take twice as long as all the others. No number here
# divides how many a suite combines last (types, groups; sizes and regimes), or it would see one of these alone.
set(ptx_share_stack_truncation 8)
set(ptx_share_recurrence_oracle 3)
set(ptx_share_stack 3)
set(ptx_share_stack_options 4)
set(ptx_share_properties_order 3)
set(ptx_share_properties_pieces 3)
set(ptx_share_cuda_usual 7)
set(ptx_share_cuda_split 3)
set(ptx_share_cuda_inference 3)
set(ptx_share_cuda_offsets 3)
set(ptx_filter_stack -*Fortieth*) # 60,000 tokens
set(ptx_filter_cuda_training -RecordedTraining*) # takes scratch in a capture, which the stand-in refuses
set(ptx_environment_cuda_devices LACUNA_PTX_DEVICES=2)

foreach(source ${device_tests})
  if(source MATCHES "/cuda_split_long_test") # 20,000 steps, each a meeting of blocks
    continue()
  endif()
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "_test$" "" name ${name})
  # The library as a file: as a target it would bring NVIDIA's libraries along.
  lacuna_link_on_ptx(
    ${name}_ptx_test ${name}_device_test $<TARGET_OBJECTS:lacuna_device_main>
    $<TARGET_FILE:lacuna_objects> lacuna_support lacuna_reference GTest::gtest Threads::Threads)
  set(share 1)
  if(DEFINED ptx_share_${name})
    set(share ${ptx_share_${name}})
  endif()
  lacuna_run_on_ptx(${name}_ptx_test ${name}_ptx_test FILTER ${ptx_filter_${name}} ENVIRONMENT
                    GTEST_TOTAL_SHARDS=${share} GTEST_SHARD_INDEX=0 ${ptx_environment_${name}})
endforeach()

# Once more with work that waits in its streams, and with parted lanes.
foreach(name cuda_stack cuda_graph cuda_training cuda_branches)
  lacuna_run_on_ptx(${name}_ptx_delayed ${name}_ptx_test FILTER ${ptx_filter_${name}} ENVIRONMENT
                    LACUNA_PTX_STREAMS=1)
endforeach()
lacuna_run_on_ptx(cuda_devices_ptx_delayed cuda_devices_ptx_test ENVIRONMENT LACUNA_PTX_STREAMS=1
                  LACUNA_PTX_DEVICES=2)
lacuna_run_on_ptx(cuda_graph_ptx_parted cuda_graph_ptx_test ENVIRONMENT LACUNA_PTX_LANES=1)

# And what is compiled for sm_80, on a GPU that has no clusters and less shared memory; then beside one that has.
foreach(name recurrence_oracle cuda_types cuda_regimes cuda_usual cuda_split cuda_training cuda_graph)
  foreach(shard 1 4) # two in seven
    lacuna_run_on_ptx(
      ${name}_ptx_sm_80_${shard} ${name}_ptx_test FILTER ${ptx_filter_${name}} ENVIRONMENT
      LACUNA_PTX_DEVICES=sm_80 GTEST_TOTAL_SHARDS=7 GTEST_SHARD_INDEX=${shard})
  endforeach()
endforeach()
lacuna_run_on_ptx(cuda_devices_ptx_chips cuda_devices_ptx_test ENVIRONMENT
                  LACUNA_PTX_DEVICES=sm_80,sm_90)
