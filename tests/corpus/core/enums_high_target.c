/* An unsigned enumerator that has its highest bit set in the kernel only. */
#include "core.h"
enum flags { F_HIGH = 3 };
SEC("raw_tracepoint/one") int high(void **ctx)
{
	OUT(0, ENUMERATOR_VALUE(enum flags, F_HIGH));
	return 0;
}
