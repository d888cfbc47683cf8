/* A variable in a section that becomes no map. */
#include "../kinds/bpf.h"

int variable SEC("settings") = 5;

SEC("raw_tp/sys_enter") int reads(void *ctx) { return variable; }

LICENSE("GPL");
