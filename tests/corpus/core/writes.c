/* Stores: of registers, and, with newer instruction sets, of constants; sizes change with the fields. */
#include "core.h"
struct moved { u64 a; u32 b; } CORE;
struct sizes { u32 u32_now_64; u64 u64_now_32; u16 u16_now_8; s32 s32_now_64; } CORE;
SEC("raw_tracepoint/one") int stores(void **ctx)
{
	struct moved *m = ctx[0];
	struct sizes *s = ctx[1];
	m->a = (u64)ctx[2];
	m->b = (u32)(u64)ctx[3];
	s->u32_now_64 = (u32)(u64)ctx[4];
	s->u64_now_32 = (u64)ctx[5];
	s->u16_now_8 = 7;
	m->b = 5;
	m->a = 6;
	return 0;
}
SEC("raw_tracepoint/two") int signed_store(void **ctx)
{
	struct sizes *s = ctx[1];
	s->s32_now_64 = (s32)(u64)ctx[2];
	return 0;
}
SEC("raw_tracepoint/three") int atomic(void **ctx)
{
	struct moved *m = ctx[0];
	__sync_fetch_and_add(&m->b, 1);
	return 0;
}
