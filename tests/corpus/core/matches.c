/* Types that must have all that the program's have. Needs a compiler newer than LLVM 14. */
#include "core.h"
struct inner { u32 a; u64 b; };
struct inner___less { u32 a; };
struct inner___more { u32 a; u64 b; u32 c; };
struct matches { struct inner i; struct inner *p; u32 same; int (*op)(struct inner *, u32); };
struct matches___op { int (*op)(struct inner *, u64); };
struct misses { u32 a; u32 b; };
struct changed { u32 a; };
struct signs { u32 a; };
struct long_array { u32 a[4]; };
enum grown { G_B = 99 };
enum shrunk { S_A, S_B };
union u_exists;
struct only_declared { int now_known; };
struct through_pointer { struct only_declared *forward; struct inner *full; union u_exists *u; };
struct nowhere { int x; };
typedef u64 number_t;
SEC("raw_tracepoint/one") int match(void **ctx)
{
	OUT(0, TYPE_MATCHES(struct inner)); OUT(1, TYPE_MATCHES(struct inner___less)); OUT(2, TYPE_MATCHES(struct inner___more));
	OUT(3, TYPE_MATCHES(struct matches)); OUT(4, TYPE_MATCHES(struct matches___op)); OUT(5, TYPE_MATCHES(struct misses)); OUT(6, TYPE_MATCHES(struct changed));
	OUT(7, TYPE_MATCHES(struct signs)); OUT(8, TYPE_MATCHES(struct long_array)); OUT(9, TYPE_MATCHES(enum grown)); OUT(10, TYPE_MATCHES(enum shrunk));
	OUT(11, TYPE_MATCHES(struct through_pointer)); OUT(12, TYPE_MATCHES(struct nowhere)); OUT(13, TYPE_MATCHES(number_t));
	return 0;
}
