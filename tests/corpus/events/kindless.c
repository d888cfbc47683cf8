/* Functions that are no programs as they stand: one is static, the section of the other names no kind of program. */
#include "events.h"

RING(events);
DESCRIBED(struct event, event_type);
struct event { u32 who; };

SEC("tracepoint/syscalls/sys_enter_getpgid") static int hidden(void *ctx)
{
	return 0;
}
void *kept SEC(".keep") = hidden;

SEC("probes") int named(void *ctx)
{
	struct event *e;

	ONLY_OWN;
	e = ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	e->who = 5;
	ringbuf_submit(e, 0);
	return 0;
}
