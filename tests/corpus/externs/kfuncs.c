/* Functions of the kernel's: called, asked for, flavoured, and missing. */
#include "externs.h"

extern void bpf_rcu_read_lock(void) KSYM;
extern void bpf_rcu_read_unlock(void) KSYM;
extern void bpf_rcu_read_lock___old(int level) KSYM WEAK;
extern void cutaway_has_no_such_function(const char *, int) KSYM WEAK;

__attribute__((noinline)) int locked(int x)
{
	bpf_rcu_read_lock();
	out[1] += x;
	bpf_rcu_read_unlock();
	return 1;
}

SEC("syscall") int calls(void *ctx)
{
	OUT(0, locked(3));
	OUT(2, &bpf_rcu_read_lock != 0);
	OUT(3, &cutaway_has_no_such_function != 0);
	OUT(4, &bpf_rcu_read_lock___old != 0);
	if (&cutaway_has_no_such_function)
		cutaway_has_no_such_function("text", 1);
	if (&bpf_rcu_read_lock___old)
		bpf_rcu_read_lock___old(1);
	return 0;
}

/* Does not ask first. */
SEC("?syscall") int reaches(void *ctx)
{
	cutaway_has_no_such_function("text", 1);
	return 0;
}
