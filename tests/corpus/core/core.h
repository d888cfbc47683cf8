/* What the programs of this folder share: the compiler's own questions to the kernel's types, by readable names. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;

#define SEC(name) __attribute__((section(name), used))
#define CORE __attribute__((preserve_access_index))
#define NOINLINE __attribute__((noinline))

#define BYTE_OFFSET(field) __builtin_preserve_field_info(field, 0)
#define BYTE_SIZE(field) __builtin_preserve_field_info(field, 1)
#define FIELD_EXISTS(field) __builtin_preserve_field_info(field, 2)
#define SIGNED(field) __builtin_preserve_field_info(field, 3)
#define LEFT_SHIFT(field) __builtin_preserve_field_info(field, 4)
#define RIGHT_SHIFT(field) __builtin_preserve_field_info(field, 5)

#define TYPE_ID_LOCAL(type) __builtin_btf_type_id(*(type *)0, 0)
#define TYPE_ID_TARGET(type) __builtin_btf_type_id(*(type *)0, 1)
#define TYPE_EXISTS(type) __builtin_preserve_type_info(*(type *)0, 0)
#define TYPE_SIZE(type) __builtin_preserve_type_info(*(type *)0, 1)
#define TYPE_MATCHES(type) __builtin_preserve_type_info(*(type *)0, 2)

#define ENUMERATOR_EXISTS(type, name) __builtin_preserve_enum_value(*(type *)name, 0)
#define ENUMERATOR_VALUE(type, name) __builtin_preserve_enum_value(*(type *)name, 1)

/* Where the answers go, so that nothing is optimised away. */
extern u64 out[64];
#define OUT(place, value) (*(volatile u64 *)&out[place] = (u64)(value))

char _license[] SEC("license") = "GPL";
u64 out[64];
