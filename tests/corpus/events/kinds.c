/* Maps of every kind that has elements to show, and of kinds that have none. */
#include "events.h"

struct key { u32 pid; char comm[16]; };
struct hist { u64 count; u64 slots[16]; };

struct { FIELD(type, HASH); FIELD(max_entries, 64); TYPE(key, u32); TYPE(value, u64); } by_size SEC(".maps");
struct { FIELD(type, PERCPU_HASH); FIELD(max_entries, 8); TYPE(key, struct key); TYPE(value, u64); } per_cpu SEC(".maps");
struct { FIELD(type, ARRAY); FIELD(max_entries, 32); TYPE(key, u32); TYPE(value, u64); } latency_log2 SEC(".maps");
struct { FIELD(type, PERCPU_ARRAY); FIELD(max_entries, 16); TYPE(key, u32); TYPE(value, u32); } sizes_hist SEC(".maps");
struct { FIELD(type, HASH); FIELD(max_entries, 8); TYPE(key, u32); TYPE(value, struct hist); } shaped SEC(".maps");
struct { FIELD(type, QUEUE); FIELD(max_entries, 4); TYPE(value, u32); } queue SEC(".maps");
struct { FIELD(type, BLOOM_FILTER); FIELD(max_entries, 4); FIELD(value_size, 4); } bloom SEC(".maps");
struct { FIELD(type, STACK_TRACE); FIELD(max_entries, 64); FIELD(key_size, 4); FIELD(value_size, 1016); } stacks SEC(".maps");
struct { FIELD(type, HASH); FIELD(max_entries, 8); TYPE(key, struct { u32 pid; s32 kernel_stack; s32 user_stack; }); TYPE(value, u64); } samples SEC(".maps");
struct { FIELD(type, PROG_ARRAY); FIELD(max_entries, 2); FIELD(key_size, 4); FIELD(value_size, 4); } jumps SEC(".maps");
struct {
	FIELD(type, TASK_STORAGE);
	FIELD(map_flags, LOCAL_STORAGE);
	TYPE(key, int);
	TYPE(value, u64);
} tasks SEC(".maps");

static INLINE void add(void *map, const void *key, u64 value)
{
	u64 *known = map_lookup_elem(map, key);

	if (known)
		*known += value;
	else
		map_update_elem(map, key, &value, 0);
}

PROGRAM(counts)
{
	struct key key = { own, "counts" };
	struct { u32 pid; s32 kernel_stack, user_stack; } sample = { own };
	static struct hist empty;
	struct hist *hist;
	u32 sizes[3] = { 8, 512, 64 };
	u32 *size, pid = own;

	ONLY_OWN;
	for (u32 i = 0; i < 3; i++)
		add(&by_size, &sizes[i], sizes[i] * 2);
	add(&per_cpu, &key, 5);
	/* The counter must stay in a register: kernels up to 6.12 at least find an infinite loop where it is on the stack. */
	for (u32 i = 4; i < 8; i++) {
		u32 bucket = i;

		add(&latency_log2, &bucket, 8 - i);
	}
	u32 third = 3;
	size = map_lookup_elem(&sizes_hist, &third);
	if (size)
		*size += 2;
	map_update_elem(&shaped, &third, &empty, 1);
	hist = map_lookup_elem(&shaped, &third);
	if (hist) {
		hist->count += 3;
		hist->slots[2] += 1;
		hist->slots[5] += 2;
	}
	map_push_elem(&queue, &pid, 0);
	map_push_elem(&bloom, &pid, 0);
	sample.kernel_stack = get_stackid(ctx, &stacks, 0);
	sample.user_stack = get_stackid(ctx, &stacks, 1 << 8); /* BPF_F_USER_STACK */
	add(&samples, &sample, 1);
	return 0;
}
