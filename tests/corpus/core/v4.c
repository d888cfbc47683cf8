/* The newest instruction set: loads that extend the sign follow a signed field that has grown, constants are stored. */
#include "core.h"
struct sizes { s32 s32_now_64; s32 s32_now_16; s16 minus; u32 u32_now_64; u64 u64_now_32; u16 u16_now_8; } CORE;
SEC("raw_tracepoint/one") int loads(void **ctx)
{
	struct sizes *s = ctx[0];
	OUT(0, (s64)s->s32_now_64); OUT(1, (s64)s->s32_now_16); OUT(2, (s64)s->minus);
	return 0;
}
SEC("raw_tracepoint/two") int stores(void **ctx)
{
	struct sizes *s = ctx[0];
	s->u32_now_64 = 7; s->u64_now_32 = 8; s->u16_now_8 = 9;
	return 0;
}
