/* Relocations in functions that programs share, in `.text` and in a section of their own. */
#include "core.h"
struct moved { u64 a; u32 b; } CORE;
NOINLINE u64 shared(struct moved *m) { return m->a; }
static NOINLINE u64 hidden(struct moved *m) { return m->b + shared(m); }
__attribute__((section("apart"))) NOINLINE u64 aside(struct moved *m) { return m->b; }
SEC("raw_tracepoint/one") int one(void **ctx) { OUT(0, shared(ctx[0])); OUT(1, hidden(ctx[1])); return 0; }
SEC("raw_tracepoint/one") int two(void **ctx) { struct moved *m = ctx[1]; OUT(0, hidden(ctx[0])); OUT(1, m->b); return 0; }
