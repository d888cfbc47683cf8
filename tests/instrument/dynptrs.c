/* Dynptrs of rings (Linux 5.19) and of packets (6.4). */
#include "common.h"

RING(events, 4096);

struct dynptr {
	u64 opaque[2];
} __attribute__((aligned(8)));

KSYM int bpf_dynptr_from_skb(struct skb *ctx, u64 flags, struct dynptr *to);
KSYM void *bpf_dynptr_slice(const struct dynptr *of, u32 offset, void *buffer, u32 size);

SEC("tc") int reserves(struct skb *ctx)
{
	struct dynptr record;
	u32 size = ctx->len & 127;
	u64 value = 77;
	long failed = ringbuf_reserve_dynptr(&events, size, 0, &record);

	if (!failed && dynptr_write(&record, 0, &value, sizeof(value), 0))
		failed = 2;
	ringbuf_submit_dynptr(&record, 0);
	return failed;
}

SEC("tc") int writes(struct skb *ctx)
{
	struct dynptr record;
	u8 *data;

	if (ringbuf_reserve_dynptr(&events, 32, 0, &record) == 0) {
		data = dynptr_data(&record, 0, 16);
		if (data)
			for (int at = 0; at < 16; at++)
				data[at] = at * 3;
	}
	ringbuf_submit_dynptr(&record, 0);
	return 0;
}

SEC("tc") int slices(struct skb *ctx)
{
	struct dynptr packet;
	u8 buffer[14], *header;

	if (bpf_dynptr_from_skb(ctx, 0, &packet))
		return 1;
	header = bpf_dynptr_slice(&packet, 0, buffer, sizeof(buffer));
	if (!header)
		return 2;
	return header[12] << 8 | header[13];
}
