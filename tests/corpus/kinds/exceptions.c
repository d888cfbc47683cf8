/* An exception, which ends in a function that nobody calls: a tag on the program's type names it. The functions on the way are
   called in an order that is not theirs in the file. */
#include "bpf.h"

extern void bpf_throw(u64 cookie) SEC(".ksyms");

u64 seen;

NOINLINE int in_the_end(u64 cookie)
{
	return cookie + seen;
}

static NOINLINE int innermost(int number)
{
	__sync_fetch_and_add(&seen, number);
	return 0;
}

static NOINLINE int last(int number)
{
	__sync_fetch_and_add(&seen, number);
	if (seen == 1 + 2 + 4)
		bpf_throw(100);
	return 0;
}

static NOINLINE int first(int number)
{
	innermost(2 * number);
	__sync_fetch_and_add(&seen, number);
	return 0;
}

SEC("syscall") __attribute__((btf_decl_tag("exception_callback:in_the_end"))) int throws(void *ctx)
{
	first(1);
	last(4);
	innermost(8);
	return 1;
}

/* The same on a uprobe, with a stack that newer kernels would give to whoever comes by on this CPU. */
SEC("?uprobe") __attribute__((btf_decl_tag("exception_callback:in_the_end"))) int throws_on_a_call(void *ctx)
{
	volatile u64 many[24];

	for (int i = 0; i < 24; i++)
		many[i] = 1;
	first(many[0]);
	last(4 * many[23]);
	innermost(8);
	return 1;
}

LICENSE("GPL");
