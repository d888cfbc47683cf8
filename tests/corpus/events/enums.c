/* Enumerations: one that is negative, one of bits, one value that has no name. */
#include "events.h"

enum verdict { REFUSED = -1, UNDECIDED, ALLOWED };
enum access { READS = 1, WRITES = 2, RUNS = 4 };

RING(events);
struct decision {
	enum verdict verdict, other, nameless;
	enum access one, both, more;
};
DESCRIBED(struct decision, decision);

PROGRAM(sends)
{
	struct decision *e;

	ONLY_OWN;
	e = ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	e->verdict = REFUSED;
	e->other = ALLOWED;
	e->nameless = 77;
	e->one = WRITES;
	e->both = READS | RUNS;
	e->more = WRITES | 64;
	ringbuf_submit(e, 0);
	return 0;
}
