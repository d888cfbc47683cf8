/* The structures of real kernels, in the manner of programs that trace them: twenty types. */
#include "core.h"
struct list_head { struct list_head *next; } CORE;
struct nsproxy___x { struct mnt_namespace *mnt_ns; } CORE;
struct qstr { u32 len; const u8 *name; } CORE;
struct dentry { struct dentry *d_parent; struct qstr d_name; struct inode *d_inode; } CORE;
struct inode { u16 i_mode; u64 i_ino; struct super_block *i_sb; } CORE;
struct super_block { u32 s_dev; } CORE;
struct path { struct dentry *dentry; } CORE;
struct file { struct path f_path; u32 f_flags; struct inode *f_inode; } CORE;
struct pid_namespace { u32 level; } CORE;
struct upid { int nr; struct pid_namespace *ns; } CORE;
struct pid { u32 level; struct upid numbers[0]; } CORE;
struct nsproxy { struct pid_namespace *pid_ns_for_children; } CORE;
struct mm_struct { u64 arg_start; u64 arg_end; } CORE;
struct cred { struct { u32 val; } uid, gid; } CORE;
struct signal_struct { struct pid *pids[4]; int oom_score_adj; } CORE;
struct task_struct { int pid, tgid; char comm[16]; struct task_struct *real_parent; struct mm_struct *mm; const struct cred *cred; struct nsproxy *nsproxy; struct signal_struct *signal; struct pid *thread_pid; u64 start_time; u32 in_execve : 1; u32 sched_reset_on_fork : 1; } CORE;
struct task_struct___o { long state; } CORE;
struct task_struct___n { u32 __state; } CORE;
struct sock_common { u16 skc_family; u16 skc_num; u32 skc_daddr; } CORE;
struct sock { struct sock_common __sk_common; u16 sk_protocol; u8 sk_state; } CORE;
struct tcp_sock { u64 bytes_received; u32 srtt_us; } CORE;
struct sk_buff { u32 len; u16 transport_header; u16 network_header; u8 *head; u8 pkt_type : 3; } CORE;
struct iphdr { u8 ihl : 4; u8 protocol; u32 saddr; } CORE;
struct trace_event_raw_sys_enter { long id; u64 args[6]; } CORE;
struct syscall_trace_enter { int nr; u64 args[0]; } CORE;
struct bio { struct { u64 bi_sector; u32 bi_size; } bi_iter; } CORE;
struct never_was { int x; } CORE;
enum pid_type { PIDTYPE_PID, PIDTYPE_SID = 77 };
enum bpf_map_type { BPF_MAP_TYPE_RINGBUF = 1, BPF_MAP_TYPE_NEVER = 2 };

SEC("raw_tracepoint/sys_enter") int tasks(void **ctx)
{
	struct task_struct *t = ctx[0];
	struct task_struct___o *o = ctx[0];
	struct task_struct___n *n = ctx[0];
	OUT(0, t->pid); OUT(1, t->tgid); OUT(2, &t->comm); OUT(3, t->real_parent); OUT(4, t->mm); OUT(5, t->cred); OUT(6, t->nsproxy);
	OUT(7, t->signal); OUT(8, t->start_time); OUT(9, BYTE_OFFSET(t->in_execve)); OUT(10, LEFT_SHIFT(t->sched_reset_on_fork)); OUT(11, RIGHT_SHIFT(t->in_execve));
	if (FIELD_EXISTS(n->__state)) OUT(12, n->__state); else OUT(12, o->state);
	OUT(13, TYPE_SIZE(struct task_struct)); OUT(14, TYPE_ID_TARGET(struct task_struct)); OUT(15, t->thread_pid);
	return 0;
}
SEC("raw_tracepoint/sys_exit") int files(void **ctx)
{
	struct file *f = ctx[0];
	struct dentry *d = ctx[1];
	struct inode *i = ctx[2];
	OUT(0, f->f_path.dentry); OUT(1, f->f_flags); OUT(2, d->d_name.name); OUT(3, d->d_name.len); OUT(4, d->d_inode); OUT(5, i->i_ino); OUT(6, i->i_mode);
	OUT(7, i->i_sb); OUT(8, ((struct super_block *)ctx[3])->s_dev); OUT(9, ((struct bio *)ctx[4])->bi_iter.bi_sector); OUT(10, d->d_parent);
	return 0;
}
SEC("raw_tracepoint/one") int net(void **ctx)
{
	struct sock *s = ctx[0];
	struct sk_buff *b = ctx[1];
	struct iphdr *h = ctx[2];
	struct tcp_sock *t = ctx[3];
	OUT(0, s->__sk_common.skc_family); OUT(1, s->__sk_common.skc_daddr); OUT(2, s->sk_protocol); OUT(3, BYTE_OFFSET(s->sk_state));
	OUT(4, b->len); OUT(5, b->head); OUT(6, b->transport_header); OUT(7, LEFT_SHIFT(b->pkt_type)); OUT(8, h->saddr); OUT(9, BYTE_SIZE(h->ihl)); OUT(10, t->srtt_us); OUT(11, FIELD_EXISTS(t->bytes_received));
	return 0;
}
SEC("raw_tracepoint/two") int others(void **ctx)
{
	struct pid *p = ctx[0];
	struct signal_struct *s = ctx[1];
	struct cred *c = ctx[2];
	struct syscall_trace_enter *e = ctx[3];
	struct trace_event_raw_sys_enter *r = ctx[4];
	OUT(0, p->level); OUT(1, p->numbers[0].nr); OUT(2, p->numbers[2].ns); OUT(3, s->pids[1]); OUT(4, c->uid.val); OUT(5, c->gid.val);
	OUT(6, e->args[0]); OUT(7, e->args[3]); OUT(8, r->args[2]); OUT(9, r->id); OUT(10, TYPE_EXISTS(struct never_was));
	OUT(11, ENUMERATOR_VALUE(enum bpf_map_type, BPF_MAP_TYPE_RINGBUF)); OUT(12, ENUMERATOR_EXISTS(enum bpf_map_type, BPF_MAP_TYPE_NEVER));
	OUT(13, ENUMERATOR_VALUE(enum pid_type, PIDTYPE_SID)); OUT(14, ((struct mm_struct *)ctx[5])->arg_start); OUT(15, ((struct nsproxy *)ctx[5])->pid_ns_for_children);
	return 0;
}
