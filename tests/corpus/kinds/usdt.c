/* A program on a USDT probe that tells its arguments. The maps and the structures in them are those of libbpf's usdt.bpf.h,
 * which are an interface between compiled objects and loaders; the code that reads them is our own. An object has the layout of
 * the header that it was compiled with: here that of libbpf 1.7, where the compiler begins a new storage unit for the members
 * of 16 bits, and an argument takes 24 bytes. With NO_INDEX it is that of libbpf 1.0 to 1.6. UNTYPED and LEGACY give sizes of
 * values instead of their types. */
#include "bpf.h"

enum __bpf_usdt_arg_type { CONSTANT, REGISTER, MEMORY, INDEXED };

struct __bpf_usdt_arg_spec {
	u64 val_off;
#if defined(NO_INDEX)
	enum __bpf_usdt_arg_type arg_type;
#elif __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	enum __bpf_usdt_arg_type arg_type : 8;
	u16 idx_reg_off : 12;
	u16 scale_bitshift : 4;
	u8 __reserved : 8;
#else
	u8 __reserved : 8;
	u16 idx_reg_off : 12;
	u16 scale_bitshift : 4;
	enum __bpf_usdt_arg_type arg_type : 8;
#endif
	s16 reg_off;
	_Bool arg_signed;
	char arg_bitshift;
};

struct __bpf_usdt_spec {
	struct __bpf_usdt_arg_spec args[12];
	u64 usdt_cookie;
	s16 arg_cnt;
};

#ifdef LEGACY
struct map {
	u32 type, key_size, value_size, max_entries, flags;
};

struct map SEC("maps") __bpf_usdt_specs = { ARRAY, 4, sizeof(struct __bpf_usdt_spec), 4, 0 };
struct map SEC("maps") __bpf_usdt_ip_to_spec_id = { HASH, 8, 4, 16, 0 };
struct map SEC("maps") events = { RINGBUF, 0, 0, 65536, 0 };
#else
struct {
	FIELD(type, ARRAY);
	FIELD(max_entries, 4);
#ifdef UNTYPED
	FIELD(key_size, 4);
	FIELD(value_size, sizeof(struct __bpf_usdt_spec));
#else
	TYPE(key, int);
	TYPE(value, struct __bpf_usdt_spec);
#endif
} __bpf_usdt_specs SEC(".maps") WEAK;

struct {
	FIELD(type, HASH);
	FIELD(max_entries, 16);
	TYPE(key, long);
	TYPE(value, u32);
} __bpf_usdt_ip_to_spec_id SEC(".maps") WEAK;

struct {
	FIELD(type, RINGBUF);
	FIELD(max_entries, 65536);
} events SEC(".maps");
#endif

struct event {
	u64 cookie;
	s64 count;
	s64 arguments[12];
	s64 errors[12];
};

#ifdef NO_INDEX
#define LAST MEMORY
#else
#define LAST INDEXED
#endif

static INLINE long read(struct __bpf_usdt_spec *d, char *registers, int number, s64 *to)
{
	struct __bpf_usdt_arg_spec *a = &d->args[number];
	u64 value = 0, other = 0;
	long error = 0;

	if (a->arg_type == CONSTANT) {
		value = a->val_off;
	} else if (a->arg_type > LAST) {
		return -22;
	} else {
		error = probe_read_kernel(&value, 8, registers + a->reg_off);
#ifndef NO_INDEX
		if (!error && a->arg_type == INDEXED) {
			error = probe_read_kernel(&other, 8, registers + a->idx_reg_off);
			other <<= a->scale_bitshift;
		}
#endif
		if (!error && a->arg_type != REGISTER)
			error = probe_read_user(&value, 8, (void *)(value + a->val_off + other));
	}
	value <<= a->arg_bitshift & 63;
	*to = a->arg_signed ? (s64)value >> (a->arg_bitshift & 63) : (s64)(value >> (a->arg_bitshift & 63));
	return error;
}

static INLINE int tell(void *ctx, u32 number)
{
	struct __bpf_usdt_spec *d = map_lookup_elem(&__bpf_usdt_specs, &number);
	struct event *e = d ? ringbuf_reserve(&events, sizeof(*e), 0) : 0;
	if (!e)
		return 0;
	e->cookie = d->usdt_cookie;
	e->count = d->arg_cnt;
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
