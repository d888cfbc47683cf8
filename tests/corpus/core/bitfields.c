/* Bit fields: where the word to load is, how large it is, how far to shift. */
#include "core.h"
struct bits { u32 a : 3; s32 b : 7; u64 c : 40; u8 d : 1; u32 whole : 10; u32 was_whole; u64 wide : 20; } CORE;
struct straddles { u32 e : 4; u16 f : 13; u8 g : 5; } CORE;
#define ALL(n, field) OUT(n, BYTE_OFFSET(field)); OUT(n + 1, BYTE_SIZE(field)); OUT(n + 2, SIGNED(field)); OUT(n + 3, LEFT_SHIFT(field)); OUT(n + 4, RIGHT_SHIFT(field)); OUT(n + 5, FIELD_EXISTS(field))
SEC("raw_tracepoint/one") int one(void **ctx)
{
	struct bits *b = ctx[0];
	ALL(0, b->a); ALL(6, b->b); ALL(12, b->c); ALL(18, b->d); ALL(24, b->whole); ALL(30, b->was_whole); ALL(36, b->wide);
	return 0;
}
SEC("raw_tracepoint/two") int two(void **ctx)
{
	struct straddles *s = ctx[0];
	ALL(0, s->e); ALL(12, s->g);
	return 0;
}
SEC("raw_tracepoint/three") int direct(void **ctx)
{
	struct bits *b = ctx[0];
	OUT(0, b->a); OUT(1, b->b); OUT(2, b->d);
	return 0;
}
