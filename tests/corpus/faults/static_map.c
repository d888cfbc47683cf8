/* Of a static map only its place is known to the instruction that uses it. */
#include "../kinds/bpf.h"

static struct {
	FIELD(type, ARRAY);
	FIELD(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u64);
} unused SEC(".maps"), counts SEC(".maps");

SEC("raw_tp/sys_enter") int counting(void *ctx)
{
	u32 key = 0;
	u64 one = 1;
	return map_update_elem(&counts, &key, &one, 0);
}

LICENSE("GPL");
