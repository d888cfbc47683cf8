/* Types of every layout that attributes, unions and bit fields make. No program uses them. */
#include "../kinds/bpf.h"

typedef _Bool bool;

#define PACKED __attribute__((packed))
#define ALIGNED(bytes) __attribute__((aligned(bytes)))
/* Compilers describe a type in BTF if a global variable has to do with it. */
#define DESCRIBED(type, name) type *described_##name

struct natural { u8 a; u64 b; u16 c; };
DESCRIBED(struct natural, natural);
struct packed { u8 a; u64 b; u16 c; } PACKED;
DESCRIBED(struct packed, packed);
struct packed_by_two { u8 a; u64 b; u16 c; } PACKED ALIGNED(2);
DESCRIBED(struct packed_by_two, packed_by_two);
struct packed_by_four { u32 a; u64 b; } PACKED ALIGNED(4);
DESCRIBED(struct packed_by_four, packed_by_four);
struct aligned { u32 a; } ALIGNED(64);
DESCRIBED(struct aligned, aligned);
struct member_aligned { u32 a; u32 b ALIGNED(32); u8 c; };
DESCRIBED(struct member_aligned, member_aligned);
struct holds_aligned { u8 a; struct aligned b; u8 c; };
DESCRIBED(struct holds_aligned, holds_aligned);
struct packed_holds_aligned { u8 a; struct aligned b; u32 c; } PACKED;
DESCRIBED(struct packed_holds_aligned, packed_holds_aligned);
struct holds_packed { u8 a; struct packed b; u32 c; struct packed d[3]; };
DESCRIBED(struct holds_packed, holds_packed);
struct unnamed_bits { u32 a : 3; u32 : 29; u32 b; u64 : 64; u32 c; };
DESCRIBED(struct unnamed_bits, unnamed_bits);
struct bits { u8 a; u32 b : 4, c : 13; s32 d : 5; u64 e : 40; bool f : 1; u16 g; };
DESCRIBED(struct bits, bits);
struct packed_bits { u8 a; u32 b : 20; u32 c : 12; u16 d; } PACKED;
DESCRIBED(struct packed_bits, packed_bits);
union number { u8 byte; u64 word; struct { u16 low, high; } halves; float real; };
DESCRIBED(union number, number);
union packed_number { u8 byte; u64 word; u8 all[11]; } PACKED;
DESCRIBED(union packed_number, packed_number);
struct unions { u8 a; union number b; union { u32 c; u8 d[6]; struct { u8 e; u64 f; } PACKED; }; union { u16 g; }; u8 h; };
DESCRIBED(struct unions, unions);
struct nested { struct { u8 a; struct { u16 b; u64 c; }; } first; struct { u32 d; }; struct { u8 e; } many[2][3]; };
DESCRIBED(struct nested, nested);
struct flexible { u64 a; u32 b; u8 data[]; };
DESCRIBED(struct flexible, flexible);
struct flexible_words { u16 count; u32 words[]; };
DESCRIBED(struct flexible_words, flexible_words);
struct flexible_parts { u16 count; struct { u8 a; u16 b; } parts[]; };
DESCRIBED(struct flexible_parts, flexible_parts);
struct empty {};
DESCRIBED(struct empty, empty);
struct holds_empty { u32 a; struct empty b; int none[0]; u32 c; };
DESCRIBED(struct holds_empty, holds_empty);
struct wide { __int128 a; u8 b; unsigned __int128 c; };
DESCRIBED(struct wide, wide);
struct real { float a; double b; bool c; };
DESCRIBED(struct real, real);
struct forward;
struct pointers { struct forward *a; struct pointers *b; int (*c)(int); void *d[2]; const char *e; };
DESCRIBED(struct pointers, pointers);
enum state { STATE_A = 1, STATE_B = 1, STATE_C = -5 };
enum large { LARGE_A = 1ULL << 40, LARGE_B = 7 };
enum byte { BYTE_A, BYTE_B = 200 } PACKED;
enum { NAME_UNUSED };
struct enums { enum state a; enum large b; enum byte c, d; enum { HERE_A = 9, name, SIZE, self, type } e; enum state f : 4; };
DESCRIBED(struct enums, enums);
struct opaque { u64 : 64; u64 : 64; } ALIGNED(8);
struct lock { u32 val; };
struct holds_opaque { u32 a; struct opaque timer; struct lock lock; u8 b; };
DESCRIBED(struct holds_opaque, holds_opaque);
struct keywords { u32 type, self, match, async, gen, fn, crate, Self, try, set_type, bits_0, _; };
DESCRIBED(struct keywords, keywords);
struct accessors { u32 x : 3, set_x : 4, from_record : 5, clone : 2, default_ : 6; union { u8 union_4; u16 bytes_4; }; };
DESCRIBED(struct accessors, accessors);
struct apart { u32 self, self_, Self, Self_, crate, crate_, super, super_, _, __; };
DESCRIBED(struct apart, apart);
struct hides { u32 SIZE : 3, self : 4, self_ : 5; union { u32 KIND; u16 _; u8 __; }; };
DESCRIBED(struct hides, hides);
typedef struct { u8 a; u32 b; } untagged_t;
typedef struct natural natural_t;
typedef natural_t also_natural;
typedef u64 words_t[5];
struct typedefs { untagged_t a; natural_t b; also_natural c; words_t d; volatile const u16 e; };
DESCRIBED(struct typedefs, typedefs);
union natural_union { u8 a; };
struct Natural { u8 b; };
struct option { u8 a; };
struct same_names { struct Natural a; union natural_union b; struct option c; };
DESCRIBED(struct same_names, same_names);
struct large_arrays { u8 text[64]; u64 many[40]; struct natural all[33]; };
DESCRIBED(struct large_arrays, large_arrays);
struct a_structure_whose_name_is_as_long_as_names_of_types_can_be_in_practice {
	struct large_arrays a_member_whose_name_is_as_long_as_names_of_members_can_be[2][3];
	u32 another_member_whose_name_is_as_long_as_names_of_members_can_be : 3;
	u64 a_third_member_whose_name_is_as_long_as_names_of_members_can_be;
	union number a_fourth_member_whose_name_is_as_long_as_names_can_be;
};
DESCRIBED(struct a_structure_whose_name_is_as_long_as_names_of_types_can_be_in_practice, long_names);
enum an_enumeration_whose_name_is_as_long_as_names_of_types_can_be {
	AN_ENUMERATOR_WHOSE_NAME_IS_AS_LONG_AS_NAMES_OF_ENUMERATORS_CAN_BE,
};
DESCRIBED(enum an_enumeration_whose_name_is_as_long_as_names_of_types_can_be, long_enum);

struct {
	FIELD(type, HASH);
	FIELD(max_entries, 1);
	TYPE(key, struct { u32 a; u8 b; });
	TYPE(value, struct a_structure_whose_name_is_as_long_as_names_of_types_can_be_in_practice);
} a_map_whose_name_is_as_long_as_names_of_maps_can_be SEC(".maps");

enum an_enumeration_whose_name_is_as_long_as_names_of_types_can_be chosen;
struct large_arrays a_variable_whose_name_is_as_long_as_names_can_be;
u8 too_large_for_a_value[1 << 17];

LICENSE("GPL");
