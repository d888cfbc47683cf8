/* The other half: a static variable of the same name, and a map that the first one has. */
#include "bpf.h"

extern struct {
	FIELD(type, RINGBUF);
	FIELD(max_entries, 4096);
} events __attribute__((section(".maps")));

extern u64 shared;
static volatile u64 same_name = 1000;

static NOINLINE u64 helps(u64 x)
{
	return x + same_name;
}

u64 other_half(u64 x)
{
	return helps(x) + shared;
}

LICENSE("GPL");
