#!/bin/sh
# Runs a compilation by nvcc with -Xptxas=-v, given as arguments, and puts what ptxas reports of each
# kernel into OBJECT.ptxas; all else that was said goes where it would have gone. Nothing is to be read
# where nothing was compiled: `nvcc --version` and the like pass through.
object='' previous=''
for argument in "$@"; do
  if [ "$previous" = -o ]; then object=$argument; fi
  previous=$argument
done
case $object in
  *.o) ;;
  *) exec "$@" ;;
esac

said=$object.said
"$@" 2>"$said"
status=$?
report='^ptxas info|^ +[0-9]+ bytes stack frame'
grep -E "$report" "$said" >"$object.ptxas"
grep -Ev "$report" "$said" >&2
rm -f "$said"
exit $status
