/* Programs whose lines depend on their input: packets of a test run, and a full ring. */
#include "steps.h"

struct xdp_md { u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };

struct { FIELD(type, RINGBUF); FIELD(max_entries, 4096); } events SEC(".maps");

struct record { char bytes[2000]; };

/* The branches differ, so that the compiler does not merge them. */
static NOINLINE int judge(u8 first)
{
	if (first == 1) {
		seen[1] = ktime_get_ns(); /* one */
		return 2;
	}
	if (first == 2) {
		seen[2] += 7; /* two */
		step(1);
		return 1;
	}
	seen[3] ^= 5; /* other */
	return 0;
}

SEC("xdp")
int filter(struct xdp_md *ctx)
{
	u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + 14 > end)
		return 1;
	return judge(data[0]);
}

SEC("xdp")
int send(struct xdp_md *ctx)
{
	struct record *record = ringbuf_reserve(&events, sizeof(*record), 0);

	if (!record) {
		seen[1] = ktime_get_ns(); /* full */
		return 1;
	}
	step(2);
	record->bytes[0] = 1;
	ringbuf_submit(record, 0);
	return 2;
}

SEC("raw_tp/sys_enter")
int enter(void *ctx)
{
	seen[1] = ktime_get_ns(); /* entered */
	return 0;
}

LICENSE("GPL");
