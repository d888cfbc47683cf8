/* A program that uses maps of many kinds, and says which of them did what they should. */
#include "bpf.h"

#define MAP(name, kind, key_type, value_type, flags)                                                                     \
	struct {                                                                                                         \
		FIELD(type, kind);                                                                                       \
		FIELD(max_entries, 8);                                                                                   \
		FIELD(map_flags, flags);                                                                                 \
		TYPE(key, key_type);                                                                                     \
		TYPE(value, value_type);                                                                                 \
	} name SEC(".maps")
#define VALUES(name, kind)                                                                                               \
	struct {                                                                                                         \
		FIELD(type, kind);                                                                                       \
		FIELD(max_entries, 8);                                                                                   \
		TYPE(value, u64);                                                                                        \
	} name SEC(".maps")

struct lpm_key { u32 prefix; u32 address; };

MAP(hash, HASH, u64, u64, 0);
MAP(array, ARRAY, u32, u64[4][8], 0);
MAP(percpu_hash, PERCPU_HASH, u64, u64, 0);
MAP(percpu_array, PERCPU_ARRAY, u32, u64, 0);
MAP(lru_hash, LRU_HASH, u64, u64, 0);
MAP(lru_percpu_hash, LRU_PERCPU_HASH, u64, u64, 0);
MAP(lpm, LPM_TRIE, struct lpm_key, u64, NO_PREALLOC);
VALUES(queue, QUEUE);
VALUES(stack, STACK);

struct inner {
	FIELD(type, ARRAY);
	FIELD(max_entries, 2);
	TYPE(key, u32);
	TYPE(value, u64);
} first SEC(".maps"), second SEC(".maps");

struct {
	FIELD(type, ARRAY_OF_MAPS);
	FIELD(max_entries, 4);
	TYPE(key, u32);
	HOLDS(struct inner);
} maps SEC(".maps") = { .values = { [1] = &first, [3] = &second } };

int tail(void *ctx);

struct {
	FIELD(type, PROG_ARRAY);
	FIELD(max_entries, 4);
	FIELD(key_size, 4);
	int (*values[])(void *);
} programs SEC(".maps") = { .values = { [2] = tail } };

struct event { u64 done; u64 sum; };

struct {
	FIELD(type, RINGBUF);
	FIELD(max_entries, 4096);
} events SEC(".maps");

u32 own;
u64 done, sum;

/* Writes 40 + n under the key n, and reads it again. */
#define WORKS(bit, map, key_type, ...)                                                                                   \
	{                                                                                                                \
		key_type key = { __VA_ARGS__ };                                                                          \
		u64 value[32] = { 40 + bit };                                                                            \
		map_update_elem(&map, &key, value, 0);                                                                   \
		u64 *found = map_lookup_elem(&map, &key);                                                                \
		if (found && *found == 40 + bit)                                                                         \
			mask |= 1 << bit;                                                                                \
	}
#define PASSES(bit, map)                                                                                                 \
	{                                                                                                                \
		u64 in = 40 + bit, out = 0;                                                                              \
		map_push_elem(&map, &in, 0);                                                                             \
		if (!map_pop_elem(&map, &out) && out == 40 + bit)                                                        \
			mask |= 1 << bit;                                                                                \
	}
#define HOLDS_MAP(bit, place)                                                                                            \
	{                                                                                                                \
		u32 key = place, one = 1;                                                                                \
		u64 value = 40 + bit;                                                                                    \
		void *inner = map_lookup_elem(&maps, &key);                                                              \
		if (inner) {                                                                                             \
			map_update_elem(inner, &one, &value, 0);                                                         \
			mask |= 1 << bit;                                                                                \
		}                                                                                                        \
	}

SEC("raw_tp/sys_enter") int uses(void *ctx)
{
	u64 mask = 0;

	if (get_current_pid_tgid() >> 32 != own)
		return 0;
	WORKS(0, hash, u64, 1)
	WORKS(1, array, u32, 1)
	WORKS(2, percpu_hash, u64, 1)
	WORKS(3, percpu_array, u32, 1)
	WORKS(4, lru_hash, u64, 1)
	WORKS(5, lru_percpu_hash, u64, 1)
	WORKS(6, lpm, struct lpm_key, 8, 1)
	PASSES(7, queue)
	PASSES(8, stack)
	HOLDS_MAP(9, 1)
	HOLDS_MAP(10, 3)
	done = mask;
	tail_call(ctx, &programs, 2);
	return 0;
}

SEC("raw_tp/sys_enter") int tail(void *ctx)
{
	struct event *event;
	u32 place = 1;
	u64 *value;

	if (get_current_pid_tgid() >> 32 != own)
		return 0;
	event = ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	value = map_lookup_elem(&first, &place);
	event->sum = value ? *value : 0;
	event->done = done;
	ringbuf_submit(event, 0);
	return 0;
}

LICENSE("GPL");
