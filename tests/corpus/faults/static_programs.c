/* A program that is static is none, unless another one calls it. */
#include "../kinds/bpf.h"

SEC("raw_tp/sys_enter") static int forgotten(void *ctx) { return 0; }

static NOINLINE int called(const u64 *ctx) { return ctx[1] > 7; }

SEC("raw_tp/sys_exit") static NOINLINE int beside(const u64 *ctx) { return ctx[1] > 5; }

SEC("raw_tp/sys_exit") int runs(const u64 *ctx) { return called(ctx) + beside(ctx) > 1; }

void *keeps_it SEC(".keeps") = forgotten;

LICENSE("GPL");
