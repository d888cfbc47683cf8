/* Calls: static and global functions, deep chains, spilled registers, stacks of up to STACK bytes. */
#include "common.h"

#ifndef STACK
#define STACK 400
#endif

u64 calls[4];

static NOINLINE u64 leaf(u64 one, u64 two, u64 three, u64 four, u64 five)
{
	calls[0]++;
	if (one > two)
		return three * four - five;
	return (one << 3) + two * five;
}

static NOINLINE u64 middle(u64 value, u32 depth)
{
	u64 sum = 0;

	/* 64 bits: without optimization the number is on the stack, where the verifier follows only whole slots. */
	for (u64 turn = 0; turn < 4; turn++)
		sum += leaf(value, turn, depth, sum, value ^ turn);
	calls[1]++;
	return sum;
}

static NOINLINE u64 top(u64 value)
{
	if (!value)
		return 5;
	return middle(value, 1) + middle(value + 1, 2);
}

NOINLINE u32 global_one(u32 value)
{
	calls[2]++;
	if (value & 1)
		return value * 3 + 1;
	return value / 2;
}

NOINLINE u32 global_two(struct skb *ctx, u32 value)
{
	for (u64 turn = 0; turn < 5; turn++)
		value = global_one(value);
	return value + ctx->len;
}

SEC("tc") int chain(struct skb *ctx)
{
	return top(ctx->len);
}

SEC("tc") int chain_twice(struct skb *ctx)
{
	if (ctx->len < 20)
		return leaf(1, 2, 3, 4, 5);
	return top(ctx->len) + top(ctx->protocol);
}

SEC("tc") int globals(struct skb *ctx)
{
	return global_two(ctx, ctx->len);
}

/* Twelve values live across calls: some are spilled. */
SEC("tc") int spills(struct skb *ctx)
{
	u64 a = ctx->len, b = ctx->mark, c = ctx->protocol, d = ctx->priority, e = ctx->hash, f = a + 1, g = b + 2, h = c + 3,
	    i = d + 4, j = e + 5, k = a ^ 6, l = b ^ 7;

	a += leaf(b, c, d, e, f);
	if (a & 1)
		g += leaf(h, i, j, k, l);
	return a + b * 2 + c * 3 + d * 4 + e * 5 + f * 6 + g * 7 + h * 8 + i * 9 + j * 10 + k * 11 + l * 12;
}

SEC("tc") int stack(struct skb *ctx)
{
	u8 bytes[STACK];

	__builtin_memset(bytes, 0, sizeof(bytes));
	if (skb_load_bytes(ctx, 0, bytes, 14))
		return 1;
	for (u64 at = 0; at < 14; at++)
		bytes[at + 14] += bytes[at];
	return bytes[16] + bytes[27] + bytes[STACK - 1];
}
