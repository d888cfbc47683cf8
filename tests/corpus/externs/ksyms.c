/* Variables and addresses of the kernel's: with a type and without, there and not there. */
#include "externs.h"

static void *(*bpf_per_cpu_ptr)(const void *, u32) = (void *)153;
static void *(*bpf_this_cpu_ptr)(const void *) = (void *)154;

struct rq;
extern const struct rq runqueues KSYM;
extern const int cutaway_has_no_such_variable KSYM WEAK;
extern const void bpf_get_current_pid_tgid KSYM;
extern const void cutaway_has_no_such_symbol KSYM WEAK;

SEC("raw_tp/sys_enter") int addresses(void *ctx)
{
	OUT(3, &cutaway_has_no_such_variable);
	OUT(4, &bpf_get_current_pid_tgid);
	OUT(5, &cutaway_has_no_such_symbol);
	return 0;
}

/* Needs a kernel that knows its variables' addresses (CONFIG_KALLSYMS_ALL). */
SEC("?raw_tp/sys_enter") int variables(void *ctx)
{
	OUT(0, bpf_this_cpu_ptr(&runqueues) != 0);
	OUT(1, bpf_per_cpu_ptr(&runqueues, 0) != 0);
	OUT(2, bpf_per_cpu_ptr(&runqueues, 1 << 20) != 0);
	return 0;
}
