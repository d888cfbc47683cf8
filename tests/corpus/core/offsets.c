/* Fields that are elsewhere: moved, nested otherwise, in arrays of one and two dimensions, at flexible ends. */
#include "core.h"
struct moved { u64 a; u32 b; struct { u16 y; u16 x; } in; } CORE;
struct nests { u32 deep; u8 deepest; u64 wide; } CORE;
struct line { struct { u32 z; u32 x; } points[3]; u32 grid[2][5]; } CORE;
struct tail { u32 count; u64 args[]; } CORE;
struct tail_inside { struct { u16 items[0]; } t; } CORE;
struct was_flexible { u32 items[0]; } CORE;
union either { u32 low; u64 a; } CORE;
struct mixed_kind { struct { u32 one; } part; } CORE;
typedef struct { u32 value; } CORE alias_t;

SEC("raw_tracepoint/one") int reads(void **ctx)
{
	struct moved *m = ctx[0];
	struct nests *n = ctx[1];
	union either *e = ctx[2];
	struct mixed_kind *k = ctx[3];
	alias_t *t = ctx[4];
	OUT(0, m->a); OUT(1, m->b); OUT(2, m->in.x); OUT(3, m->in.y);
	OUT(4, n->deep); OUT(5, n->deepest); OUT(6, n->wide);
	OUT(7, e->low); OUT(8, e->a); OUT(9, k->part.one); OUT(10, t->value);
	return 0;
}
SEC("raw_tracepoint/two") int arrays(void **ctx)
{
	struct line *l = ctx[0];
	struct tail *t = ctx[1];
	struct tail_inside *i = ctx[2];
	struct was_flexible *w = ctx[3];
	OUT(0, l->points[0].x); OUT(1, l->points[2].z); OUT(2, l->grid[0][0]); OUT(3, l->grid[1][4]);
	OUT(4, t->count); OUT(5, t->args[0]); OUT(6, t->args[5]); OUT(7, i->t.items[3]); OUT(8, w->items[2]);
	OUT(9, l[0].points[1].x); OUT(10, l[3].points[1].z);
	return 0;
}
SEC("raw_tracepoint/three") int addresses(void **ctx)
{
	struct moved *m = ctx[0];
	struct line *l = ctx[1];
	struct tail *t = ctx[2];
	OUT(0, &m->a); OUT(1, &m->in); OUT(2, &l->points[1]); OUT(3, &l->grid[1]); OUT(4, &t->args); OUT(5, &t->args[1]);
	OUT(6, BYTE_OFFSET(m->in.x)); OUT(7, BYTE_OFFSET(l->points[2])); OUT(8, BYTE_OFFSET(t->args[7]));
	return 0;
}
