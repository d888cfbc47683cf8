/* Programs that write to their streams. The object is kept beside it, so that no test needs a compiler:
 * clang-19 --target=bpf -mcpu=v3 -O2 -g -fdebug-prefix-map=$PWD=. -c streams.c -o streams.o */
#include "../../corpus/externs/externs.h"

enum { STDOUT = 1, STDERR = 2 };

/* Linux 6.18, and later kernels, which add the last parameter themselves. */
extern int bpf_stream_vprintk_impl(int stream, const char *format, const void *arguments, u32 size, void *aux) KSYM WEAK;
extern int bpf_stream_vprintk(int stream, const char *format, const void *arguments, u32 size) KSYM WEAK;

SEC("syscall") int say(u64 *ctx)
{
	static const char format[] = "%llu and %llu\n";
	u64 arguments[2] = { ctx[0], 7 };

	if (&bpf_stream_vprintk)
		return bpf_stream_vprintk(STDOUT, format, arguments, sizeof(arguments));
	return bpf_stream_vprintk_impl(STDOUT, format, arguments, sizeof(arguments), 0);
}

/* Runs until the kernel stops it, after a quarter of a second. */
SEC("syscall") int spin(void *ctx)
{
	for (;;)
		asm volatile goto("may_goto %l[out]" ::::out);
out:
	return 3;
}
