/* Of two types of the name the first question leaves one: the second question, for what only the other has, finds nothing. */
#include "core.h"
struct two { u32 a; u64 b; } CORE;
SEC("raw_tracepoint/one") int one(void **ctx)
{
	struct two *t = ctx[0];
	OUT(0, FIELD_EXISTS(t->a)); OUT(1, FIELD_EXISTS(t->b));
	return 0;
}
