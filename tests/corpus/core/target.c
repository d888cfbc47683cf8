/* A small kernel: only its types matter. Each stands beside a program of the same folder that knows it otherwise. */
#include "core.h"

/* offsets.c */
struct moved { u64 new_first; u32 b; u32 new_between; u64 a; struct { u16 x, y; } in; };
struct nests { u32 pad; union { struct { u32 pad2; u32 deep; }; u64 wide; }; struct { struct { struct { u8 q[3]; u8 deepest; }; }; }; };
struct line { u32 pad; struct { u32 x; u32 y; u32 z; } points[5]; u32 grid[3][7]; };
struct tail { u64 pad; u32 count; u32 pad2; u64 args[]; };
struct tail_inside { u64 pad[3]; struct { u32 n; u16 items[0]; } t; };
struct was_flexible { u32 n; u32 items[4]; };
union either { u64 a; struct { u32 pad; u32 low; }; };
struct mixed_kind { u64 pad; union { u32 one; } part; };
typedef struct { u64 pad; u32 value; } alias_t;

/* fields.c */
struct fields { s8 c; u16 h; s64 grew; u64 shrunk; void *p; u8 bytes[24]; const volatile u32 cv; float f; double d; };
struct other_kind { u64 pad; struct { int x; } was_int; int was_struct; void *was_array; u32 was_pointer; };

/* bitfields.c */
struct bits { u32 pad; u32 a : 3; s32 b : 7; u64 c : 40; u8 d : 1; u32 whole; u32 was_whole : 12; u64 pad2 : 50; u64 wide : 20; };
struct straddles { u64 pad : 60; u16 f : 13; u32 e : 4; u8 g : 5; } __attribute__((packed));

/* sizes.c */
struct sizes { u64 u32_now_64; u32 u64_now_32; u8 u16_now_8; s64 s32_now_64; s16 s32_now_16; void *pointer; u16 array_now_16[4]; s32 u32_now_signed; int odd[3]; s64 minus; _Bool truth; u32 was_truth; };
enum e_small { E_SMALL = 1 };
struct with_enum { u64 pad; u64 e; };

/* types.c */
struct exists { u32 a; u64 b; };
struct bigger { u64 a[10]; };
typedef int (*callback_t)(struct exists *, u64);
typedef u64 number_t;
typedef const struct exists *pointer_t;
typedef u32 array_t[8];
typedef void empty_t;
typedef enum { AN_A, AN_B } anonymous_enum_t;
typedef int func_t(int, char *);
typedef int fewer_t(int);
enum e_exists { E_ONE = 10, E_TWO = 20 };
union u_exists { int a; char b; };
struct only_declared;
struct holds_declared { struct only_declared *p; };

/* matches.c */
struct inner { u32 a; u64 b; };
struct matches { struct inner i; struct inner *p; u64 more; u32 same; int (*op)(struct inner *, u32); };
struct misses { u32 a; };
struct changed { u64 a; };
struct signs { s32 a; };
struct long_array { u32 a[5]; };
enum grown { G_A = 5, G_B = 6, G_C = 7 };
enum shrunk { S_A };
struct through_pointer { struct only_declared *forward; struct inner *full; union u_exists *u; };

/* enums.c */
enum numbers { N_ZERO = 100, N_ONE___old = 101, N_NEGATIVE = -5, N_MOST = 0x7fffffff };
enum flags { F_LOW = 2, F_HIGH = 0xfffffff0 };
enum wide { W_SMALL = 3, W_BIG = 0x123456789abcULL, W_TOP = 0xffffffffffffffffULL };
enum wide_signed { WS_MIN = -0x7fffffffffffffffLL, WS_ONE = 1 };
enum became_wide { BW_A = 7, BW_B = 0x100000000ULL };
enum became_small { BS_A = 9 };

/* flavours.c */
struct flavoured { u64 pad; u32 renamed; };
struct two___one { u32 pad; u32 same; u32 a; };
struct two___two { u16 pad[2]; u32 same; u64 b; };
struct contradicts___x { u32 value; };
struct contradicts___y { u64 pad; u32 value; };

struct moved k1; struct nests k2; struct line k3; struct tail k4; struct tail_inside k5; struct was_flexible k6; union either k7;
struct mixed_kind k8; alias_t k9; struct fields k10; struct other_kind k11; struct bits k12; struct straddles k13;
struct sizes k14; enum e_small k15; struct with_enum k16; struct exists k17; struct bigger k18; callback_t k19; number_t k20;
pointer_t k21; array_t k22; empty_t *k23; anonymous_enum_t k24; func_t *k25; fewer_t *k26; enum e_exists k27; union u_exists k28;
struct holds_declared k29; struct inner k30; struct matches k31; struct misses k32; struct changed k33; struct signs k34;
struct long_array k35; enum grown k36; enum shrunk k37; struct through_pointer k38; enum numbers k39; enum flags k40;
enum wide k41; enum wide_signed k42; enum became_wide k43; enum became_small k44; struct flavoured k45; struct two___one k46;
struct two___two k47; struct contradicts___x k48; struct contradicts___y k49;
