/* The event is built on the stack, and copied into a perf buffer. */
#include "getaddrinfo.h"

struct {
	FIELD(type, PERF_EVENT_ARRAY);
	FIELD(key_size, 4);
	FIELD(value_size, 4);
} events SEC(".maps");

SEC("uretprobe/libc.so.6:getaddrinfo") int leave(u64 *registers)
{
	struct event event = {};

	if (fill(&event, registers))
		perf_event_output(registers, &events, 0xffffffff, &event, sizeof(event));
	return 0;
}
