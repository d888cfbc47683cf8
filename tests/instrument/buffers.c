/* Records: each helper that sends, from the stack, from maps, several rings, unchecked results. */
#include "common.h"

RING(small, 4096);
RING(large, 65536);
PERF(perf);
MAP(heap, PERCPU_ARRAY, u32, u64[64], 1);

struct event {
	u32 kind, length;
	u64 value;
};

static NOINLINE int send(void *ring, u32 kind)
{
	struct event *event = ringbuf_reserve(ring, sizeof(*event), 0);

	if (!event)
		return 1;
	event->kind = kind;
	event->length = 7;
	event->value = 9;
	ringbuf_submit(event, 0);
	return 0;
}

SEC("tc") int reserves(struct skb *ctx)
{
	struct event *event = ringbuf_reserve(&small, sizeof(*event), 0);

	if (!event)
		return 1;
	event->kind = 1;
	event->length = ctx->len;
	event->value = 5;
	if (ctx->len < 50)
		ringbuf_discard(event, 1);
	else
		ringbuf_submit(event, 0);
	return 0;
}

SEC("tc") int outputs(struct skb *ctx)
{
	struct event event = { .kind = 2, .length = ctx->len };
	long failed = 0;

	ringbuf_output(&small, &event, sizeof(event), 0);
	if (ringbuf_output(&large, &event, sizeof(event), 2) < 0)
		failed = 2;
	event.value = failed;
	return failed + ringbuf_output(&small, &event, 8, 0);
}

SEC("tc") int either(struct skb *ctx)
{
	return ctx->len & 1 ? send(&small, 3) : send(&large, 4);
}

SEC("tc") int perf_stack(struct skb *ctx)
{
	struct event event = { .kind = 5, .length = ctx->len };

	return perf_event_output(ctx, &perf, CURRENT_CPU, &event, sizeof(event));
}

SEC("tc") int perf_packet(struct skb *ctx)
{
	struct event event = { .kind = 6, .length = ctx->len };

	/* The upper half of the flags: bytes of the packet after the event. */
	if (perf_event_output(ctx, &perf, CURRENT_CPU | 14ULL << 32, &event, sizeof(event)))
		return 3;
	return 0;
}

SEC("xdp") int perf_heap(struct xdp *ctx)
{
	u32 zero = 0;
	u64 *values = map_lookup_elem(&heap, &zero);

	if (!values)
		return 1;
	for (int at = 0; at < 64; at++)
		values[at] = at;
	perf_event_output(ctx, &perf, CURRENT_CPU, values, 512);
	return 2;
}

SEC("raw_tp/sys_enter") int perf_raw(u64 *ctx)
{
	u64 value = ctx[1] + 1;

	if (value > 1000)
		return 1;
	return perf_event_output(ctx, &perf, CURRENT_CPU, &value, sizeof(value)) ? 2 : 0;
}

SEC("syscall") int turns(u32 *ctx)
{
	int failed = 0;

	for (int turn = 0; turn < 300; turn++) {
		u64 *value = ringbuf_reserve(&small, 8, 0);

		if (!value) {
			failed++;
			continue;
		}
		*value = turn;
		ringbuf_submit(value, 1);
	}
	return failed;
}
