/* A structure of settings, whose members are set one by one, and which is sent. */
#include "events.h"

enum mode { OFF, SLOW, FAST };

struct settings {
	u32 level;
	s32 ports[3];
	struct { enum mode mode; bool loud; };
	struct { char name[8]; u64 limits[2]; } target;
	u32 low : 4, high : 12;
};

const volatile struct settings cfg = { .level = 1, .ports = { 7, 8, 9 }, .target = { "any", { 5, 6 } }, .high = 3 };
u16 table[2][3] = { { 1, 2, 3 }, { 4, 5, 6 } };
struct { u64 first, second; } pairs[2];

RING(events);
struct sent {
	struct settings settings;
	u16 table[2][3];
	u64 second;
};
DESCRIBED(struct sent, sent);

PROGRAM(sends)
{
	struct sent *e;

	ONLY_OWN;
	e = ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	e->settings = cfg;
	__builtin_memcpy(e->table, table, sizeof(table));
	e->second = pairs[1].second;
	ringbuf_submit(e, 0);
	return 0;
}
