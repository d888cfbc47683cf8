/* Enumerators: there or not, small, negative, of 64 bits, from one width to the other. */
#include "core.h"
enum numbers { N_ZERO = 0, N_ONE = 1, N_NEGATIVE = -1, N_MOST = 5, N_GONE = 6 };
enum wide { W_SMALL = 1, W_BIG = 0x100000000ULL, W_TOP = 0xfffffffffffffff0ULL };
enum wide_signed { WS_MIN = -0x100000000LL, WS_ONE = 2 };
enum became_wide { BW_A = 1, BW_B = 2 };
enum became_small { BS_A = 0x200000000ULL };
SEC("raw_tracepoint/one") int small(void **ctx)
{
	OUT(0, ENUMERATOR_VALUE(enum numbers, N_ZERO)); OUT(1, ENUMERATOR_VALUE(enum numbers, N_ONE)); OUT(2, ENUMERATOR_VALUE(enum numbers, N_NEGATIVE));
	OUT(3, ENUMERATOR_VALUE(enum numbers, N_MOST)); OUT(4, ENUMERATOR_EXISTS(enum numbers, N_ONE)); OUT(5, ENUMERATOR_EXISTS(enum numbers, N_GONE));
	return 0;
}
SEC("raw_tracepoint/three") int wide(void **ctx)
{
	OUT(0, ENUMERATOR_VALUE(enum wide, W_SMALL)); OUT(1, ENUMERATOR_VALUE(enum wide, W_BIG)); OUT(2, ENUMERATOR_VALUE(enum wide, W_TOP));
	OUT(3, ENUMERATOR_VALUE(enum wide_signed, WS_MIN)); OUT(4, ENUMERATOR_VALUE(enum wide_signed, WS_ONE));
	OUT(5, ENUMERATOR_VALUE(enum became_wide, BW_A)); OUT(6, ENUMERATOR_VALUE(enum became_wide, BW_B)); OUT(7, ENUMERATOR_VALUE(enum became_small, BS_A));
	return 0;
}
