/* Two types of the name that contradict each other: refused. */
#include "core.h"
struct contradicts { u32 value; } CORE;
SEC("raw_tracepoint/one") int one(void **ctx)
{
	struct contradicts *c = ctx[0];
	OUT(0, c->value);
	return 0;
}
