/* Fields that are not there, read all the same: behind a question, and without. */
#include "core.h"
struct fields { u64 shrunk; int gone; struct { int x; } gone_struct; } CORE;
struct nowhere { int x; } CORE;
enum e_exists { E_ONE = 1, E_GONE = 99 };
struct line { u32 grid[9][9]; } CORE;
static NOINLINE u64 deep(struct fields *f) { return f->gone + f->shrunk; }
SEC("raw_tracepoint/one") int guarded(void **ctx)
{
	struct fields *f = ctx[0];
	if (FIELD_EXISTS(f->gone)) OUT(0, f->gone);
	OUT(1, f->shrunk);
	return 0;
}
SEC("raw_tracepoint/two") int unguarded(void **ctx)
{
	struct fields *f = ctx[0];
	struct nowhere *n = ctx[1];
	struct line *l = ctx[2];
	OUT(0, f->gone_struct.x); OUT(1, n->x); OUT(2, l->grid[8][8]); OUT(3, &f->gone); OUT(4, BYTE_SIZE(f->gone)); OUT(5, SIGNED(n->x));
	OUT(6, ENUMERATOR_VALUE(enum e_exists, E_GONE));
	return 0;
}
SEC("raw_tracepoint/three") int calls(void **ctx)
{
	OUT(0, deep(ctx[0]));
	return 0;
}
