/* SPDX-License-Identifier: MIT */
/* See emulate/breakpoint.h. */
#include "emulate/breakpoint.h"

/* The R/W fields of DR7. */
#define ON_WRITE  1u
#define ON_PORT   2u
#define ON_ACCESS 3u

/* By the LEN fields of DR7. */
static const u8 lengths[] = {1, 2, 8, 4};

static bool is_enabled(u64 dr7, u32 index)
{
	return dr7 >> 2 * index & 3;
}

static u32 type_of(u64 dr7, u32 index)
{
	return (u32)(dr7 >> (16 + 4 * index)) & 3;
}

static u64 length_of(u64 dr7, u32 index)
{
	return lengths[dr7 >> (18 + 4 * index) & 3];
}

/* Those whose type is one of `types`, as bits, and that overlap. */
static u64 met(const struct breakpoints *b, u32 types, u64 address, u32 bytes)
{
	u64 found = 0;

	for (u32 i = 0; i < BREAKPOINT_COUNT; i++) {
		u64 length = length_of(b->dr7, i);
		u64 start = b->addresses[i] & ~(length - 1);

		/* Differences wrap, as addresses do. */
		if (is_enabled(b->dr7, i) &&
		    (types >> type_of(b->dr7, i) & 1) &&
		    (start - address < bytes || address - start < length))
			found |= BIT(i);
	}
	return found;
}

u64 breakpoints_of_data(const struct breakpoints *b, u64 linear, u32 bytes,
			enum breakpoint_access access)
{
	return met(b,
		   1u << ON_ACCESS |
		       (access == BREAKPOINT_WRITE ? 1u << ON_WRITE : 0),
		   linear, bytes);
}

u64 breakpoints_of_port(const struct breakpoints *b, u16 port, u32 bytes)
{
	return b->has_ports ? met(b, 1u << ON_PORT, port, bytes) : 0;
}
