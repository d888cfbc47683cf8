/* Loads of fields that have grown or shrunk: unsigned ones and pointers follow, signed ones are poisoned. */
#include "core.h"
struct sizes { u32 u32_now_64; u64 u64_now_32; u16 u16_now_8; void *pointer; u32 array_now_16[4]; u8 truth; _Bool was_truth; } CORE;
struct sizes___signed { s32 s32_now_64; s32 s32_now_16; u16 u32_now_signed; } CORE;
struct sizes___minus { s32 minus; } CORE;
struct with_enum { enum { X } e; } CORE;
SEC("raw_tracepoint/one") int follow(void **ctx)
{
	struct sizes *s = ctx[0];
	OUT(0, s->u32_now_64); OUT(1, s->u64_now_32); OUT(2, s->u16_now_8); OUT(3, s->pointer); OUT(5, s->truth); OUT(6, s->was_truth);
	return 0;
}
SEC("raw_tracepoint/two") int cannot(void **ctx)
{
	struct sizes___signed *s = ctx[0];
	OUT(0, s->s32_now_64); OUT(1, s->s32_now_16); OUT(2, s->u32_now_signed);
	return 0;
}
SEC("raw_tracepoint/three") int element(void **ctx)
{
	struct sizes *s = ctx[0];
	OUT(0, s->array_now_16[1]);
	return 0;
}
SEC("raw_tracepoint/four") int whole_array(void **ctx)
{
	struct sizes *s = ctx[0];
	OUT(0, &s->array_now_16);
	OUT(1, BYTE_SIZE(s->array_now_16));
	OUT(2, BYTE_OFFSET(s->array_now_16));
	return 0;
}
SEC("raw_tracepoint/five") int minus(void **ctx)
{
	struct sizes___minus *s = ctx[0];
	OUT(0, (s64)s->minus);
	return 0;
}
