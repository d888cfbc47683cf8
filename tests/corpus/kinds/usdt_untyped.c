/* The map does not say which type its values have, only their size. */
#define UNTYPED
#include "usdt.c"
