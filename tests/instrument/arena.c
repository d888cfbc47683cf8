/* A list in an arena (Linux 6.9). */
#include "common.h"

#define POINTER __attribute__((address_space(1)))

struct {
	FIELD(type, 33);
	FIELD(map_flags, 1 << 10); /* BPF_F_MMAPABLE, which an arena must have */
	FIELD(max_entries, 8);
} arena SEC(".maps");

KSYM void POINTER *bpf_arena_alloc_pages(void *map, void POINTER *at, u32 pages, int node, u64 flags);

struct node {
	struct node POINTER *next;
	u64 value;
};

SEC("syscall") int builds(void *ctx)
{
	struct node POINTER *nodes = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);
	struct node POINTER *head = 0;
	u64 sum = 0;

	if (!nodes)
		return 1;
	for (int at = 0; at < 20; at++) {
		nodes[at].value = at * at;
		nodes[at].next = head;
		head = &nodes[at];
	}
	for (int at = 0; at < 20 && head; at++) {
		sum += head->value;
		head = head->next;
	}
	return sum;
}
