/* A function whose branches are nearly as long as 16 bits can encode. TIMES is the number of blocks of 7 instructions. */
#include "common.h"

#ifndef TIMES
#define TIMES 4000
#endif

u64 total;

SEC("tc") int far(struct skb *ctx)
{
	u64 length = ctx->len, sum = 0;

	asm volatile("if %[length] > 100 goto 1f\n"
		     ".rept %[times]\n"
		     "%[sum] += %[length]\n"
		     "%[sum] ^= 7\n"
		     "%[sum] <<= 1\n"
		     "%[sum] += 5\n"
		     "if %[sum] == 3 goto 2f\n"
		     "2:\n"
		     "%[sum] >>= 1\n"
		     "%[sum] += 1\n"
		     ".endr\n"
		     "1:\n"
		     : [sum] "+r"(sum)
		     : [length] "r"(length), [times] "i"(TIMES));
	total += sum;
	return sum;
}
