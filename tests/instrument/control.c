/* Control flow: branches, nested loops, early exits, switches. N is the number of turns. */
#include "common.h"

#ifndef N
#define N 8
#endif

u64 seen[16];

SEC("tc") int branches(struct skb *ctx)
{
	u32 length = ctx->len, sum = 0;

	if (length < 20)
		return 1;
	if (length & 1)
		sum += 3;
	else if (length & 2)
		sum += 5;
	else
		sum += length > 500 ? 7 : 11;
	if (sum == 7 || (sum == 11 && ctx->protocol))
		seen[1]++;
	seen[0] += sum;
	return sum;
}

SEC("tc") int nested(struct skb *ctx)
{
	u32 sum = 0;

	for (int outer = 0; outer < N; outer++) {
		for (int inner = 0; inner < N; inner++) {
			if (inner == outer)
				continue;
			if (((inner * outer) & 7) == 6)
				break;
			sum += inner ^ outer;
		}
		if (sum > 400)
			return sum;
	}
	seen[2] += sum;
	return sum;
}

SEC("tc") int early(struct skb *ctx)
{
	u8 *data = DATA(ctx), *end = END(ctx);

	for (int at = 0; at < 4 * N; at++) {
		if (data + at + 1 > end)
			return 100 + at;
		if (data[at] == 7)
			return at;
		if (data[at] > 200)
			goto out;
		seen[3] += data[at];
	}
	return 0;
out:
	seen[4]++;
	return 2;
}

SEC("tc") int switches(struct skb *ctx)
{
	u8 *data = DATA(ctx), *end = END(ctx);
	u32 answer = 0;

	if (data + 14 > end)
		return 2;
	for (int at = 0; at < 14; at++) {
		switch (data[at]) {
		case 0: answer += 1; break;
		case 2: answer += 20;
		case 7: answer += 300; break;
		case 0x08: seen[5]++; break;
		case 14: return answer;
		case 0x86: answer ^= 5; break;
		case 0xdd: answer *= 2; break;
		default: answer += data[at] / 3;
		}
	}
	return answer;
}
