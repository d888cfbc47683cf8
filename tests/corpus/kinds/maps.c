/* A map of every kind; a test makes them one by one. */
#include "bpf.h"

struct lpm_key { u32 prefix; u32 address; };
struct cgroup_key { u64 inode; u32 attach_type; };

#define MAP(name, kind, key_type, value_type, entries, flags)                                                            \
	struct {                                                                                                         \
		FIELD(type, kind);                                                                                       \
		FIELD(max_entries, entries);                                                                             \
		FIELD(map_flags, flags);                                                                                 \
		TYPE(key, key_type);                                                                                     \
		TYPE(value, value_type);                                                                                 \
	} name SEC(".maps")
#define VALUES(name, kind, value_type, entries)                                                                          \
	struct {                                                                                                         \
		FIELD(type, kind);                                                                                       \
		FIELD(max_entries, entries);                                                                             \
		TYPE(value, value_type);                                                                                 \
	} name SEC(".maps")
#define BYTES(name, kind, bytes)                                                                                         \
	struct {                                                                                                         \
		FIELD(type, kind);                                                                                       \
		FIELD(max_entries, bytes);                                                                               \
	} name SEC(".maps")

MAP(hash, HASH, u64, u64, 8, 0);
MAP(hash_lazy, HASH, u64, u64, 8, NO_PREALLOC);
MAP(array, ARRAY, u32, u64[4][8], 8, 0);
MAP(prog_array, PROG_ARRAY, u32, u32, 8, 0);
MAP(perf_event_array, PERF_EVENT_ARRAY, u32, u32, 0, 0);
MAP(percpu_hash, PERCPU_HASH, u64, u64, 8, 0);
MAP(percpu_array, PERCPU_ARRAY, u32, u64, 8, 0);
MAP(stack_trace, STACK_TRACE, u32, u64[127], 8, 0);
MAP(cgroup_array, CGROUP_ARRAY, u32, u32, 8, 0);
MAP(lru_hash, LRU_HASH, u64, u64, 8, 0);
MAP(lru_percpu_hash, LRU_PERCPU_HASH, u64, u64, 8, 0);
MAP(lpm_trie, LPM_TRIE, struct lpm_key, u64, 8, NO_PREALLOC);
MAP(devmap, DEVMAP, u32, u32, 8, 0);
MAP(devmap_hash, DEVMAP_HASH, u32, u32, 8, 0);
MAP(sockmap, SOCKMAP, u32, u32, 8, 0);
MAP(sockhash, SOCKHASH, u32, u32, 8, 0);
MAP(cpumap, CPUMAP, u32, u32, 8, 0);
MAP(xskmap, XSKMAP, u32, u32, 8, 0);
MAP(cgroup_storage, CGROUP_STORAGE, struct cgroup_key, u64, 0, 0);
MAP(percpu_cgroup_storage, PERCPU_CGROUP_STORAGE, struct cgroup_key, u64, 0, 0);
MAP(reuseport_sockarray, REUSEPORT_SOCKARRAY, u32, u64, 8, 0);
MAP(sk_storage, SK_STORAGE, int, u64, 0, LOCAL_STORAGE);
MAP(inode_storage, INODE_STORAGE, int, u64, 0, LOCAL_STORAGE);
MAP(task_storage, TASK_STORAGE, int, u64, 0, LOCAL_STORAGE);
MAP(cgrp_storage, CGRP_STORAGE, int, u64, 0, LOCAL_STORAGE);
VALUES(queue, QUEUE, u64, 8);
VALUES(stack, STACK, u64, 8);
BYTES(ringbuf, RINGBUF, 5000);
BYTES(user_ringbuf, USER_RINGBUF, 5000);

struct {
	FIELD(type, BLOOM_FILTER);
	FIELD(max_entries, 8);
	LONG_FIELD(map_extra, 3);
	TYPE(value, u64);
} bloom_filter SEC(".maps");

struct {
	FIELD(type, ARENA);
	FIELD(map_flags, 1024); /* BPF_F_MMAPABLE */
	FIELD(max_entries, 4);
} arena SEC(".maps");

struct inner {
	FIELD(type, ARRAY);
	FIELD(max_entries, 2);
	TYPE(key, u32);
	TYPE(value, u64);
} inner SEC(".maps");

struct {
	FIELD(type, ARRAY_OF_MAPS);
	FIELD(max_entries, 4);
	TYPE(key, u32);
	HOLDS(struct inner);
} array_of_maps SEC(".maps") = { .values = { [2] = &inner } };

struct {
	FIELD(type, HASH_OF_MAPS);
	FIELD(max_entries, 4);
	TYPE(key, u32);
	HOLDS(struct inner);
} hash_of_maps SEC(".maps") = { .values = { &inner } };

struct {
	FIELD(type, HASH);
	FIELD(key_size, 6);
	FIELD(value_size, 10);
	FIELD(max_entries, 8);
	FIELD(map_flags, NO_PREALLOC);
} sized SEC(".maps");

struct {
	FIELD(type, 99);
	FIELD(key_size, 4);
	FIELD(value_size, 4);
	FIELD(max_entries, 1);
} nobody_knows SEC(".maps");

LICENSE("GPL");
