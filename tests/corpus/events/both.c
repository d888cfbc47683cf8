/* A perf buffer and a ring at once, with a structure each: what is sent by one is sent by the other, too. */
#include "events.h"

PERF(samples);
RING(events);

struct sample { u64 number; u32 cpu_time; char kind[7]; } __attribute__((packed));
struct event { u64 number; u64 square; };
DESCRIBED(struct sample, sample);
DESCRIBED(struct event, event);

u64 sent;

PROGRAM(sends)
{
	struct sample s = { .cpu_time = 7, .kind = "sample" };
	struct event *e;

	ONLY_OWN;
	s.number = __sync_fetch_and_add(&sent, 1);
	perf_event_output(ctx, &samples, THIS_CPU, &s, sizeof(s));
	e = ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	e->number = s.number;
	e->square = s.number * s.number;
	ringbuf_submit(e, 0);
	return 0;
}
