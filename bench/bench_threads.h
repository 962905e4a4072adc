/* SPDX-License-Identifier: MIT */
/*
 * How pagefold-bench-threads tells pagefold-bench what it measured: name, case, threads, ns per page of ours and of the peer's
 * (< 0: no peer).
 */
#ifndef BENCH_THREADS_H
#define BENCH_THREADS_H

#define THREADS_LINE "%s|%s|%u|%.17g|%.17g"
#define THREADS_SCAN "%31[^|]|%63[^|]|%u|%lf|%lf\n"

#endif
