/* Parsers of packets for several types of programs, with bounds checks, and rewriting. */
#include "common.h"

MAP(ports, HASH, u16, u64, 64);
MAP(protocols, PERCPU_ARRAY, u32, u64, 256);
u64 bytes, dropped;

struct ethernet {
	u8 to[6], from[6];
	u16 kind;
};
struct ipv4 {
	u8 version, service;
	u16 length, id, fragment;
	u8 ttl, protocol;
	u16 checksum;
	u32 from, to;
};
struct udp {
	u16 from, to, length, checksum;
};

static INLINE int parse(u8 *data, u8 *end)
{
	struct ethernet *ethernet = (void *)data;
	struct ipv4 *ip = (void *)(ethernet + 1);
	struct udp *udp;
	u32 protocol;
	u64 *count, one = 1;

	if ((void *)(ethernet + 1) > (void *)end)
		return -1;
	if (ethernet->kind == 0xdd86)
		return 6;
	if (ethernet->kind != 0x0008 || (void *)(ip + 1) > (void *)end)
		return -2;
	protocol = ip->protocol;
	count = map_lookup_elem(&protocols, &protocol);
	if (count)
		*count += 1;
	if (protocol != 17)
		return -3;
	udp = (void *)((u8 *)ip + (ip->version & 15) * 4);
	if ((void *)(udp + 1) > (void *)end)
		return -4;
	count = map_lookup_elem(&ports, &udp->to);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		map_update_elem(&ports, &udp->to, &one, 0);
	return 4;
}

SEC("xdp") int filters(struct xdp *ctx)
{
	int kind = parse(DATA(ctx), END(ctx));

	bytes += END(ctx) - DATA(ctx);
	if (kind < 0) {
		dropped++;
		return 1;
	}
	return 2;
}

SEC("xdp") int rewrites(struct xdp *ctx)
{
	struct ethernet *ethernet = (void *)DATA(ctx);
	u8 other;

	if ((void *)(ethernet + 1) > (void *)END(ctx))
		return 1;
	for (int at = 0; at < 6; at++) {
		other = ethernet->to[at];
		ethernet->to[at] = ethernet->from[at];
		ethernet->from[at] = other;
	}
	return 3;
}

SEC("tc") int classifies(struct skb *ctx)
{
	int kind = parse(DATA(ctx), END(ctx));

	ctx->mark = kind;
	ctx->cb[1] = ctx->len;
	return kind < 0 ? 2 : 0;
}

SEC("cgroup_skb/egress") int egress(struct skb *ctx)
{
	return ctx->len > 60;
}

SEC("socket") int cuts(struct skb *ctx)
{
	u8 header[20];

	if (skb_load_bytes(ctx, 0, header, sizeof(header)))
		return 0;
	return header[0] == 0x45 ? 20 : ctx->len;
}

/* Legacy loads: the program ends if the packet is too short. */
u64 load_byte(void *ctx, u64 offset) asm("llvm.bpf.load.byte");
u64 load_half(void *ctx, u64 offset) asm("llvm.bpf.load.half");

SEC("socket") int legacy(struct skb *ctx)
{
	u64 sum = load_half(ctx, 2);

	dropped++;
	sum += load_byte(ctx, 30);
	bytes += sum;
	if (load_byte(ctx, 60) == 3)
		return sum;
	return 1;
}

SEC("flow_dissector") int dissects(struct skb *ctx)
{
	return DATA(ctx) + 14 > END(ctx) ? 2 : 0;
}
