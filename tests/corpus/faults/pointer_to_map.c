/* A pointer to a description is no description. */
#include "../kinds/bpf.h"

struct description {
	FIELD(type, HASH);
	FIELD(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u64);
};
struct description *pointer SEC(".maps");

LICENSE("GPL");
