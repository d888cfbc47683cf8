/* A program with functions to be replaced, and in freplace_by.c those that replace them. */
#include "bpf.h"

int number = 5;

NOINLINE int answer(int x)
{
	return x + number;
}

static NOINLINE int fixed(int x)
{
	return x * number;
}

SEC("xdp") int asks(void *ctx)
{
	return answer(10) + fixed(100);
}

LICENSE("GPL");
