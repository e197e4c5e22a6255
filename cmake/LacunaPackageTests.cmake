# Tests of what is delivered rather than of what it computes: each public header compiles alone,
# the shared library exports the C ABI and nothing else, no code of a wider instruction set can stand
# in for plain code, the programs in README and docs work, and what pages name is there.
set(header_dir ${PROJECT_SOURCE_DIR}/include)
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${header_dir} ${header_dir}/*.h
     ${header_dir}/*.hpp)

function(lacuna_add_header_test header language standard compiler)
  string(MAKE_C_IDENTIFIER ${header} name)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/headers/${name}.${language})
  # Included twice: a missing guard shows at once.
  file(CONFIGURE OUTPUT ${source} CONTENT "#include <${header}>\n#include <${header}>\n")
  set(test header.${header}.${standard})
  add_test(NAME ${test} COMMAND ${compiler} -std=${standard} -pedantic -Wall -Wextra -Werror
                                -fsyntax-only -I${header_dir} ${source})
  set_tests_properties(${test} PROPERTIES LABELS "package" TIMEOUT 120)
endfunction()

if(NOT "cpu" IN_LIST LACUNA_TESTS)
  set(headers) # what they compile to is the same in every build
endif()
foreach(header ${headers})
  lacuna_add_header_test(${header} cpp c++20 ${CMAKE_CXX_COMPILER})
  if(header MATCHES "\\.h$")
    lacuna_add_header_test(${header} c c11 ${CMAKE_C_COMPILER})
  endif()
endforeach()

function(lacuna_add_isa_check test archive)
  add_test(NAME ${test}
           COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM} -DAR=${CMAKE_AR}
                   -DARCHIVE=$<TARGET_FILE:${archive}> -P
                   ${PROJECT_SOURCE_DIR}/cmake/check_isa_symbols.cmake)
  set_tests_properties(${test} PROPERTIES LABELS "package" TIMEOUT 60)
endfunction()

# A check of the check, which must not go blind: `use` is C++ for two files, one of them AVX2's by its
# name, in which PART is that file's name; `report` matches what must be printed.
function(lacuna_add_planted_isa_check name use report)
  set(sources)
  foreach(part planted_avx2 planted)
    set(source ${CMAKE_CURRENT_BINARY_DIR}/isa_symbols/${name}/${part}.cpp)
    string(REPLACE PART ${part} text "${use}")
    file(CONFIGURE OUTPUT ${source} @ONLY
         CONTENT "#include \"tests/isa_symbols/planted.h\"\n@text@\n")
    list(APPEND sources ${source})
  endforeach()
  set(library isa_symbols_${name})
  add_library(${library} STATIC ${sources})
  target_include_directories(${library} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${library} PRIVATE lacuna_compile)
  lacuna_add_isa_check(package.isa_symbols_${name} ${library})
  set_tests_properties(package.isa_symbols_${name} PROPERTIES PASS_REGULAR_EXPRESSION "${report}")
endfunction()

if(NOT LACUNA_SANITIZE)
  add_test(
    NAME package.exported_symbols
    COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM} -DLIBRARY=$<TARGET_FILE:lacuna>
            -DHEADERS=${header_dir}/lacuna -DVERSION_NODE=LACUNA_0.1 -P
            ${PROJECT_SOURCE_DIR}/cmake/check_exports.cmake)
  set_tests_properties(package.exported_symbols PROPERTIES LABELS "package" TIMEOUT 60)
endif()

if(NOT "cpu" IN_LIST LACUNA_TESTS)
  return() # and so is the rest
endif()
if(NOT LACUNA_SANITIZE AND NOT LACUNA_BASELINE_ONLY)
  lacuna_add_isa_check(package.isa_symbols lacuna_objects)
  set(arguments "(const float* x, int n)")
  lacuna_add_planted_isa_check(
    inline "float PART${arguments} { return planted_inline(x, n); }" "Error.*planted_inline")
  lacuna_add_planted_isa_check(
    template "float PART${arguments} { return planted_template(x, n); }"
    "Error.*planted_template")
  # g++ makes a local copy in each file for this one argument, and nothing is shared as it happens.
  lacuna_add_planted_isa_check(
    specialised "float PART${arguments} { return n + planted_inline(x, 16); }"
    "Error.*planted_inline")
  lacuna_add_planted_isa_check(
    clean "struct Isa_PART; float PART${arguments} { return named_by_isa<Isa_PART>(x, n); }"
    "none shared")
  lacuna_add_planted_isa_check(unreadable "extern const int PART; const int PART = 1;"
                               "Error.*shows no function of planted_avx2")
endif()

# A check of ./dev coverage's check: each folder is a source with what gcov would say of it, and what
# must be made of that.
find_package(Python3 COMPONENTS Interpreter)
function(lacuna_add_planted_coverage name expected)
  set(folder ${CMAKE_CURRENT_SOURCE_DIR}/coverage_reports)
  add_test(NAME package.coverage_${name}
           COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cmake/check_coverage.py --build
                   ${folder}/${name} --source ${folder}/${name} --gcov ${folder}/gcov --library
                   planted .)
  set_tests_properties(package.coverage_${name} PROPERTIES LABELS "package" TIMEOUT 60
                                                           PASS_REGULAR_EXPRESSION "${expected}")
endfunction()
if(Python3_FOUND)
  lacuna_add_planted_coverage(clean "4 of 5 lines executed .*, 1 excused by name, 0 to mend")
  lacuna_add_planted_coverage(missed "kernel.h:3: x.1. .= 2;.*1 to mend")
  lacuna_add_planted_coverage(borrowed "kernel.h:4: scale_kernel.*1 to mend")
  lacuna_add_planted_coverage(stale "kernel.h:2: executed in spite of its exception")
  lacuna_add_planted_coverage(instances "1 of 2 instances of kernels ran")
  lacuna_add_planted_coverage(idle "never ran, of planted: void scale<double>.*1 to mend")
  lacuna_add_planted_coverage(uncompiled "kernel.h: has a kernel, and no line that was compiled")
endif()

# The same of what counts a step's instructions: planted listings, whose numbers were counted by hand.
function(lacuna_add_planted_step_loop name expected)
  add_test(NAME package.step_loop_${name}
           COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cmake/count_step_loop.py --steps 1
                   ${CMAKE_CURRENT_SOURCE_DIR}/step_loops/${name}.sass)
  set_tests_properties(package.step_loop_${name} PROPERTIES LABELS "package" TIMEOUT 60
                                                            PASS_REGULAR_EXPRESSION "${expected}")
endfunction()
if(Python3_FOUND)
  lacuna_add_planted_step_loop(
    planted "`planted` . 14 . 28 . 1 . 3 . 1 . 2 . 1 . 2 . 1 . 1 . 2 . 2 .")
  lacuna_add_planted_step_loop(
    copies "`copies` . 10 . 20 . 1 . 3 . 0 . 0 . 0 . 1 . 1 . 1 . 3 . 1 .")
  lacuna_add_planted_step_loop(no_step "no step loop in")
endif()

# What README, CONTRIBUTING and docs name: commands of ./dev, presets, test programs, other pages.
if(Python3_FOUND)
  add_test(NAME package.pages COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cmake/check_pages.py
                                      ${PROJECT_SOURCE_DIR})
  add_test(NAME package.pages_planted
           COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cmake/check_pages.py --planted
                   ${PROJECT_SOURCE_DIR})
  set_tests_properties(package.pages package.pages_planted PROPERTIES LABELS "package" TIMEOUT 60)
endif()

# The benchmarks' Python knows the C ABI by heart.
if(Python3_FOUND AND "cpu" IN_LIST LACUNA_TESTS)
  add_test(NAME package.python_abi
           COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cmake/check_python_abi.py
                   ${PROJECT_SOURCE_DIR} ${CMAKE_C_COMPILER})
  set_tests_properties(package.python_abi PROPERTIES LABELS "package" TIMEOUT 60)
endif()

# tests/device/run.py (./dev gpu) around programs and tools that are made up.
if(Python3_FOUND)
  add_test(NAME package.gpu_steps COMMAND ${Python3_EXECUTABLE}
                                          ${CMAKE_CURRENT_SOURCE_DIR}/device/run_test.py)
  set_tests_properties(package.gpu_steps PROPERTIES LABELS "package" TIMEOUT 120)
endif()

# bench/gpu.py around workers that are made up, and its judgement where there is torch.
if(Python3_FOUND)
  add_test(NAME package.gpu_bench COMMAND ${Python3_EXECUTABLE}
                                          ${CMAKE_CURRENT_SOURCE_DIR}/bench/gpu_test.py)
  set_tests_properties(package.gpu_bench PROPERTIES LABELS "package" TIMEOUT 120)
endif()

# bench/gpu.py --alone, which needs no torch, all of it on the CPU.
if(Python3_FOUND)
  add_test(NAME package.gpu_alone
           COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/bench/gpu_alone_test.py
                   ${CMAKE_CXX_COMPILER} $<TARGET_FILE:lacuna>)
  set_tests_properties(package.gpu_alone PROPERTIES LABELS "package" TIMEOUT 240)
endif()

# ./dev gpu tune: its fit and its table, and all of it on the CPU.
if(Python3_FOUND AND TARGET lacuna_step_cost)
  add_test(NAME package.tune
           COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/tune/tune_test.py
                   $<TARGET_FILE:lacuna_step_cost> ${CMAKE_CXX_COMPILER} $<TARGET_FILE:lacuna>)
  add_test(NAME package.tune_on_the_cpu
           COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/bench/tune.py --device cpu --library
                   $<TARGET_FILE:lacuna> --program $<TARGET_FILE:lacuna_step_cost> --output
                   ${CMAKE_CURRENT_BINARY_DIR}/tune)
  set_tests_properties(package.tune package.tune_on_the_cpu PROPERTIES LABELS "package" TIMEOUT 240)
  set_tests_properties(package.tune_on_the_cpu PROPERTIES
                       PASS_REGULAR_EXPRESSION "the table stays as it is: nothing was measured on a GPU")
endif()

# Leaves the path of the program in `snippet`. Arguments are those of lacuna_add_page_program.
function(lacuna_extract_page_program name page)
  set(language cpp)
  set(mark "")
  if(ARGC GREATER 2)
    set(language ${ARGV2})
  endif()
  if(ARGC GREATER 3)
    set(mark ${ARGV3})
  endif()
  set(snippet ${CMAKE_CURRENT_BINARY_DIR}/${name}_snippet.${language})
  add_custom_command(
    OUTPUT ${snippet}
    COMMAND ${CMAKE_COMMAND} -DPAGE=${PROJECT_SOURCE_DIR}/${page} -DOUTPUT=${snippet} -DMARK=${mark} -P
            ${PROJECT_SOURCE_DIR}/cmake/extract_snippet.cmake
    DEPENDS ${PROJECT_SOURCE_DIR}/${page} ${PROJECT_SOURCE_DIR}/cmake/extract_snippet.cmake)
  set(snippet ${snippet} PARENT_SCOPE)
endfunction()

function(lacuna_run_page_program name)
  add_test(NAME package.${name}_snippet COMMAND ${name}_snippet
           WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
  set_tests_properties(package.${name}_snippet PROPERTIES LABELS "package" TIMEOUT 60)
endfunction()

# lacuna_add_page_program(NAME PAGE [LANGUAGE [MARK]]): a program in a page, C++ unless LANGUAGE is c, built against the shared
# library as a user would build it, and run.
function(lacuna_add_page_program name page)
  lacuna_extract_page_program(${ARGV})
  add_executable(${name}_snippet ${snippet})
  target_link_libraries(${name}_snippet PRIVATE lacuna::lacuna lacuna_compile)
  lacuna_run_page_program(${name})
endfunction()
lacuna_add_page_program(readme README.md)
lacuna_add_page_program(schedule docs/schedule.md)
lacuna_add_page_program(training docs/training.md)
lacuna_add_page_program(training_c docs/training.md c)
lacuna_add_page_program(training_fp16 docs/training.md cpp fp16)

# fp16 is the CUDA backend's alone. Without a GPU that program ends at once, so that it runs over the emulator, too.
if(TARGET lacuna_cuda_emulated)
  lacuna_extract_page_program(training_fp16_emulated docs/training.md cpp fp16)
  add_executable(training_fp16_emulated_snippet ${snippet} emulator/backend/host_arrays.cpp)
  target_link_libraries(training_fp16_emulated_snippet PRIVATE lacuna_cuda_emulated lacuna_objects
                                                               lacuna_compile)
  lacuna_run_page_program(training_fp16_emulated)
  set_tests_properties(package.training_fp16_emulated_snippet
                       PROPERTIES FAIL_REGULAR_EXPRESSION "needs the CUDA backend" TIMEOUT 300)
endif()
