/* What the sources of this folder share. Each sends known values when the process `own` asks for its process group. */
#pragma once
#include "../kinds/bpf.h"

typedef _Bool bool;

const volatile u32 own = 0;

#define RING(name)                                                                                                       \
	struct {                                                                                                         \
		FIELD(type, RINGBUF);                                                                                    \
		FIELD(max_entries, 65536);                                                                               \
	} name SEC(".maps")
#define PERF(name)                                                                                                       \
	struct {                                                                                                         \
		FIELD(type, PERF_EVENT_ARRAY);                                                                           \
		FIELD(key_size, 4);                                                                                      \
		FIELD(value_size, 4);                                                                                    \
	} name SEC(".maps")

/* Compilers describe a type in BTF if a global variable has to do with it. */
#define DESCRIBED(type, name) type *name

#define PROGRAM(name) SEC("tracepoint/syscalls/sys_enter_getpgid") int name(void *ctx)
#define ONLY_OWN                                                                                                         \
	if (get_current_pid_tgid() >> 32 != own)                                                                         \
		return 0
#define THIS_CPU 0xffffffffu

LICENSE("GPL");
