/* An object of which every part has a type: counts per process in a map, records in a ring, global variables. */
#include "../kinds/bpf.h"

typedef _Bool bool;

enum verdict { VERDICT_NONE, VERDICT_SEEN = 3, VERDICT_LAST = 0x10000 };

struct key {
	u32 pid;
	u16 kind;
	char tag[2];
};

struct counts {
	u64 calls;
	enum verdict verdict;
	bool seen;
};

struct event {
	u64 time;
	u32 pid;
	enum verdict verdict;
	u32 low : 5, high : 27;
	s32 change : 3;
	union {
		u32 word;
		u8 bytes[4];
	};
	char comm[16];
};

struct {
	FIELD(type, HASH);
	FIELD(max_entries, 16);
	TYPE(key, struct key);
	TYPE(value, struct counts);
} counted SEC(".maps");

struct {
	FIELD(type, RINGBUF);
	FIELD(max_entries, 4096);
} events SEC(".maps");

/* Whose system calls. */
const volatile u32 own = 0;
const volatile struct { u16 kind; char tag[2]; } label = { 7, "x" };

u64 total;
s32 steps[4] = { 1, -2, 3, -4 };

SEC("tracepoint/syscalls/sys_enter_getpgid") int on_getpgid(void *ctx)
{
	struct key key = { .kind = label.kind, .tag = { label.tag[0], label.tag[1] } };
	struct counts one = { .verdict = VERDICT_SEEN, .seen = 1 }, *counts;
	struct event *event;
	u32 pid = get_current_pid_tgid() >> 32;

	if (pid != own)
		return 0;
	key.pid = pid;
	map_update_elem(&counted, &key, &one, 1 /* BPF_NOEXIST */);
	counts = map_lookup_elem(&counted, &key);
	if (counts)
		__sync_fetch_and_add(&counts->calls, 1);
	__sync_fetch_and_add(&total, 1);
	event = ringbuf_reserve(&events, sizeof(struct event), 0);
	if (!event)
		return 0;
	event->time = ktime_get_ns();
	event->pid = pid;
	event->verdict = VERDICT_LAST;
	event->low = 21;
	event->high = 0x7654321;
	event->change = -3;
	event->word = 0x04030201;
	__builtin_memcpy(event->comm, "typed", 6);
	ringbuf_submit(event, 0);
	return 0;
}

/* Compilers describe a type in BTF if a global variable has to do with it. */
const struct event *unused_event;

LICENSE("GPL");
