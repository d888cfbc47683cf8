/* A map that asks to be pinned in a way that no loader knows. */
#include "events.h"

struct {
	FIELD(type, ARRAY);
	FIELD(max_entries, 1);
	FIELD(pinning, 7);
	TYPE(key, u32);
	TYPE(value, u32);
} kept SEC(".maps");

PROGRAM(sends)
{
	u32 zero = 0;
	return map_lookup_elem(&kept, &zero) != 0;
}
