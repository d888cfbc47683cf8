/* Every way in which code refers to code and to data, in a program that adds up what it finds. The sum is known: each part adds
 * one digit, so that a part that goes wrong shows. */
#pragma once
#include "bpf.h"

struct pair { u32 a; u32 b; };

/* Data, in every section and linkage. */
const volatile u64 constant = 1;                     /* .rodata, settable */
static const volatile u32 table[4] = { 9, 9, 2, 9 }; /* .rodata, by the section's symbol */
u64 initialised = 3;                                 /* .data */
static volatile u32 hidden_initialised = 4;          /* .data, by the section's symbol */
u64 zero;                                            /* .bss */
static volatile u64 hidden_zero;                     /* .bss, by the section's symbol */
struct pair pair = { .a = 0, .b = 5 };               /* a member in the middle */
u64 own_section SEC(".data.own") = 6;
const volatile u64 own_constant SEC(".rodata.own") = 7;
u64 own_zero SEC(".bss.own");
HIDDEN u64 hidden_global = 8;
WEAK u64 weak_global = 9;

/* Functions, in every section and linkage. */
static NOINLINE u64 local(u64 x)
{
	return x * 10 + table[2];
}

NOINLINE u64 global(u64 x)
{
	return x * 10 + initialised;
}

WEAK NOINLINE u64 weak(u64 x)
{
	return x * 10 + hidden_initialised;
}

/* The verifier knows of its argument what it knows of a static one's. */
HIDDEN NOINLINE u64 hidden(u64 *x)
{
	return *x * 10 + pair.b;
}

/* Both of these start at byte 0 of their sections. */
SEC(".text.first") NOINLINE u64 in_first(u64 x)
{
	return x * 10 + own_section;
}

SEC(".text.second") NOINLINE u64 in_second(u64 x)
{
	return x * 10 + own_constant;
}

/* A section of no kind that a loader knows. */
SEC("elsewhere") NOINLINE u64 in_elsewhere(u64 x)
{
	return in_first(x) / 10 * 10 + hidden_global;
}

/* A function that calls another one, which is called by others, too. */
static NOINLINE u64 deep(u64 x)
{
	return local(x) / 10 * 10 + weak_global;
}

static INLINE u64 all(void)
{
	u64 x = constant;
	x = local(x);
	x = global(x);
	x = weak(x);
	x = hidden(&x);
	x = in_first(x);
	x = in_second(x);
	x = in_elsewhere(x);
	x = deep(x);
	zero += 1;
	hidden_zero += 1;
	own_zero += 1;
	return x * 10 + (zero && hidden_zero && own_zero ? 0 : 1);
}

#define SUM 1234567890ull
