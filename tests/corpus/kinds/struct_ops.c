/* TCP's congestion control by programs: members in another order than the kernel's, one that the kernel does not have, and a
 * table that is not wanted. */
#include "bpf.h"

struct sock;
struct rate_sample;

struct tcp_congestion_ops___ours {
	char name[16];
	u32 (*undo_cwnd)(struct sock *);
	u32 (*ssthresh)(struct sock *);
	void (*init)(struct sock *);
	void (*cong_avoid)(struct sock *, u32, u32);
	u32 flags;
	u64 never_was;
};

u64 calls;

SEC("struct_ops/init") void init(u64 *ctx)
{
	__sync_fetch_and_add(&calls, 1);
}

SEC("struct_ops/ssthresh") u32 ssthresh(u64 *ctx)
{
	return 2;
}

SEC("struct_ops/undo_cwnd") u32 undo_cwnd(u64 *ctx)
{
	return 10;
}

SEC("struct_ops/cong_avoid") void cong_avoid(u64 *ctx)
{
}

/* In no table. */
SEC("struct_ops/ssthresh") u32 unused(u64 *ctx)
{
	return 3;
}

#ifndef SECTION
#define SECTION ".struct_ops"
#endif

SEC(SECTION) struct tcp_congestion_ops___ours table = {
	.name = "cutaway_table", .init = (void *)init, .ssthresh = (void *)ssthresh,
	.undo_cwnd = (void *)undo_cwnd, .cong_avoid = (void *)cong_avoid,
};

SEC("?.struct_ops.link") struct tcp_congestion_ops___ours unwanted = {
	.name = "cutaway_none", .never_was = 1,
};

LICENSE("GPL");
