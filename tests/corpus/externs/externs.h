/* What the programs of this folder share. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef _Bool bool;

#define SEC(name) __attribute__((section(name), used))
#define KCONFIG __attribute__((section(".kconfig")))
#define KSYM __attribute__((section(".ksyms")))
#define WEAK __attribute__((weak))

enum libbpf_tristate { TRI_NO, TRI_YES, TRI_MODULE };

char _license[] SEC("license") = "GPL";

/* Where the answers go. */
u64 out[64];
#define OUT(place, value) (*(volatile u64 *)&out[place] = (u64)(value))
