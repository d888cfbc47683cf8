/* Size, existence and signedness of fields, of other kinds too, and of such as are not there. */
#include "core.h"
struct fields { s32 c; u64 h; s32 grew; u64 shrunk; void *p; u8 bytes[8]; u32 cv; float f; double d; int gone; } CORE;
struct other_kind { int was_int; struct { int x; } was_struct; int was_array[2]; void *was_pointer; } CORE;
struct nowhere { int x; } CORE;
SEC("raw_tracepoint/one") int asks(void **ctx)
{
	struct fields *f = ctx[0];
	OUT(0, BYTE_SIZE(f->c)); OUT(1, BYTE_SIZE(f->h)); OUT(2, BYTE_SIZE(f->grew)); OUT(3, BYTE_SIZE(f->bytes)); OUT(4, BYTE_SIZE(f->bytes[2]));
	OUT(5, SIGNED(f->c)); OUT(6, SIGNED(f->h)); OUT(7, SIGNED(f->cv));
	OUT(9, FIELD_EXISTS(f->c)); OUT(10, FIELD_EXISTS(f->gone)); OUT(11, FIELD_EXISTS(f->bytes[7])); OUT(12, FIELD_EXISTS(f->f));
	OUT(13, LEFT_SHIFT(f->c)); OUT(14, RIGHT_SHIFT(f->c)); OUT(15, LEFT_SHIFT(f->h)); OUT(16, RIGHT_SHIFT(f->grew));
	OUT(17, BYTE_SIZE(f->f)); OUT(18, BYTE_SIZE(f->d)); OUT(19, BYTE_SIZE(f->cv)); OUT(20, BYTE_OFFSET(f->cv));
	return 0;
}
SEC("raw_tracepoint/two") int kinds(void **ctx)
{
	struct other_kind *k = ctx[0];
	struct nowhere *n = ctx[1];
	OUT(0, FIELD_EXISTS(k->was_int)); OUT(1, FIELD_EXISTS(k->was_struct)); OUT(2, FIELD_EXISTS(k->was_array)); OUT(3, FIELD_EXISTS(k->was_pointer));
	OUT(4, FIELD_EXISTS(n->x)); OUT(5, FIELD_EXISTS(k->was_struct.x)); OUT(6, FIELD_EXISTS(k->was_array[1]));
	return 0;
}
