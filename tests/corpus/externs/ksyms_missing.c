/* What no kernel has, and is not weak: each program misses something else. */
#include "externs.h"

static void *(*bpf_this_cpu_ptr)(const void *) = (void *)154;

struct rq;
extern const struct rq cutaway_has_no_such_variable KSYM;
extern const int runqueues KSYM;
extern const void cutaway_has_no_such_symbol KSYM;
extern void cutaway_has_no_such_function(void) KSYM;
extern void bpf_rcu_read_lock(int nobody_takes) KSYM;

SEC("?raw_tp/sys_enter") int variable(void *ctx) { return bpf_this_cpu_ptr(&cutaway_has_no_such_variable) != 0; }
SEC("?raw_tp/sys_enter") int other_type(void *ctx) { return bpf_this_cpu_ptr(&runqueues) != 0; }
SEC("?raw_tp/sys_enter") int symbol(void *ctx) { OUT(0, &cutaway_has_no_such_symbol); return 0; }
SEC("?raw_tp/sys_enter") int function(void *ctx) { cutaway_has_no_such_function(); return 0; }
SEC("?raw_tp/sys_enter") int other_parameters(void *ctx) { bpf_rcu_read_lock(1); return 0; }
