/* Constants of the kernel's configuration, in every form that there is. A test says what the configuration is. */
#include "externs.h"

extern int LINUX_KERNEL_VERSION KCONFIG;
extern bool LINUX_HAS_BPF_COOKIE KCONFIG;
extern bool LINUX_HAS_SYSCALL_WRAPPER KCONFIG;
extern u8 LINUX_HAS_WINGS KCONFIG WEAK;
extern bool CONFIG_BPF_SYSCALL KCONFIG;
extern enum libbpf_tristate CONFIG_T_YES KCONFIG;
extern enum libbpf_tristate CONFIG_T_MODULE KCONFIG;
extern enum libbpf_tristate CONFIG_T_NO KCONFIG;
extern char CONFIG_LETTER KCONFIG;
extern u8 CONFIG_SMALL KCONFIG;
extern u16 CONFIG_SHORT KCONFIG;
extern int CONFIG_NEGATIVE KCONFIG;
extern unsigned long CONFIG_HEX KCONFIG;
extern char CONFIG_TEXT[8] KCONFIG;
extern char CONFIG_LONG_TEXT[4] KCONFIG;
extern int CONFIG_MISSING KCONFIG WEAK;
extern bool CONFIG_MISSING_TOO KCONFIG WEAK;
extern char CONFIG_MISSING_TEXT[16] KCONFIG WEAK;

SEC("syscall") int constants(void *ctx)
{
	OUT(0, LINUX_KERNEL_VERSION);
	OUT(1, LINUX_HAS_BPF_COOKIE);
	OUT(2, LINUX_HAS_SYSCALL_WRAPPER);
	OUT(3, LINUX_HAS_WINGS);
	OUT(4, CONFIG_BPF_SYSCALL);
	OUT(5, CONFIG_T_YES);
	OUT(6, CONFIG_T_MODULE);
	OUT(7, CONFIG_T_NO);
	OUT(8, CONFIG_LETTER);
	OUT(9, CONFIG_SMALL);
	OUT(10, CONFIG_SHORT);
	OUT(11, CONFIG_NEGATIVE);
	OUT(12, CONFIG_HEX);
	for (int i = 0; i < 8; i++)
		OUT(16 + i, CONFIG_TEXT[i]);
	for (int i = 0; i < 4; i++)
		OUT(24 + i, CONFIG_LONG_TEXT[i]);
	OUT(13, CONFIG_MISSING);
	OUT(14, CONFIG_MISSING_TOO);
	OUT(15, CONFIG_MISSING_TEXT[0]);
	/* The verifier knows the constant, and leaves out the call of a function that does not exist. */
	if (CONFIG_MISSING)
		((void (*)(void))100000)();
	return 0;
}
