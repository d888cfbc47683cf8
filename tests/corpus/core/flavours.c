/* Flavours: the program's, of a field renamed; the kernel's, of a type compiled twice. */
#include "core.h"
struct flavoured { u32 renamed; } CORE;
struct flavoured___old { u32 first_name; } CORE;
struct two { u32 same; u32 a; u64 b; } CORE;
SEC("raw_tracepoint/one") int renamed(void **ctx)
{
	struct flavoured *now = ctx[0];
	struct flavoured___old *old = ctx[0];
	if (FIELD_EXISTS(old->first_name)) OUT(0, old->first_name);
	else OUT(0, now->renamed);
	return 0;
}
SEC("raw_tracepoint/two") int twice(void **ctx)
{
	struct two *t = ctx[0];
	OUT(0, t->same); OUT(1, FIELD_EXISTS(t->a)); OUT(2, t->a);
	return 0;
}
