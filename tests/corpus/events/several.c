/* Three rings with a structure each, and a fourth that nobody writes to. */
#include "events.h"

struct opened { u32 fd; char path[12]; };
struct closed { u32 fd; };
struct counted { u64 bytes; u64 calls; u64 errors; };
DESCRIBED(struct opened, opened_type);
DESCRIBED(struct closed, closed_type);
DESCRIBED(struct counted, counted_type);

RING(opened);
RING(closed);
RING(counted);
RING(unused);

PROGRAM(sends)
{
	struct opened o = { 3, "/dev/null" };
	struct closed c = { 3 };
	struct counted n = { 100, 2, 1 };

	ONLY_OWN;
	ringbuf_output(&opened, &o, sizeof(o), 0);
	ringbuf_output(&closed, &c, sizeof(c), 0);
	ringbuf_output(&counted, &n, sizeof(n), 0);
	return 0;
}
