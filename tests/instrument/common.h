/* What the sources of this directory share. Helpers are casts of their numbers, not variables: so calls of them compile
 * without optimization, too. The map definitions are those of tests/corpus/kinds/bpf.h. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;

#define SEC(name) __attribute__((section(name), used))
#define NOINLINE __attribute__((noinline))
#define INLINE inline __attribute__((always_inline))
#define KSYM extern __attribute__((section(".ksyms")))

#define FIELD(name, number) int (*name)[number]
#define TYPE(name, of) typeof(of) *name
#define MAP(name, kind, key_type, value_type, entries) \
	struct { \
		FIELD(type, kind); \
		TYPE(key, key_type); \
		TYPE(value, value_type); \
		FIELD(max_entries, entries); \
	} name SEC(".maps")
#define RING(name, bytes) \
	struct { \
		FIELD(type, 27); \
		FIELD(max_entries, bytes); \
	} name SEC(".maps")
#define PERF(name) \
	struct { \
		FIELD(type, 4); \
		FIELD(key_size, 4); \
		FIELD(value_size, 4); \
	} name SEC(".maps")

enum { HASH = 1, ARRAY = 2, PERCPU_HASH = 5, PERCPU_ARRAY = 6, LRU_HASH = 9 };
#define CURRENT_CPU 0xffffffffULL

#define map_lookup_elem ((void *(*)(void *, const void *))1)
#define map_update_elem ((long (*)(void *, const void *, const void *, u64))2)
#define map_delete_elem ((long (*)(void *, const void *))3)
#define ktime_get_ns ((u64(*)(void))5)
#define get_prandom_u32 ((u32(*)(void))7)
#define tail_call ((long (*)(void *, void *, u32))12)
#define get_current_pid_tgid ((u64(*)(void))14)
#define perf_event_output ((long (*)(void *, void *, u64, const void *, u64))25)
#define skb_load_bytes ((long (*)(const void *, u32, void *, u32))26)
#define get_current_task ((u64(*)(void))35)
#define spin_lock ((long (*)(void *))93)
#define spin_unlock ((long (*)(void *))94)
#define probe_read_kernel ((long (*)(void *, u32, const void *))113)
#define ringbuf_output ((long (*)(void *, void *, u64, u64))130)
#define ringbuf_reserve ((void *(*)(void *, u64, u64))131)
#define ringbuf_submit ((void (*)(void *, u64))132)
#define ringbuf_discard ((void (*)(void *, u64))133)
#define get_current_task_btf ((void *(*)(void))158)
#define for_each_map_elem ((long (*)(void *, void *, void *, u64))164)
#define loop ((long (*)(u32, void *, void *, u64))181)
#define ringbuf_reserve_dynptr ((long (*)(void *, u32, u64, void *))198)
#define ringbuf_submit_dynptr ((void (*)(void *, u64))199)
#define dynptr_write ((long (*)(void *, u32, const void *, u32, u64))202)
#define dynptr_data ((void *(*)(const void *, u32, u32))203)

/* The contexts, as far as they are used. The verifier knows them by these names in arguments of global functions. */
#define skb __sk_buff
#define xdp xdp_md
struct skb {
	u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority, ingress_ifindex,
		ifindex, tc_index, cb[5], hash, tc_classid, data, data_end, napi_id;
};
struct xdp {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

#define DATA(ctx) ((u8 *)(long)(ctx)->data)
#define END(ctx) ((u8 *)(long)(ctx)->data_end)

char LICENSE[] SEC("license") = "GPL";
