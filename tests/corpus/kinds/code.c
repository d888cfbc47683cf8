/* The code of code.h in a program that sends the sum through a ring. */
#include "code.h"

struct {
	FIELD(type, RINGBUF);
	FIELD(max_entries, 4096);
} events SEC(".maps");

struct {
	FIELD(type, ARRAY);
	FIELD(max_entries, 4);
	TYPE(key, u32);
	TYPE(value, u64);
} values SEC(".maps");

u32 own;

static INLINE int send(void)
{
	u64 *sum;

	if (get_current_pid_tgid() >> 32 != own)
		return 0;
	sum = ringbuf_reserve(&events, sizeof(*sum), 0);
	if (!sum)
		return 0;
	*sum = all();
	ringbuf_submit(sum, 0);
	return 0;
}

SEC("raw_tp/sys_enter") int adds(void *ctx)
{
	return send();
}

/* The same code once more: what one program links, the other has, too. */
SEC("raw_tp/sys_exit") int adds_again(void *ctx)
{
	return send();
}

LICENSE("GPL");
