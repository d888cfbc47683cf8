/* Text that a program prints by bpf_trace_printk. */
#include "events.h"

HELPER(6, long, trace_printk, const char *format, u32 size, u64 a, u64 b);

u32 printed;

PROGRAM(prints)
{
	static const char format[] = "call %d of %d\n";

	ONLY_OWN;
	printed++;
	trace_printk(format, sizeof(format), printed, own);
	return 0;
}
