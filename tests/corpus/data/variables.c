/* Global variables of every section and kind. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef _Bool bool;

#define SEC(name) __attribute__((section(name), used))

struct pair {
	int one;
	u64 other;
};
enum colour { RED = 1, BLUE = 2 };

char _license[] SEC("license") = "GPL";

const volatile u32 limit = 10;
const volatile char name[16] = "nobody";
const volatile int levels[3] SEC(".rodata.levels") = { 1, 2, 3 };

u64 counter;
static volatile int hidden;
bool enabled;
struct pair pair;
void *address;
u8 small SEC(".bss.small");

int offset = -5;
u16 ports[4] = { 1, 2, 3, 4 };
enum colour colour = RED;
long tuning SEC(".data.tuning") = 100;
u64 sum SEC(".data.tuning");

/* Adds up what it sees. */
SEC("syscall") int add(void *ctx)
{
	if (!enabled)
		return 1;
	__sync_fetch_and_add(&counter, 1);
	hidden += 2;
	sum += limit + levels[0] + levels[1] + levels[2] + offset + ports[3] + tuning + colour;
	pair.one += 1;
	pair.other += small;
	for (int i = 0; i < 16 && name[i]; i++)
		sum += name[i] == 'x';
	return 0;
}
