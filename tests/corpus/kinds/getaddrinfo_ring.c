/* The event is built where user space will read it. */
#include "getaddrinfo.h"

struct {
	FIELD(type, RINGBUF);
	FIELD(max_entries, 262144);
} events SEC(".maps");

SEC("uretprobe/libc.so.6:getaddrinfo") int leave(u64 *registers)
{
	struct event *event = ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return 0;
	if (fill(event, registers))
		ringbuf_submit(event, 0);
	else
		ringbuf_discard(event, 0);
	return 0;
}
