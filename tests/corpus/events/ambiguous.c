/* Two structures of the same size, and nothing that says which of them is sent. */
#include "events.h"

struct one { u32 first, second; };
struct other { u64 only; };
DESCRIBED(struct one, one_type);
DESCRIBED(struct other, other_type);

RING(events);

PROGRAM(sends)
{
	u64 e = 0x200000001ull;

	ONLY_OWN;
	ringbuf_output(&events, &e, sizeof(e), 0);
	return 0;
}
