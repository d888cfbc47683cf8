/* A type without a name cannot be looked for: refused. */
#include "core.h"
SEC("raw_tracepoint/one") int one(void **ctx)
{
	struct { int x; } CORE *a = ctx[0];
	OUT(0, a->x);
	return 0;
}
