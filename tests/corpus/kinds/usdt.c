/* A program on a USDT probe that tells its arguments. The maps and the structures in them are those of libbpf's usdt.bpf.h,
 * which are an interface between compiled objects and loaders; the code that reads them is our own. */
#include "bpf.h"

enum how { CONSTANT, REGISTER, MEMORY, INDEXED };

struct argument {
	u64 value;
	u32 how : 8, index : 12, power : 4, reserved : 8;
	s16 register_at;
	u8 is_signed;
	u8 shift;
};

struct description {
	struct argument arguments[12];
	u64 cookie;
	s16 count;
};

struct {
	FIELD(type, ARRAY);
	FIELD(max_entries, 4);
	TYPE(key, int);
	TYPE(value, struct description);
} __bpf_usdt_specs SEC(".maps") WEAK;

struct {
	FIELD(type, HASH);
	FIELD(max_entries, 16);
	TYPE(key, long);
	TYPE(value, u32);
} __bpf_usdt_ip_to_spec_id SEC(".maps") WEAK;

struct event {
	u64 cookie;
	s64 count;
	s64 arguments[12];
	s64 errors[12];
};

struct {
	FIELD(type, RINGBUF);
	FIELD(max_entries, 65536);
} events SEC(".maps");

static INLINE long read(struct description *d, char *registers, int number, s64 *to)
{
	struct argument *a = &d->arguments[number];
	u64 value = 0, other = 0;
	long error = 0;

	if (a->how == CONSTANT) {
		value = a->value;
	} else if (a->how > INDEXED) {
		return -22;
	} else {
		error = probe_read_kernel(&value, 8, registers + a->register_at);
		if (!error && a->how == INDEXED)
			error = probe_read_kernel(&other, 8, registers + a->index);
		if (!error && a->how != REGISTER)
			error = probe_read_user(&value, 8, (void *)(value + a->value + (other << a->power)));
	}
	value <<= a->shift & 63;
	*to = a->is_signed ? (s64)value >> (a->shift & 63) : (s64)(value >> (a->shift & 63));
	return error;
}

static INLINE int tell(void *ctx, u32 number)
{
	struct description *d = map_lookup_elem(&__bpf_usdt_specs, &number);
	struct event *e = d ? ringbuf_reserve(&events, sizeof(*e), 0) : 0;
	if (!e)
		return 0;
	e->cookie = d->cookie;
	e->count = d->count;
#pragma unroll
	for (int i = 0; i < 12; i++) {
		e->arguments[i] = 0;
		e->errors[i] = read(d, ctx, i, &e->arguments[i]);
	}
	ringbuf_submit(e, 0);
	return 0;
}

SEC("usdt") int by_cookie(void *ctx)
{
	return tell(ctx, get_attach_cookie(ctx));
}

/* Before Linux 5.15 the number is looked up by the address. */
SEC("?usdt") int by_address(u64 *registers)
{
	u64 address = registers[16];
	u32 *number = map_lookup_elem(&__bpf_usdt_ip_to_spec_id, &address);
	return number ? tell(registers, *number) : 0;
}

LICENSE("GPL");
