/* SPDX-License-Identifier: MIT */
/*
 * EPT of a guest of ours for its L2 (EPT12): from L2's physical addresses to
 * the guest's own. SDM vol. 3, "EPT Translation Mechanism".
 *
 * Changes are plain stores; whoever takes rights away or changes a present
 * entry does the INVEPT.
 */
#ifndef GUESTS_LIB_EPT12_H
#define GUESTS_LIB_EPT12_H

#include "lib/bits.h"
#include "lib/types.h"

#define EPT12_R          BIT(0)
#define EPT12_W          BIT(1)
#define EPT12_X          BIT(2)
#define EPT12_RWX        BITS(2, 0)
#define EPT12_TYPE_WB    (6u << 3)
#define EPT12_TYPE       BITS(5, 3)
#define EPT12_LARGE      BIT(7)
#define EPT12_A          BIT(8)
#define EPT12_D          BIT(9)
#define EPT12_ADDRESS    BITS(51, 12)

/* In the EPT pointer. */
#define EPT12_POINTER_AD BIT(6)

enum ept12_level {
	EPT12_4K = 1,
	EPT12_2M,
	EPT12_1G,
	EPT12_TOP,
};

static inline u64 ept12_bytes(enum ept12_level level)
{
	return 1ull << (3 + 9 * level);
}

struct ept12 {
	u64 root;
	u64 pointer; /* for the VMCS; EPT12_POINTER_AD may be added */
};

void ept12_make(struct ept12 *ept);

/* Maps nothing; the tables stay and are used again. */
void ept12_clear(struct ept12 *ept);

/*
 * Maps `bytes` from `l2` on to `l1` with leaves of one size, which both
 * addresses are multiples of. `rights` may hold any bits of the leaf.
 */
struct ept12_range {
	u64 l2, l1, bytes;
	enum ept12_level level;
	u64 rights;
};
void ept12_map(struct ept12 *ept, const struct ept12_range *range);

/* L2's address is L1's, up to `end`, in leaves of one size. */
void ept12_identity(struct ept12 *ept, u64 end, enum ept12_level level);

/*
 * The entry of that level on the way to an address. Tables that are missing are
 * made; a large leaf in the way becomes a table of smaller ones.
 */
volatile u64 *ept12_entry(struct ept12 *ept, u64 l2, enum ept12_level level);

#endif
