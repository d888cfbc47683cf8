/* A constant that no kernel has, and that is not weak: the program that uses it cannot be loaded, the other one can. */
#include "externs.h"

extern int CONFIG_CUTAWAY_HAS_NO_SUCH_OPTION KCONFIG;

SEC("syscall") int needs(void *ctx)
{
	return CONFIG_CUTAWAY_HAS_NO_SUCH_OPTION;
}

SEC("?syscall") int does_not(void *ctx)
{
	return 7;
}
