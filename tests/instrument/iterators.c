/* Open-coded iterators (Linux 6.4), and exceptions (6.7). */
#include "common.h"

struct bpf_iter_num {
	u64 opaque[1];
} __attribute__((aligned(8)));

KSYM int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end);
KSYM int *bpf_iter_num_next(struct bpf_iter_num *it);
KSYM void bpf_iter_num_destroy(struct bpf_iter_num *it);

RING(events, 4096);
u64 passed[8];

SEC("tc") int iterates(struct skb *ctx)
{
	struct bpf_iter_num it;
	int *number, sum = 0;

	bpf_iter_num_new(&it, 0, 100);
	while ((number = bpf_iter_num_next(&it))) {
		if (*number == 50)
			break;
		if (*number & 1)
			continue;
		sum += *number;
		passed[0]++;
	}
	bpf_iter_num_destroy(&it);
	return sum;
}

SEC("tc") int iterates_and_sends(struct skb *ctx)
{
	struct bpf_iter_num it;
	int *number, failed = 0;

	bpf_iter_num_new(&it, 0, 400);
	while ((number = bpf_iter_num_next(&it))) {
		u64 *event = ringbuf_reserve(&events, 8, 0);

		if (!event) {
			failed++;
			continue;
		}
		*event = *number;
		ringbuf_submit(event, 0);
	}
	bpf_iter_num_destroy(&it);
	return failed;
}

SEC("syscall") int nests(void *ctx)
{
	struct bpf_iter_num outer, inner;
	int *one, *two, sum = 0;

	bpf_iter_num_new(&outer, 0, 10);
	while ((one = bpf_iter_num_next(&outer))) {
		bpf_iter_num_new(&inner, 0, 10);
		while ((two = bpf_iter_num_next(&inner)))
			if (*one > *two)
				sum++;
		bpf_iter_num_destroy(&inner);
	}
	bpf_iter_num_destroy(&outer);
	return sum;
}
