# Writes the C++ block that README.md holds between `<!-- program -->` and `<!-- /program -->` to
# OUTPUT. Run with -DREADME= -DOUTPUT=.
file(READ ${README} text)
set(fence "```")
string(FIND "${text}" "<!-- program -->\n${fence}cpp\n" start)
string(FIND "${text}" "${fence}\n<!-- /program -->" end)
if(start EQUAL -1 OR end EQUAL -1)
  message(FATAL_ERROR "${README} holds no program between its markers")
endif()
string(LENGTH "<!-- program -->\n${fence}cpp\n" skip)
math(EXPR start "${start} + ${skip}")
math(EXPR length "${end} - ${start}")
string(SUBSTRING "${text}" ${start} ${length} program)
file(WRITE ${OUTPUT} "${program}")
