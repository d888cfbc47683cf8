/* A bit field that in the kernel lies across two words of 64 bits. */
#include "core.h"
struct straddles { u16 f : 13; } CORE;
SEC("raw_tracepoint/one") int one(void **ctx)
{
	struct straddles *s = ctx[0];
	OUT(0, BYTE_OFFSET(s->f)); OUT(1, RIGHT_SHIFT(s->f));
	return 0;
}
