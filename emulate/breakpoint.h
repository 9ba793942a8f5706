/* SPDX-License-Identifier: MIT */
/*
 * Data and I/O breakpoints of what Umbra does for a guest, as a CPU finds them
 * (SDM vol. 3, "Debug Control Register (DR7)").
 */
#ifndef EMULATE_BREAKPOINT_H
#define EMULATE_BREAKPOINT_H

#include "lib/bits.h"
#include "lib/types.h"

#define BREAKPOINT_COUNT   4
#define BREAKPOINT_ENABLED BITS(7, 0) /* of DR7: any of L0 to G3 */

enum breakpoint_access { BREAKPOINT_READ, BREAKPOINT_WRITE };

struct breakpoints {
	u64 addresses[BREAKPOINT_COUNT]; /* DR0 to DR3 */
	u64 dr7;
	bool has_ports; /* CR4.DE */
};

/*
 * Which of those that are enabled an access of `bytes` (1 to 8) meets, as
 * DR6 has them. A breakpoint's own address is aligned to its length.
 */
u64 breakpoints_of_data(const struct breakpoints *b, u64 linear, u32 bytes,
			enum breakpoint_access access);
u64 breakpoints_of_port(const struct breakpoints *b, u16 port, u32 bytes);

#endif
