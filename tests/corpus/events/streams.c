/* Text that a program prints to its stream, since Linux 6.17. */
#include "events.h"

#define KFUNC __attribute__((section(".ksyms"))) WEAK

/* The name in Linux 6.18, and the one of later versions. */
extern int bpf_stream_vprintk(int stream, const char *format, const void *arguments, u32 size) KFUNC;
extern int bpf_stream_vprintk_impl(int stream, const char *format, const void *arguments, u32 size, void *aux) KFUNC;

u32 printed;
/* ENOMEM on a kernel that cannot allocate memory for streams without locks. */
int result;

PROGRAM(prints)
{
	static const char format[] = "stream %d\n";
	u64 arguments[1];

	ONLY_OWN;
	arguments[0] = ++printed;
	if (bpf_stream_vprintk_impl)
		result = bpf_stream_vprintk_impl(1, format, arguments, sizeof(arguments), 0);
	else if (bpf_stream_vprintk)
		result = bpf_stream_vprintk(1, format, arguments, sizeof(arguments));
	return 0;
}
