/* What the running kernel can do, asked of it and not of its configuration. */
#include "externs.h"

extern bool LINUX_HAS_BPF_COOKIE KCONFIG;
extern bool LINUX_HAS_SYSCALL_WRAPPER KCONFIG;

SEC("syscall") int features(void *ctx)
{
	OUT(0, LINUX_HAS_BPF_COOKIE);
	OUT(1, LINUX_HAS_SYSCALL_WRAPPER);
	return 0;
}
