/* Arrays: numbers in one dimension and two, bytes, text, text that fills its array, and the name of the process. */
#include "events.h"

RING(events);
struct arrays {
	s16 numbers[4];
	u32 table[2][3];
	u8 bytes[6];
	char text[8];
	char full[4];
	char comm[16];
	u64 none[0];
};
DESCRIBED(struct arrays, arrays);

PROGRAM(sends)
{
	struct arrays *e;

	ONLY_OWN;
	e = ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	for (int i = 0; i < 4; i++)
		e->numbers[i] = 1000 - 1001 * i;
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 3; j++)
			e->table[i][j] = 10 * i + j;
	for (int i = 0; i < 6; i++)
		e->bytes[i] = 0xf0 + i;
	__builtin_memcpy(e->text, "a\tb\0zzz", 8);
	__builtin_memcpy(e->full, "full", 4);
	__builtin_memset(e->comm, 0, sizeof(e->comm));
	get_current_comm(e->comm, sizeof(e->comm));
	ringbuf_submit(e, 0);
	return 0;
}
