/* An object that is replaced by its next version while somebody reads: both have the same maps, by their names. */
#include "bpf.h"

struct {
	FIELD(type, RINGBUF);
	FIELD(max_entries, 4096);
	FIELD(pinning, 1);
} events SEC(".maps");

struct {
	FIELD(type, ARRAY);
	FIELD(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u64);
	FIELD(pinning, 1);
} total SEC(".maps");

const volatile u32 own = 0;
/* What this version adds. */
const volatile u64 step = 1;

SEC("tracepoint/syscalls/sys_enter_getpgid") int adds(void *ctx)
{
	u32 zero = 0;
	u64 *sum;

	if (get_current_pid_tgid() >> 32 != own)
		return 0;
	sum = map_lookup_elem(&total, &zero);
	if (!sum)
		return 0;
	__sync_fetch_and_add(sum, step);
	ringbuf_output(&events, sum, sizeof(*sum), 0);
	return 0;
}

LICENSE("GPL");
