/* Sections whose names begin with no kind of program, and two that do. */
#include "../kinds/bpf.h"

SEC("foo") int in_foo(void *ctx) { return 0; }
SEC("kprobe__do_exit") int in_kprobe(void *ctx) { return 0; }
SEC("raw_tp/sys_enter") int runs(void *ctx) { return 0; }
SEC("?raw_tp/sys_exit") int optional(void *ctx) { return 0; }

LICENSE("GPL");
