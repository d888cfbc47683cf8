/* Whatever looks at the kernel's types, in one program: a relocation, functions, a variable, a tracepoint's type. */
#include "externs.h"

struct task_struct {
	int pid;
} __attribute__((preserve_access_index));

extern const int cutaway_has_no_such_variable KSYM WEAK;
extern void bpf_rcu_read_lock(void) KSYM;
extern void bpf_rcu_read_unlock(void) KSYM;

SEC("tp_btf/task_newtask") int types(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	bpf_rcu_read_lock();
	OUT(0, task->pid);
	OUT(1, &cutaway_has_no_such_variable);
	bpf_rcu_read_unlock();
	return 0;
}
