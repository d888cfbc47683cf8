/* Floating point numbers, which programs can carry and not compute; and a structure that has a name by typedef alone. */
#include "events.h"

RING(events);
typedef struct {
	float ratio;
	float missing;
	double amount;
} measure;
DESCRIBED(measure, measure_type);

PROGRAM(sends)
{
	u64 *e;

	ONLY_OWN;
	e = ringbuf_reserve(&events, sizeof(measure), 0);
	if (!e)
		return 0;
	e[0] = 0x7fc000003fc00000ull; /* 1.5, no number */
	e[1] = 0xc000000000000000ull; /* -2.0 */
	ringbuf_submit(e, 0);
	return 0;
}
