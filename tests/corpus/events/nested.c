/* Structures in structures, with and without names, and an array of them. */
#include "events.h"

struct point { s32 x, y; };
struct where { struct point from, to; char *name; };

RING(events);
struct move {
	struct where where;
	struct { u16 port; u16 flags; };
	struct point path[3];
	const volatile u32 last;
};
DESCRIBED(struct move, move);

PROGRAM(sends)
{
	struct move *e;

	ONLY_OWN;
	e = ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	e->where.from.x = 1;
	e->where.from.y = -1;
	e->where.to.x = 2;
	e->where.to.y = -2;
	e->where.name = (char *)0x1234abcd;
	e->port = 80;
	e->flags = 3;
	for (int i = 0; i < 3; i++) {
		e->path[i].x = i;
		e->path[i].y = -i;
	}
	*(u32 *)&e->last = 9;
	ringbuf_submit(e, 0);
	return 0;
}
