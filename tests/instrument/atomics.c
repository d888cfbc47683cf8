/* Atomic operations: additions of each generation; those that fetch and exchange need -mcpu=v3. */
#include "common.h"

u64 sum, mask = 0xff, swapped;
u32 half;
MAP(values, ARRAY, u32, u64, 4);

SEC("tc") int adds(struct skb *ctx)
{
	u32 key = ctx->len & 3;
	u64 *value = map_lookup_elem(&values, &key);

	__sync_fetch_and_add(&sum, ctx->len);
	__sync_fetch_and_add(&half, 2);
	if (value)
		__sync_fetch_and_add(value, 5);
	return 0;
}

#if __BPF_CPU_VERSION__ >= 3
SEC("tc") int fetches(struct skb *ctx)
{
	u64 before = __sync_fetch_and_add(&sum, 3);

	before += __sync_fetch_and_or(&mask, ctx->len);
	before ^= __sync_fetch_and_and(&mask, 0x7f);
	before += __sync_fetch_and_xor(&mask, 0x11);
	return before;
}

SEC("tc") int exchanges(struct skb *ctx)
{
	u64 old = __sync_lock_test_and_set(&swapped, ctx->len);
	u64 won = __sync_val_compare_and_swap(&swapped, ctx->len, 99);

	for (int turn = 0; turn < 4; turn++)
		if (__sync_bool_compare_and_swap(&swapped, 99 + turn, 100 + turn))
			old++;
	return old + won;
}
#endif
