# Guards run-time dispatch. A function that the linker may merge across object files (an inline
# function, a template) must not be compiled in a file of a wider instruction set and in another
# file as well: the linker keeps one of the two, and an older processor may then execute the wider
# one. The names of such functions must carry the instruction set, or the function must not be used
# in those files. Run with -DNM= -DARCHIVE=; members are told apart by their names.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND ${NM} --defined-only --format=posix --print-file-name ${ARCHIVE}
                OUTPUT_VARIABLE table COMMAND_ERROR_IS_FATAL ANY)
# Kept: weak functions, of which the linker keeps one. Merged data is the same whoever compiled it.
string(REGEX MATCHALL "\\[[^]\n]*\\]: [^ \n]+ W " rows "${table}")

set(wide)
set(plain)
foreach(row ${rows})
  string(REGEX MATCH "^\\[([^]]*)\\]: ([^ ]+) " matched "${row}")
  set(member ${CMAKE_MATCH_1})
  set(symbol ${CMAKE_MATCH_2})
  if(member MATCHES "_(avx2|avx512)\\.cpp\\.o$")
    set(isa ${CMAKE_MATCH_1})
    list(APPEND wide ${symbol})
    list(APPEND isa_of_${symbol} ${isa})
  else()
    list(APPEND plain ${symbol})
  endif()
endforeach()
list(REMOVE_DUPLICATES wide)

set(shared)
foreach(symbol ${wide})
  set(isas ${isa_of_${symbol}})
  list(REMOVE_DUPLICATES isas)
  list(LENGTH isas count)
  if(count GREATER 1 OR symbol IN_LIST plain)
    list(APPEND shared ${symbol})
  endif()
endforeach()

list(LENGTH wide wide_count)
if(shared)
  list(JOIN shared "\n  " lines)
  message(FATAL_ERROR "compiled for a wider instruction set and elsewhere too "
                      "(c++filt reads the names):\n  ${lines}")
endif()
message(STATUS "${wide_count} functions of wider instruction sets, none shared with other files")
