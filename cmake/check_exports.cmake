# Fails unless LIBRARY exports exactly the functions that the headers in folder HEADERS declare with
# LACUNA_API, each under VERSION_NODE. Run with -DNM= -DLIBRARY= -DHEADERS= -DVERSION_NODE=.
cmake_minimum_required(VERSION 3.25)
execute_process(
  COMMAND ${NM} --dynamic --defined-only --with-symbol-versions ${LIBRARY}
  OUTPUT_VARIABLE table COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE "\n" ";" lines "${table}")

set(exported)
set(wrong)
foreach(line ${lines})
  if(NOT line MATCHES "^[0-9a-f]+ ([A-Za-z]) ([^ @]+)(@@?([^ ]+))?")
    continue()
  endif()
  set(kind ${CMAKE_MATCH_1})
  set(name ${CMAKE_MATCH_2})
  set(node "${CMAKE_MATCH_4}")
  if(kind STREQUAL "A" AND name STREQUAL VERSION_NODE)
    continue() # the version node's own entry
  endif()
  list(APPEND exported ${name})
  if(NOT name MATCHES "^lacuna_" OR NOT node STREQUAL VERSION_NODE)
    list(APPEND wrong "${name}@${node}")
  endif()
endforeach()

# Comments are dropped first, so that prose which names the macro is not taken for a declaration.
set(text)
file(GLOB headers ${HEADERS}/*.h)
foreach(header ${headers})
  file(READ ${header} part)
  string(APPEND text "${part}")
endforeach()
string(REGEX REPLACE "//[^\n]*" "" text "${text}")
string(REGEX REPLACE "/\\*([^*]|\\*+[^*/])*\\*+/" "" text "${text}")
string(REGEX REPLACE "#[^\n]*" "" text "${text}")
string(REGEX MATCHALL "LACUNA_API[^;(]*[^A-Za-z0-9_](lacuna_[a-z0-9_]+)[ \n]*\\(" found "${text}")
set(declared)
foreach(declaration ${found})
  string(REGEX MATCH "(lacuna_[a-z0-9_]+)[ \n]*\\($" name "${declaration}")
  list(APPEND declared ${CMAKE_MATCH_1})
endforeach()

set(missing ${declared})
list(REMOVE_ITEM missing ${exported} "")
set(undeclared ${exported})
list(REMOVE_ITEM undeclared ${declared} "")
list(LENGTH declared count)
if(wrong OR missing OR undeclared OR count EQUAL 0)
  message(FATAL_ERROR "declared in the headers: ${count}\nnot lacuna_* at ${VERSION_NODE}: ${wrong}\n"
                      "declared but not exported: ${missing}\nexported but not declared: ${undeclared}")
endif()
message(STATUS "${count} functions declared and exported at ${VERSION_NODE}, and nothing else")
