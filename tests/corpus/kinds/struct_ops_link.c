/* The same table for a link. */
#define SECTION ".struct_ops.link"
#include "struct_ops.c"
