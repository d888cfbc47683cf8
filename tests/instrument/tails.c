/* Tail calls, which leave a program in its middle: to a program, to an empty slot, in a subprogram. */
#include "common.h"

int first(struct skb *ctx);
int second(struct skb *ctx);

struct {
	FIELD(type, 3);
	FIELD(max_entries, 4);
	FIELD(key_size, 4);
	int (*values[])(struct skb *);
} table SEC(".maps") = { .values = { [0] = first, [1] = second } };

u64 reached[4];

SEC("tc") int first(struct skb *ctx)
{
	reached[0]++;
	if (ctx->len > 60)
		tail_call(ctx, &table, 1);
	return 10;
}

SEC("tc") int second(struct skb *ctx)
{
	reached[1]++;
	return 20;
}

static NOINLINE int leaves(struct skb *ctx)
{
	tail_call(ctx, &table, ctx->len & 1);
	reached[2]++;
	return 3;
}

SEC("tc") int jumps(struct skb *ctx)
{
	tail_call(ctx, &table, 3);
	reached[3]++;
	if (ctx->len < 20)
		return 4;
	tail_call(ctx, &table, 0);
	return 5;
}

SEC("tc") int calls(struct skb *ctx)
{
	return leaves(ctx) + 100;
}
