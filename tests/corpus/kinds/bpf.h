/* What the sources of this folder share: numbers and signatures of the kernel's interface, as far as they are used here. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;

#define SEC(name) __attribute__((section(name), used))
#define NOINLINE __attribute__((noinline))
#define INLINE inline __attribute__((always_inline))
#define WEAK __attribute__((weak))
#define HIDDEN __attribute__((visibility("hidden")))
#define LICENSE(name) char _license[] SEC("license") = name

/* The fields of a map's description: see the kernel's Documentation/bpf/btf.rst. */
#define FIELD(name, number) int (*name)[number]
#define LONG_FIELD(name, number) enum { __unique(name##_value) = number } name
#define __unique(name) __unique_(name, __COUNTER__)
#define __unique_(name, count) __unique__(name, count)
#define __unique__(name, count) name##count
#define TYPE(name, of) typeof(of) *name
#define HOLDS(of) typeof(of) *values[]

enum map_type { /* enum bpf_map_type */
	HASH = 1, ARRAY, PROG_ARRAY, PERF_EVENT_ARRAY, PERCPU_HASH, PERCPU_ARRAY, STACK_TRACE, CGROUP_ARRAY, LRU_HASH,
	LRU_PERCPU_HASH, LPM_TRIE, ARRAY_OF_MAPS, HASH_OF_MAPS, DEVMAP, SOCKMAP, CPUMAP, XSKMAP, SOCKHASH, CGROUP_STORAGE,
	REUSEPORT_SOCKARRAY, PERCPU_CGROUP_STORAGE, QUEUE, STACK, SK_STORAGE, DEVMAP_HASH, STRUCT_OPS, RINGBUF, INODE_STORAGE,
	TASK_STORAGE, BLOOM_FILTER, USER_RINGBUF, CGRP_STORAGE, ARENA,
};

enum { NO_PREALLOC = 1, LOCAL_STORAGE = NO_PREALLOC, CURRENT_CPU = -1 };

#define HELPER(number, answer, name, ...) static answer (*const name)(__VA_ARGS__) = (void *)number
HELPER(1, void *, map_lookup_elem, void *map, const void *key);
HELPER(2, long, map_update_elem, void *map, const void *key, const void *value, u64 flags);
HELPER(3, long, map_delete_elem, void *map, const void *key);
HELPER(5, u64, ktime_get_ns, void);
HELPER(12, long, tail_call, void *ctx, void *map, u32 index);
HELPER(14, u64, get_current_pid_tgid, void);
HELPER(15, u64, get_current_uid_gid, void);
HELPER(16, long, get_current_comm, void *to, u32 size);
HELPER(25, long, perf_event_output, void *ctx, void *map, u64 flags, const void *data, u64 size);
HELPER(27, long, get_stackid, void *ctx, void *map, u64 flags);
HELPER(51, long, redirect_map, void *map, u64 key, u64 flags);
HELPER(52, long, sk_redirect_map, void *ctx, void *map, u32 key, u64 flags);
HELPER(60, long, msg_redirect_map, void *ctx, void *map, u32 key, u64 flags);
HELPER(81, void *, get_local_storage, void *map, u64 flags);
HELPER(82, long, sk_select_reuseport, void *ctx, void *map, void *key, u64 flags);
HELPER(87, long, map_push_elem, void *map, const void *value, u64 flags);
HELPER(88, long, map_pop_elem, void *map, void *value);
HELPER(89, long, map_peek_elem, void *map, void *value);
HELPER(93, long, spin_lock, void *lock);
HELPER(94, long, spin_unlock, void *lock);
HELPER(107, void *, sk_storage_get, void *map, void *sk, void *value, u64 flags);
HELPER(112, long, probe_read_user, void *to, u32 size, const void *from);
HELPER(113, long, probe_read_kernel, void *to, u32 size, const void *from);
HELPER(114, long, probe_read_user_str, void *to, u32 size, const void *from);
HELPER(127, long, seq_write, void *seq, const void *data, u32 size);
HELPER(130, long, ringbuf_output, void *ring, void *data, u64 size, u64 flags);
HELPER(131, void *, ringbuf_reserve, void *ring, u64 size, u64 flags);
HELPER(132, void, ringbuf_submit, void *data, u64 flags);
HELPER(133, void, ringbuf_discard, void *data, u64 flags);
HELPER(156, void *, task_storage_get, void *map, void *task, void *value, u64 flags);
HELPER(158, void *, get_current_task_btf, void);
HELPER(164, long, for_each_map_elem, void *map, void *callback, void *ctx, u64 flags);
HELPER(174, u64, get_attach_cookie, void *ctx);
HELPER(181, long, loop, u32 times, void *callback, void *ctx, u64 flags);
HELPER(209, long, user_ringbuf_drain, void *ring, void *callback, void *ctx, u64 flags);
