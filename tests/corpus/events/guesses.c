/* Types by which a record may be read, and by which it may not. */
#include "events.h"

/* The key of a map, of the size of what is sent: no candidate. */
struct place { u32 where; };
struct {
	FIELD(type, HASH);
	FIELD(max_entries, 8);
	TYPE(key, struct place);
	TYPE(value, u32);
} seen SEC(".maps");

/* What is sent is on the stack alone, so that the compiler describes it nowhere. */
RING(plain);

/* Two of one size, one of them of the kernel's own: the other one is left, and is a guess. */
struct list_head { struct list_head *next, *prev; };
struct pair { u64 first, second; };
struct list_head list;
struct pair last;
RING(guessed);

/* Two of one size, and a pointer to one of them, as authors declare it. */
struct report { u64 a, b, c; };
struct lookalike { u64 a, b, c; };
const DESCRIBED(struct report, report_type) __attribute__((unused));
struct lookalike other;
RING(declared);

PROGRAM(sends)
{
	struct place key = { 7 };
	u32 *found;
	u32 number = 42;
	u64 two[2] = { 1, 2 };
	u64 three[3] = { 3, 4, 5 };

	ONLY_OWN;
	found = map_lookup_elem(&seen, &key);
	if (found)
		number = 43;
	ringbuf_output(&plain, &number, 4, 0);
	ringbuf_output(&guessed, two, 16, 0);
	ringbuf_output(&declared, three, 24, 0);
	return list.next == &list && last.first && other.a;
}
