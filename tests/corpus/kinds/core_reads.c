/* A program that walks the kernel's structures from the current task, as tracing tools do: twenty relocations. */
#include "bpf.h"

#define CORE __attribute__((preserve_access_index))

struct qstr { const u8 *name; u32 len; } CORE;
struct dentry { struct dentry *d_parent; struct qstr d_name; } CORE;
struct super_block { u32 s_dev; } CORE;
struct inode { u16 i_mode; u64 i_ino; struct super_block *i_sb; } CORE;
struct path { struct dentry *dentry; } CORE;
struct file { struct path f_path; struct inode *f_inode; } CORE;
struct mm_struct { u64 arg_start, arg_end; struct file *exe_file; } CORE;
struct cred { struct { u32 val; } uid, gid; } CORE;
struct ns_common { u32 inum; } CORE;
struct pid_namespace { u32 level; struct ns_common ns; } CORE;
struct nsproxy { struct pid_namespace *pid_ns_for_children; } CORE;
struct signal_struct { int nr_threads; } CORE;
struct task_struct {
	int pid, tgid;
	struct task_struct *real_parent;
	struct mm_struct *mm;
	const struct cred *cred;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	u64 start_time;
} CORE;
struct task_struct___old { long state; } CORE;
struct task_struct___new { u32 __state; } CORE;

HELPER(35, void *, get_current_task, void);

struct {
	FIELD(type, RINGBUF);
	FIELD(max_entries, 4096);
} events SEC(".maps");

struct event {
	u32 pid, tgid, parent, uid, gid, level, namespace, threads, mode, device, length, state;
	u64 start, arguments, inode;
};

/* What `from` points to, at the place that the kernel has it. */
#define READ(from, field)                                                                                                \
	({                                                                                                               \
		__typeof_unqual__((from)->field) value = 0;                                                                        \
		probe_read_kernel(&value, sizeof(value), __builtin_preserve_access_index(&(from)->field));               \
		value;                                                                                                   \
	})

SEC("raw_tracepoint/sys_enter") int reads(void *ctx)
{
	struct task_struct *task = get_current_task(), *parent;
	struct task_struct___new *newer = (void *)task;
	struct task_struct___old *older = (void *)task;
	struct event *event = ringbuf_reserve(&events, sizeof(*event), 0);
	struct mm_struct *mm;
	struct file *file;
	struct inode *inode;

	if (!event)
		return 0;
	event->pid = READ(task, pid);
	event->tgid = READ(task, tgid);
	event->start = READ(task, start_time);
	parent = READ(task, real_parent);
	event->parent = READ(parent, tgid);
	const struct cred *cred = READ(task, cred);
	event->uid = READ(cred, uid.val);
	event->gid = READ(cred, gid.val);
	struct nsproxy *proxy = READ(task, nsproxy);
	struct pid_namespace *namespace = READ(proxy, pid_ns_for_children);
	event->level = READ(namespace, level);
	event->namespace = READ(namespace, ns.inum);
	struct signal_struct *signal = READ(task, signal);
	event->threads = READ(signal, nr_threads);
	mm = READ(task, mm);
	event->arguments = READ(mm, arg_end) - READ(mm, arg_start);
	file = READ(mm, exe_file);
	struct dentry *dentry = READ(file, f_path.dentry);
	event->length = READ(dentry, d_name.len);
	inode = READ(file, f_inode);
	event->mode = READ(inode, i_mode);
	event->inode = READ(inode, i_ino);
	struct super_block *block = READ(inode, i_sb);
	event->device = READ(block, s_dev);
	event->state = __builtin_preserve_field_info(newer->__state, 2) ? READ(newer, __state) : READ(older, state);
	ringbuf_submit(event, 0);
	return 0;
}

LICENSE("GPL");
