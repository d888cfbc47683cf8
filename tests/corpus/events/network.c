/* Numbers and addresses in network byte order, by the names of the kernel's types. */
#include "events.h"

typedef u16 __be16;
typedef u32 __be32;
typedef u64 __be64;

struct in_addr { __be32 s_addr; };
struct in6_addr {
	union { u8 u6_addr8[16]; __be16 u6_addr16[8]; __be32 u6_addr32[4]; } in6_u;
};

RING(events);
struct flow {
	u32 pid;
	__be16 port;
	__be32 saddr, sequence;
	__be64 cookie;
	struct in_addr to;
	struct in6_addr from, mapped;
	__be16 ports[2];
};
DESCRIBED(struct flow, flow);

PROGRAM(sends)
{
	struct flow *e;

	ONLY_OWN;
	e = ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	e->pid = own;
	e->port = __builtin_bswap16(443);
	e->saddr = __builtin_bswap32(0x7f000001);
	e->sequence = __builtin_bswap32(5);
	e->cookie = __builtin_bswap64(6);
	e->to.s_addr = __builtin_bswap32(0x0a000002);
	e->from.in6_u.u6_addr8[0] = 0xfe;
	e->from.in6_u.u6_addr8[1] = 0x80;
	e->from.in6_u.u6_addr8[15] = 1;
	e->mapped.in6_u.u6_addr8[10] = 0xff;
	e->mapped.in6_u.u6_addr8[11] = 0xff;
	e->mapped.in6_u.u6_addr8[12] = 192;
	e->mapped.in6_u.u6_addr8[15] = 1;
	e->ports[0] = __builtin_bswap16(80);
	e->ports[1] = __builtin_bswap16(8080);
	ringbuf_submit(e, 0);
	return 0;
}
