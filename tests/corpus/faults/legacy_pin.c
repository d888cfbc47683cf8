/* The older form of a map, with what iproute2 writes behind it: id and pinning, where 2 is a folder of its own. */
#include "../kinds/bpf.h"

struct { u32 type, key_size, value_size, max_entries, flags, id, pinning; } globals SEC("maps") = { HASH, 4, 8, 1, 0, 0, 2 };

LICENSE("GPL");
