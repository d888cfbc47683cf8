/* What the three programs share: what they send of an answer of getaddrinfo(3). */
#pragma once
#include "bpf.h"

/* struct addrinfo and struct sockaddr_in of a 64-bit C library. */
struct addrinfo {
	s32 flags, family, socktype, protocol;
	u32 addrlen, padding;
	u64 addr, canonname, next;
};

struct sockaddr { u16 family; u8 rest[26]; };

struct event {
	u64 time;
	u32 pid, tid, uid;
	s32 answer;
	char comm[16];
	s32 flags, family, socktype, protocol;
	u32 addrlen;
	struct sockaddr addr;
};

struct entry { u64 result; };

/* The place that the caller wants its answer in, by thread. */
struct {
	FIELD(type, HASH);
	FIELD(max_entries, 1024);
	TYPE(key, u64);
	TYPE(value, struct entry);
} entries SEC(".maps");

#if defined(__TARGET_ARCH_arm64)
#define ARGUMENT(registers, number) ((registers)[number])
#define ANSWER(registers) ((registers)[0])
#else /* x86: rdi, rsi, rdx, rcx, and rax in the order of struct pt_regs */
#define ARGUMENT(registers, number) ((registers)[14 - (number)])
#define ANSWER(registers) ((registers)[10])
#endif

SEC("uprobe/libc.so.6:getaddrinfo") int enter(u64 *registers)
{
	u64 thread = get_current_pid_tgid();
	struct entry entry = { ARGUMENT(registers, 3) };

	map_update_elem(&entries, &thread, &entry, 0);
	return 0;
}

static INLINE int fill(struct event *event, u64 *registers)
{
	u64 thread = get_current_pid_tgid();
	struct entry *entry = map_lookup_elem(&entries, &thread);
	struct addrinfo info = {};
	u64 result = 0;

	if (!entry)
		return 0;
	event->time = ktime_get_ns();
	event->pid = thread >> 32;
	event->tid = thread;
	event->uid = get_current_uid_gid();
	event->answer = ANSWER(registers);
	get_current_comm(event->comm, sizeof(event->comm));
	if (!event->answer && !probe_read_user(&result, sizeof(result), (void *)entry->result))
		probe_read_user(&info, sizeof(info), (void *)result);
	event->flags = info.flags;
	event->family = info.family;
	event->socktype = info.socktype;
	event->protocol = info.protocol;
	event->addrlen = info.addrlen;
	__builtin_memset(&event->addr, 0, sizeof(event->addr));
	if (info.addr)
		probe_read_user(&event->addr, sizeof(event->addr), (void *)info.addr);
	map_delete_elem(&entries, &thread);
	return 1;
}

LICENSE("GPL");
