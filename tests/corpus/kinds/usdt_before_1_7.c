/* An object that was compiled with the header of libbpf 1.0 to 1.6. */
#define NO_INDEX
#include "usdt.c"
