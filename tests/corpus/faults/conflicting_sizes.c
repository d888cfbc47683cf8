/* The size of the key is said twice, and not the same. */
#include "../kinds/bpf.h"

struct {
	FIELD(type, HASH);
	FIELD(max_entries, 1);
	FIELD(key_size, 4);
	TYPE(key, u64);
	TYPE(value, u64);
} conflicting SEC(".maps");

LICENSE("GPL");
