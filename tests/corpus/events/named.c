/* Two structures of the same size; the line of source that reserves says which it is. */
#include "events.h"

struct one { u32 first, second; };
struct other { u64 only; };
DESCRIBED(struct one, one_type);
DESCRIBED(struct other, other_type);

RING(events);

PROGRAM(sends)
{
	ONLY_OWN;
	struct one *e = ringbuf_reserve(&events, sizeof(struct one), 0);
	if (!e)
		return 0;
	e->first = 1;
	e->second = 2;
	ringbuf_submit(e, 0);
	return 0;
}
