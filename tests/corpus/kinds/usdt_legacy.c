/* The older header's structures in maps that are described without types. */
#define NO_INDEX
#define LEGACY
#include "usdt.c"
