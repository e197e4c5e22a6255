// The long-lived process that bench/cpu.py talks to: one command per line in, one line of JSON out.
#pragma once

namespace bench {

// Commands:
//   about                   libraries, versions, compiler
//   cases                   the usual case strings
//   open CASE [FILE]        makes the inputs, with the lengths in FILE if there is one
//   export FILE             writes the inputs, for a peer in another process
//   check WHO               lacuna, onednn or sgemm: computes and compares with the first one checked
//   compare FILE            the same for a result that another process wrote
//   time WHO MILLISECONDS   steps for about so long; nanoseconds per step
//   memory                  Lacuna's memory on the open case
//   quit
// What cannot be done is answered {"error": "..."}; a difference in results is {"ok": false, ...}.
int serve(int threads);

}  // namespace bench
