/* Types as a whole: numbers, existence, sizes, of every kind that has a name. */
#include "core.h"
struct exists { int whatever; };
struct bigger { u64 a[2]; };
struct nowhere { int x; };
typedef int (*callback_t)(struct exists *, u64);
typedef u32 number_t;
typedef const struct exists *pointer_t;
typedef u32 array_t[3];
typedef void empty_t;
typedef enum { AN_X } anonymous_enum_t;
typedef int func_t(int, char *);
typedef int fewer_t(int, int);
enum e_exists { E_X };

struct u_exists { int a; };
typedef struct nowhere nowhere_t;
SEC("raw_tracepoint/one") int exist(void **ctx)
{
	OUT(0, TYPE_EXISTS(struct exists)); OUT(1, TYPE_EXISTS(struct bigger)); OUT(2, TYPE_EXISTS(struct nowhere));
	OUT(3, TYPE_EXISTS(callback_t)); OUT(4, TYPE_EXISTS(number_t)); OUT(5, TYPE_EXISTS(pointer_t)); OUT(6, TYPE_EXISTS(array_t));
	OUT(8, TYPE_EXISTS(anonymous_enum_t)); OUT(9, TYPE_EXISTS(func_t)); OUT(10, TYPE_EXISTS(fewer_t));
	OUT(11, TYPE_EXISTS(enum e_exists)); OUT(13, TYPE_EXISTS(struct u_exists)); OUT(14, TYPE_EXISTS(nowhere_t));
	return 0;
}
SEC("raw_tracepoint/two") int size(void **ctx)
{
	OUT(0, TYPE_SIZE(struct exists)); OUT(1, TYPE_SIZE(struct bigger)); OUT(2, TYPE_SIZE(struct nowhere)); OUT(3, TYPE_SIZE(callback_t));
	OUT(4, TYPE_SIZE(number_t)); OUT(5, TYPE_SIZE(array_t)); OUT(6, TYPE_SIZE(enum e_exists));
	return 0;
}
SEC("raw_tracepoint/three") int numbers(void **ctx)
{
	OUT(0, TYPE_ID_TARGET(struct exists)); OUT(1, TYPE_ID_TARGET(struct nowhere)); OUT(2, TYPE_ID_TARGET(number_t)); OUT(3, TYPE_ID_TARGET(enum e_exists));
	OUT(4, TYPE_ID_LOCAL(struct exists)); OUT(5, TYPE_ID_LOCAL(struct nowhere)); OUT(6, TYPE_ID_LOCAL(int));
	return 0;
}
