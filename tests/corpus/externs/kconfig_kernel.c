/* What the running kernel says of itself. */
#include "externs.h"

extern u32 CONFIG_HZ KCONFIG;
extern bool CONFIG_BPF_SYSCALL KCONFIG;

SEC("syscall") int constants(void *ctx)
{
	OUT(0, CONFIG_HZ);
	OUT(1, CONFIG_BPF_SYSCALL);
	return 0;
}
