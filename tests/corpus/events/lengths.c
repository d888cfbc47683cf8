/* One ring with records of three lengths: two structures, and one that ends with as much text as there is. */
#include "events.h"

struct started { u32 pid; u32 parent; };
struct ended { u32 pid; s32 status; u64 time; };
struct message { u32 length; char text[]; };
DESCRIBED(struct started, started_type);
DESCRIBED(struct ended, ended_type);
DESCRIBED(struct message, message_type);

RING(events);
struct buffer { u32 length; char text[60]; };
const volatile u32 length = 5;

PROGRAM(sends)
{
	struct started s = { 1, 2 };
	struct ended e = { 1, -1, 99 };
	struct buffer m = { 5, "hello, and what is not sent" };

	ONLY_OWN;
	ringbuf_output(&events, &s, sizeof(s), 0);
	ringbuf_output(&events, &e, sizeof(e), 0);
	/* The length is worked out, as far as anybody can see. */
	ringbuf_output(&events, &m, 4 + (length & 31), 0);
	return 0;
}
