/* The number of a type that the kernel has twice: refused; its existence is beyond doubt. */
#include "core.h"
struct contradicts { u32 value; };
SEC("raw_tracepoint/one") int one(void **ctx)
{
	OUT(0, TYPE_EXISTS(struct contradicts)); OUT(1, TYPE_ID_TARGET(struct contradicts));
	return 0;
}
