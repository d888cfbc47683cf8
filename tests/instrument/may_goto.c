/* Loops that end by may_goto (Linux 6.9), which is an instruction since 6.13 in clang 19's assembler. */
#include "common.h"

u64 turns, numbers[64];

#define CAN_LOOP \
	({ \
		__label__ end, next; \
		int can = 1; \
		asm volatile goto("may_goto %l[end]" : : : : end); \
		goto next; \
	end: \
		can = 0; \
	next:; \
		can; \
	})

SEC("tc") int bounded(struct skb *ctx)
{
	u32 sum = 0;

	for (u32 turn = 0; turn < ctx->len && CAN_LOOP; turn++) {
		sum += turn;
		if (sum > 5000)
			break;
		numbers[turn & 63]++;
	}
	turns += sum;
	return sum;
}

SEC("syscall") int searches(void *ctx)
{
	int at;

	for (at = 0; at < 64 && CAN_LOOP; at++) {
		if (numbers[at & 63] == 12345)
			return at;
		numbers[at & 63] = at * 3;
	}
	return -1;
}
