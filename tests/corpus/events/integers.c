/* Integers of all widths and both signs, at their limits. */
#include "events.h"

RING(events);
struct integers {
	u8 u8_most;
	s8 s8_least;
	u16 u16_most;
	s16 s16_least;
	u32 u32_most;
	s32 s32_least;
	u64 u64_most;
	s64 s64_least;
	bool yes, no;
	char letter;
	u32 pid;
};
DESCRIBED(struct integers, integers);

PROGRAM(sends)
{
	struct integers *e;

	ONLY_OWN;
	e = ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	e->u8_most = 255;
	e->s8_least = -128;
	e->u16_most = 65535;
	e->s16_least = -32768;
	e->u32_most = -1;
	e->s32_least = 1u << 31;
	e->u64_most = -1;
	e->s64_least = 1ull << 63;
	e->yes = 1;
	e->no = 0;
	e->letter = 'x';
	e->pid = get_current_pid_tgid() >> 32;
	ringbuf_submit(e, 0);
	return 0;
}
