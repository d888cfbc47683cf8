/* CO-RE: fields, sizes and enumerators of the running kernel. */
#include "common.h"

#define CORE __attribute__((preserve_access_index))

struct task_struct {
	int pid, tgid;
	u32 flags;
	struct task_struct *real_parent;
	char comm[16];
} CORE;

struct task_struct___other {
	int no_such_field;
} CORE;

RING(events, 4096);

SEC("raw_tp/sys_enter") int reads(u64 *ctx)
{
	struct task_struct *task = (void *)get_current_task();
	int pid = 0, parent = 0;
	struct task_struct *real_parent = 0;

	probe_read_kernel(&pid, sizeof(pid), &task->pid);
	if (probe_read_kernel(&real_parent, sizeof(real_parent), &task->real_parent) == 0)
		probe_read_kernel(&parent, sizeof(parent), &real_parent->tgid);
	if (__builtin_preserve_field_info(((struct task_struct___other *)task)->no_such_field, 2))
		return 7;
	return pid > 0 && parent >= 0;
}

SEC("tp_btf/sys_enter") int walks(u64 *ctx)
{
	struct task_struct *task = get_current_task_btf();
	u64 *event = ringbuf_reserve(&events, 16, 0);

	if (!event)
		return 0;
	event[0] = task->pid;
	event[1] = task->real_parent->tgid;
	ringbuf_submit(event, 0);
	return 0;
}

SEC("tc") int sizes(struct skb *ctx)
{
	struct task_struct *task = 0;

	return __builtin_preserve_field_info(task->comm, 1) + __builtin_preserve_field_info(task->pid, 1);
}
