/* Records that are longer than their type, which ends flexibly; lengths that the programs' instructions show. */
#include "events.h"

/* Described by its author; 12 bytes, and an old-fashioned array without elements at the end. */
struct list { u32 kind; u32 padding[0]; u32 flags; u32 count; u32 each[0]; };
DESCRIBED(struct list, list_type) __attribute__((unused));

/* Of a record's size, but nobody describes it on purpose. */
struct lookalike { u32 five[5]; };
struct lookalike other;
RING(declared);

/* Described, too, and of exactly the size. */
struct exact { u64 a, b, c; };
DESCRIBED(struct exact, exact_type) __attribute__((unused));
RING(sized);

PROGRAM(sends)
{
	u32 words[6] = { 1, 2, 2, 4, 5, 6 };
	u64 three[3] = { 7, 8, 9 };

	ONLY_OWN;
	ringbuf_output(&declared, words, 20, 0);
	ringbuf_output(&declared, words, 12, 0);
	ringbuf_output(&sized, three, 24, 0);
	ringbuf_output(&sized, words, 16, 0);
	return other.five[0];
}
