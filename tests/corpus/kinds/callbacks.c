/* Functions that the kernel calls back. */
#include "bpf.h"

struct {
	FIELD(type, RINGBUF);
	FIELD(max_entries, 4096);
} events SEC(".maps");

struct {
	FIELD(type, ARRAY);
	FIELD(max_entries, 4);
	TYPE(key, u32);
	TYPE(value, u64);
} values SEC(".maps");

u32 own;

static long one_element(void *map, const u32 *key, u64 *value, u64 *sum)
{
	*value = *key + 1;
	*sum += *value;
	return 0;
}

HIDDEN NOINLINE long one_round(u32 index, void *ctx)
{
	return 0;
}

static long one_more_round(u32 index, u64 *sum)
{
	*sum += 100;
	return index == 4;
}

SEC("raw_tp/sys_enter") int calls_back(void *ctx)
{
	u64 sum = 0;

	if (get_current_pid_tgid() >> 32 != own)
		return 0;
	for_each_map_elem(&values, one_element, &sum, 0);
	loop(10, one_more_round, &sum, 0);
	loop(3, one_round, 0, 0);
	ringbuf_output(&events, &sum, sizeof(sum), 0);
	return 0;
}

LICENSE("GPL");
