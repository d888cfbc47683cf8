/* Callbacks of bpf_loop (Linux 5.17) and bpf_for_each_map_elem (5.13), some of which send. */
#include "common.h"

RING(events, 4096);
MAP(table, HASH, u32, u64, 64);
MAP(list, ARRAY, u32, u64, 16);

struct state {
	u64 sum;
	u32 limit;
};

static long turn(u32 index, struct state *state)
{
	if (index > state->limit)
		return 1;
	state->sum += index & 1 ? index : 2 * index;
	return 0;
}

static long sends(u32 index, struct state *state)
{
	u64 *event = ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return 1;
	*event = index;
	if (index % 3 == 2)
		ringbuf_discard(event, 0);
	else
		ringbuf_submit(event, 0);
	state->sum++;
	return 0;
}

static long nests(u32 index, struct state *state)
{
	struct state inner = { .sum = 0, .limit = index };

	loop(5, turn, &inner, 0);
	state->sum += inner.sum;
	return 0;
}

static long element(void *map, u32 *key, u64 *value, struct state *state)
{
	*value += *key;
	state->sum += *value;
	return 0;
}

static long until(void *map, u32 *key, u64 *value, struct state *state)
{
	state->sum += ++*value;
	return *key > 12;
}

SEC("tc") int counts(struct skb *ctx)
{
	struct state state = { .limit = ctx->len / 8 };

	loop(20, turn, &state, 0);
	return state.sum;
}

SEC("tc") int loops_send(struct skb *ctx)
{
	struct state state = {};

	loop(30, sends, &state, 0);
	return state.sum;
}

SEC("tc") int nested_loops(struct skb *ctx)
{
	struct state state = {};

	loop(6, nests, &state, 0);
	return state.sum;
}

SEC("tc") int elements(struct skb *ctx)
{
	struct state state = {};
	u32 key = ctx->len;
	u64 value = 3;

	map_update_elem(&table, &key, &value, 0);
	for_each_map_elem(&list, until, &state, 0);
	for_each_map_elem(&table, element, &state, 0);
	return state.sum;
}
