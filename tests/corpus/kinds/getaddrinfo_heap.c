/* The event is built in a map's only value, one for each CPU, and copied into a perf buffer. */
#include "getaddrinfo.h"

struct {
	FIELD(type, PERF_EVENT_ARRAY);
	FIELD(key_size, 4);
	FIELD(value_size, 4);
} events SEC(".maps");

struct {
	FIELD(type, PERCPU_ARRAY);
	FIELD(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, struct event);
} heap SEC(".maps");

SEC("uretprobe/libc.so.6:getaddrinfo") int leave(u64 *registers)
{
	u32 zero = 0;
	struct event *event = map_lookup_elem(&heap, &zero);

	if (event && fill(event, registers))
		perf_event_output(registers, &events, 0xffffffff, event, sizeof(*event));
	return 0;
}
