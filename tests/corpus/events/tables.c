/* No buffer at all, but maps of every kind that can be shown, and variables. */
#include "events.h"

enum colour { RED = 1, GREEN, BLUE };
struct key { u32 pid; enum colour colour; };
struct count { u64 calls; char who[8]; };

struct {
	FIELD(type, HASH);
	FIELD(max_entries, 16);
	TYPE(key, struct key);
	TYPE(value, struct count);
} counts SEC(".maps");

struct {
	FIELD(type, ARRAY);
	FIELD(max_entries, 8);
	TYPE(key, u32);
	TYPE(value, s64);
} slots SEC(".maps");

struct {
	FIELD(type, PERCPU_HASH);
	FIELD(max_entries, 8);
	TYPE(key, u32);
	TYPE(value, u32);
} by_cpu SEC(".maps");

struct {
	FIELD(type, HASH);
	FIELD(max_entries, 2);
	FIELD(key_size, 2);
	FIELD(value_size, 3);
} sized SEC(".maps");

u64 calls;
s32 balance = -5;
char label[8] = "label";
enum colour favourite = GREEN;
const volatile u32 step = 1;

PROGRAM(counts_calls)
{
	struct key key = { own, BLUE };
	struct count count = { 3, "nobody" };
	u32 place = 2;
	s64 value = -7;
	u16 small = 0x0201;
	u8 three[3] = { 1, 2, 3 };

	ONLY_OWN;
	calls += step;
	map_update_elem(&counts, &key, &count, 0);
	map_update_elem(&slots, &place, &value, 0);
	map_update_elem(&by_cpu, &place, &place, 0);
	map_update_elem(&sized, &small, three, 0);
	return 0;
}
