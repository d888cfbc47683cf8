/* A way of pinning that there is not. */
#include "../kinds/bpf.h"

struct {
	FIELD(type, HASH);
	FIELD(max_entries, 1);
	FIELD(pinning, 2);
	TYPE(key, u32);
	TYPE(value, u64);
} elsewhere SEC(".maps");

LICENSE("GPL");
