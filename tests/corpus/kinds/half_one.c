/* One half of an object that is linked of two: it calls the other one, and both know the same map and data. */
#include "bpf.h"

struct {
	FIELD(type, RINGBUF);
	FIELD(max_entries, 4096);
} events SEC(".maps");

u64 shared = 40;
u32 own;
static u64 same_name = 1;

extern u64 other_half(u64 x);

SEC("raw_tp/sys_enter") int whole(void *ctx)
{
	u64 x;

	if (get_current_pid_tgid() >> 32 != own)
		return 0;
	x = other_half(same_name);
	ringbuf_output(&events, &x, sizeof(x), 0);
	return 0;
}

LICENSE("GPL");
