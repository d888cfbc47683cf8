/* Global variables that lie in an arena, where pointers to them mean the same to user space. */
#include "bpf.h"

#define IN_ARENA __attribute__((address_space(1)))

struct {
	FIELD(type, ARENA);
	FIELD(map_flags, 1 << 10); /* BPF_F_MMAPABLE, which an arena must have */
	FIELD(max_entries, 100);   /* pages */
} arena SEC(".maps");

struct node {
	struct node IN_ARENA *next;
	u64 number;
};

/* Two pages and more, so that none is left out that holds only zeroes. */
u64 IN_ARENA zeroes[1024];
u64 IN_ARENA runs = 40;
struct node IN_ARENA second = { .number = 7 };
struct node IN_ARENA first = { .number = 5 };

SEC("syscall") int links(void *ctx)
{
	runs += 2;
	zeroes[1023] = runs;
	first.next = &second;
	return second.number;
}

LICENSE("GPL");
