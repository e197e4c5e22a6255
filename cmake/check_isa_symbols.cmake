# Guards run-time dispatch. A function that the linker may merge across object files (an inline
# function, a template) must not be compiled in a file of a wider instruction set and in another
# file as well: the linker keeps one of the two, and an older processor may then execute the wider
# one. The names of such functions must carry the instruction set, or the function must not be used
# in those files. Run with -DNM= -DAR= -DARCHIVE=; members are told apart by their names.
cmake_minimum_required(VERSION 3.25)
set(wide_member "_(avx2|avx512)\\.cpp\\.(o|obj)$")
execute_process(COMMAND ${NM} --defined-only --format=posix --print-file-name ${ARCHIVE}
                OUTPUT_VARIABLE table COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${AR} t ${ARCHIVE} OUTPUT_VARIABLE members COMMAND_ERROR_IS_FATAL ANY)

# Kept: functions, of which W (weak) ones are merged; merged data is the same whoever compiled it. A
# local copy that the optimiser specialised from a function counts as that function: whether it makes
# such copies or shares the original is its whim, and with other arguments it is the original.
set(specialised "\\.(constprop|isra|part|cold)")
string(REGEX MATCHALL "\\[[^]\n]*\\]: [^ \n]+ ([TW]|t) " rows "${table}")

set(wide)
set(plain)
set(wide_members)
foreach(row ${rows})
  string(REGEX MATCH "^\\[([^]]*)\\]: ([^ ]+) (.)" matched "${row}")
  set(member ${CMAKE_MATCH_1})
  set(symbol ${CMAKE_MATCH_2})
  set(kind ${CMAKE_MATCH_3})
  if(kind STREQUAL "t" AND NOT symbol MATCHES "${specialised}")
    continue()
  endif()
  string(REGEX REPLACE "${specialised}.*" "" symbol "${symbol}")
  if(member MATCHES "${wide_member}")
    list(APPEND wide ${symbol})
    list(APPEND wide_members ${member})
    list(APPEND isa_of_${symbol} ${CMAKE_MATCH_1})
  else()
    list(APPEND plain ${symbol})
  endif()
endforeach()
list(REMOVE_DUPLICATES wide)

# Objects that nm cannot read, as some of link-time optimisation, must not pass for clean ones.
string(REGEX MATCHALL "[^\n]+" members "${members}")
foreach(member ${members})
  if(member MATCHES "${wide_member}" AND NOT member IN_LIST wide_members)
    message(FATAL_ERROR "${NM} shows no function of ${member}, so nothing is known about it")
  endif()
endforeach()

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
