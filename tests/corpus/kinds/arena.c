/* An arena: pages that programs and user space have in common, pointers included. */
#include "bpf.h"

#define ARENA_POINTER __attribute__((address_space(1)))

struct {
	FIELD(type, ARENA);
	FIELD(map_flags, 1 << 10); /* BPF_F_MMAPABLE, which an arena must have */
	FIELD(max_entries, 4);	   /* pages */
} arena SEC(".maps");

extern void ARENA_POINTER *bpf_arena_alloc_pages(void *map, void ARENA_POINTER *at, u32 pages, int node,
						 u64 flags) SEC(".ksyms");

void ARENA_POINTER *allocated;

SEC("syscall") int allocates(void *ctx)
{
	u64 ARENA_POINTER *page = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);

	if (!page)
		return 1;
	page[3] = 42;
	allocated = page;
	return 0;
}

LICENSE("GPL");
