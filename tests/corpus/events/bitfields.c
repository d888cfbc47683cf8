/* Bit fields that share words, cross bytes, have signs and are enumerations. */
#include "events.h"

enum how { SLOWLY, QUICKLY };

RING(events);
struct bits {
	u32 a : 3, b : 7, : 2, c : 20;
	s32 d : 5, e : 27;
	u64 f : 40, g : 24;
	enum how how : 1;
	bool flag : 1;
};
DESCRIBED(struct bits, bits);

PROGRAM(sends)
{
	struct bits bits = {};

	ONLY_OWN;
	bits.a = 5;
	bits.b = 100;
	bits.c = 0xabcde;
	bits.d = -3;
	bits.e = -40000000;
	bits.f = 0x123456789aull;
	bits.g = 0xfedcba;
	bits.how = QUICKLY;
	bits.flag = 1;
	ringbuf_output(&events, &bits, sizeof(bits), 0);
	return 0;
}
