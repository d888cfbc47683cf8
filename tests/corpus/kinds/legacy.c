/* Maps as they were described before there was BTF: five numbers, and what some loaders put behind them. Global data needs no
 * BTF either. */
#include "bpf.h"

struct map {
	u32 type, key_size, value_size, max_entries, flags;
};

struct longer_map {
	u32 type, key_size, value_size, max_entries, flags, id, pinning;
};

struct map SEC("maps") hash = { HASH, 4, 8, 8, NO_PREALLOC };
struct longer_map SEC("maps") array = { .type = ARRAY, .key_size = 4, .value_size = 8, .max_entries = 2 };
struct map SEC("maps") events = { PERF_EVENT_ARRAY, 4, 4, 0, 0 };

const volatile u32 step = 5;
u32 own;

static NOINLINE u64 counted(u32 key)
{
	u64 *value = map_lookup_elem(&array, &key);

	if (!value)
		return 0;
	*value += step;
	return *value;
}

SEC("tracepoint/syscalls/sys_enter_getpgid") int counts(void *ctx)
{
	u32 key = 1;
	u64 value;

	if (get_current_pid_tgid() >> 32 != own)
		return 0;
	value = counted(key);
	map_update_elem(&hash, &key, &value, 0);
	perf_event_output(ctx, &events, 0xffffffff, &value, sizeof(value));
	return 0;
}

LICENSE("GPL");
