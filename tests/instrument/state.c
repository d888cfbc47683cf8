/* Maps: locks, counters for each CPU, least recently used elements; programs on test functions of the kernel. */
#include "common.h"

struct bpf_spin_lock {
	u32 val;
};
struct entry {
	struct bpf_spin_lock lock;
	u32 kind;
	u64 count, total;
};

MAP(entries, HASH, u32, struct entry, 64);
MAP(recent, LRU_HASH, u32, u64, 64);
MAP(each, PERCPU_HASH, u32, u64, 64);
RING(events, 8192);
u64 entered, left;

SEC("tc") int locks(struct skb *ctx)
{
	u32 key = ctx->len & 7;
	struct entry fresh = { .count = 1 }, *entry = map_lookup_elem(&entries, &key);
	u64 total;

	if (!entry)
		return map_update_elem(&entries, &key, &fresh, 0) ? 9 : 1;
	spin_lock(&entry->lock);
	entry->count++;
	entry->total += ctx->len;
	total = entry->total;
	if (total > 500)
		entry->kind = 3;
	spin_unlock(&entry->lock);
	return total;
}

SEC("tc") int remembers(struct skb *ctx)
{
	for (u32 turn = 0; turn < 10; turn++) {
		u32 key = turn;
		u64 one = 1, *value = map_lookup_elem(&recent, &key);

		if (value && *value > 2)
			map_delete_elem(&recent, &key);
		else if (value)
			(*value)++;
		else
			map_update_elem(&recent, &key, &one, 0);
		value = map_lookup_elem(&each, &key);
		if (!value)
			map_update_elem(&each, &key, &one, 1);
		else
			*value += key;
	}
	return 0;
}

SEC("fentry/bpf_fentry_test1") int enters(u64 *ctx)
{
	u64 *event = ringbuf_reserve(&events, 8, 0);

	entered += ctx[0];
	if (!event)
		return 0;
	*event = ctx[0];
	ringbuf_submit(event, 0);
	return 0;
}

SEC("fexit/bpf_fentry_test2") int leaves(u64 *ctx)
{
	left += ctx[0] + ctx[2];
	return 0;
}

SEC("fmod_ret/bpf_modify_return_test") int changes(u64 *ctx)
{
	entered += 1000;
	return 0;
}
