/* Functions that replace those of freplace.c. */
#include "bpf.h"

SEC("freplace/answer") int by_section(int x)
{
	return x + 1000;
}

SEC("?freplace") int by_hand(int x)
{
	return x + 2000;
}

LICENSE("GPL");
