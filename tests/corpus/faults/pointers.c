/* Addresses in data: nothing fills them in. */
#include "../kinds/bpf.h"

static const char *const names[] = { "first", "second", "third" };
volatile int which = 1;
int number = 7;
int *volatile to_number = &number;
volatile const char *text = "text";
const volatile u64 plain = 5;

SEC("raw_tp/sys_enter") int reads(void *ctx)
{
	return ((u64)names[which & 1] & 1) || to_number == 0 || text == 0 || plain == 0;
}

/* The section holds an address, and no text. */
const char *_license SEC("license") = "GPL";
