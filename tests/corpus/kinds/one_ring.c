/* One ring and one program: what an embedder's first object looks like. */
#include "bpf.h"

struct {
	FIELD(type, RINGBUF);
	FIELD(max_entries, 4096);
} events SEC(".maps");

struct {
	FIELD(type, ARRAY);
	FIELD(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u64);
} calls SEC(".maps");

/* Whose system calls; everybody's until it is set. */
const volatile u32 own = 0;

SEC("tracepoint/syscalls/sys_enter_getpgid") int sends(void *ctx)
{
	u32 zero = 0;
	u64 now, *count;

	if (own && get_current_pid_tgid() >> 32 != own)
		return 0;
	now = ktime_get_ns();
	count = map_lookup_elem(&calls, &zero);
	if (count)
		__sync_fetch_and_add(count, 1);
	ringbuf_output(&events, &now, sizeof(now), 0);
	return 0;
}

LICENSE("GPL");
