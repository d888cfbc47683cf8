/* A step that several functions inline. */
#pragma once

#include "../kinds/bpf.h"

u64 seen[4];

static INLINE void step(u64 by)
{
	__sync_fetch_and_add(&seen[0], by);
}
