/* A large event, built in a per-CPU array and sent by a perf buffer: the array's value describes it. */
#include "events.h"

struct large { u32 pid; u32 length; char text[600]; u64 end; };

PERF(events);
struct {
	FIELD(type, PERCPU_ARRAY);
	FIELD(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, struct large);
} heap SEC(".maps");

PROGRAM(sends)
{
	u32 zero = 0;
	struct large *e;

	ONLY_OWN;
	e = map_lookup_elem(&heap, &zero);
	if (!e)
		return 0;
	e->pid = own;
	e->length = 599;
	for (int i = 0; i < 599; i++)
		e->text[i] = 'a' + i % 26;
	e->end = 42;
	perf_event_output(ctx, &events, THIS_CPU, e, sizeof(*e));
	return 0;
}
