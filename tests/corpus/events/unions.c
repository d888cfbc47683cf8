/* Unions, with and without names: all their readings are told. */
#include "events.h"

union address { u8 v4[4]; u32 word; };

RING(events);
struct packet {
	union address source;
	union { u16 port; u8 half[2]; };
	u16 length;
	union { struct { u32 low, high; } halves; s64 whole; } value;
};
DESCRIBED(struct packet, packet);

PROGRAM(sends)
{
	struct packet *e;

	ONLY_OWN;
	e = ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	e->source.word = 0x0100007f;
	e->port = 0x5000;
	e->length = 60;
	e->value.whole = -2;
	ringbuf_submit(e, 0);
	return 0;
}
