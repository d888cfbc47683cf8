/* Programs of which not all can be attached by their sections, or run at all. */
#include "events.h"

struct event { u32 who; u32 what; };
DESCRIBED(struct event, event_type);
RING(events);

static INLINE int send(u32 who)
{
	struct event *e = ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e)
		return 0;
	e->who = who;
	e->what = own;
	ringbuf_submit(e, 0);
	return 0;
}

PROGRAM(runs)
{
	ONLY_OWN;
	return send(1);
}

/* Has no place. */
SEC("tracepoint") int placeless(void *ctx)
{
	ONLY_OWN;
	return send(2);
}

/* Has to be asked for. */
SEC("?tracepoint/syscalls/sys_enter_getpgid") int optional(void *ctx)
{
	ONLY_OWN;
	return send(3);
}

SEC("xdp") int packets(void *ctx)
{
	send(4);
	return 2;
}

/* The verifier refuses it. */
PROGRAM(wild)
{
	return *(u32 *)(u64)own;
}
