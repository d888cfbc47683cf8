/* Structures of empty structures: twice as many members with each level, in no byte at all. */
#include "events.h"

struct n0 {};
#define TWICE(inner, outer) struct outer { struct inner one; struct inner other; }
TWICE(n0, n1);
TWICE(n1, n2);
TWICE(n2, n3);
TWICE(n3, n4);
TWICE(n4, n5);
TWICE(n5, n6);
TWICE(n6, n7);
TWICE(n7, n8);
TWICE(n8, n9);
TWICE(n9, n10);
TWICE(n10, n11);
TWICE(n11, n12);
TWICE(n12, n13);
TWICE(n13, n14);
TWICE(n14, n15);
TWICE(n15, n16);
TWICE(n16, n17);
TWICE(n17, n18);
TWICE(n18, n19);
TWICE(n19, n20);
TWICE(n20, n21);
TWICE(n21, n22);
TWICE(n22, n23);
TWICE(n23, n24);

struct wide { u32 first; struct n24 empty; u32 last; };
DESCRIBED(struct wide, wide_type);

RING(wides);

PROGRAM(sends)
{
	ONLY_OWN;
	struct wide wide = { .first = 1, .last = 2 };
	ringbuf_output(&wides, &wide, sizeof(struct wide), 0);
	return 0;
}
