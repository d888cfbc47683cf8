/* A map that asks to be pinned; no other of its numbers is 1, so that a test can find the one that says so. */
#include "events.h"

struct {
	FIELD(type, ARRAY);
	FIELD(max_entries, 77);
	FIELD(pinning, 1);
	TYPE(key, u32);
	TYPE(value, u32);
} kept SEC(".maps");

PROGRAM(sends)
{
	u32 zero = 0;
	return map_lookup_elem(&kept, &zero) != 0;
}
