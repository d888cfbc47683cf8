/* An unsigned enumerator with its highest bit set: is it extended by zeroes or by ones? */
#include "core.h"
enum flags { F_LOW = 1, F_HIGH = 0x80000000 };
SEC("raw_tracepoint/one") int high(void **ctx)
{
	OUT(0, ENUMERATOR_VALUE(enum flags, F_LOW)); OUT(1, ENUMERATOR_VALUE(enum flags, F_HIGH));
	return 0;
}
