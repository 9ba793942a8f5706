/* SPDX-License-Identifier: MIT */
/*
 * One EPT entry as a value with a kind.
 *
 *	63       57..52   51                12 11 10  9 8 7 6 5..3 2 1 0
 *	+---+---+--------+--------------------+--+--+-+-+-+-+-----+-+-+-+
 *	|#VE|   |software|  frame or table    |  |  |D|A|L|I|type |X|W|R|
 *	+---+---+--------+--------------------+--+--+-+-+-+-+-----+-+-+-+
 *
 * L: large leaf (2M and 1G). I: ignore the guest's PAT. A and D exist only
 * when the EPTP turns them on; type and I only in leaves.
 * (SDM volume 3, chapter "VMX Support for Address Translation", section
 * "EPT Translation Mechanism".)
 *
 * "Present? large? last level?" is asked in one place, ept_entry_kind.
 */
#ifndef ARCH_X86_EPT_EPT_ENTRY_H
#define ARCH_X86_EPT_EPT_ENTRY_H

#include "mm/addr.h"

typedef struct {
	u64 raw;
} ept_entry_t;

enum ept_kind {
	EPT_HOLE,
	EPT_TABLE,
	EPT_LEAF,
};

/* A level is named by the size that its leaves map. */
enum ept_level {
	EPT_4K = 1,
	EPT_2M = 2,
	EPT_1G = 3,
	EPT_TOP = 4, /* never a leaf */
};

#define EPT_ENTRIES 512

enum ept_memory_type {
	EPT_UC = 0,
	EPT_WC = 1,
	EPT_WT = 4,
	EPT_WP = 5,
	EPT_WB = 6,
};

#define EPT_R             BIT(0)
#define EPT_W             BIT(1)
#define EPT_X             BIT(2)
#define EPT_RWX           BITS(2, 0)
#define EPT_TYPE          BITS(5, 3)
#define EPT_IGNORE_PAT    BIT(6)
#define EPT_LARGE         BIT(7)
#define EPT_A             BIT(8)
#define EPT_D             BIT(9)
#define EPT_ADDRESS       BITS(51, 12)

/*
 * Software bits; the CPU ignores bits 56 to 52 in every entry.
 *
 * HOST_WRITABLE: the page is RAM of the VM: W may be set at all.
 * MAY_WRITE: W may be set without asking anybody, by the lock-free fix. A
 * leaf with MAY_WRITE and W=0 is write-protected for dirty logging alone,
 * and some TLB may still say W=1: who clears MAY_WRITE owes a flush whatever
 * W was. MAY_WRITE implies HOST_WRITABLE and a leaf of the direct map.
 * KEEP_SMALL: not to be merged into a larger leaf.
 * Bits 54 and 55 belong to the shadow floor.
 */
#define EPT_HOST_WRITABLE BIT(52)
#define EPT_MAY_WRITE     BIT(53)
#define EPT_SHADOW_TAG    BITS(55, 54)
#define EPT_KEEP_SMALL    BIT(56)

_Static_assert(((EPT_HOST_WRITABLE | EPT_MAY_WRITE | EPT_SHADOW_TAG |
		 EPT_KEEP_SMALL) &
		(EPT_ADDRESS | EPT_RWX | EPT_LARGE | EPT_A | EPT_D)) == 0,
	       "software bits touch nothing that the CPU reads");

/* What this CPU (or the one that a guest sees) understands. */
struct ept_format {
	enum ept_level largest_leaf; /* EPT_4K, EPT_2M or EPT_1G */
	u8 physical_bits;            /* MAXPHYADDR */
	bool accessed_dirty;         /* A and D bits, EPTP bit 6 */
	bool execute_only;           /* X without R is allowed */
	bool uncacheable_tables;     /* EPTP type UC because WB is missing */
};

static inline u64 ept_level_bytes(enum ept_level level)
{
	return 1ULL << (3 + 9 * level);
}

_Static_assert(1ULL << (3 + 9 * EPT_4K) == PAGE_4K, "level arithmetic");
_Static_assert(1ULL << (3 + 9 * EPT_1G) == PAGE_1G, "level arithmetic");

static inline u32 ept_index(u64 address, enum ept_level level)
{
	return (u32)(address >> (3 + 9 * level)) % EPT_ENTRIES;
}

static inline enum ept_kind ept_entry_kind(ept_entry_t entry,
					   enum ept_level level)
{
	if (!(entry.raw & EPT_RWX))
		return EPT_HOLE;
	if (level == EPT_4K || (level != EPT_TOP && (entry.raw & EPT_LARGE)))
		return EPT_LEAF;
	return EPT_TABLE;
}

static inline hpa_t ept_entry_address(ept_entry_t entry)
{
	return hpa(entry.raw & EPT_ADDRESS);
}

/* The table below; while it is linked the CPU walks it with all rights. */
static inline ept_entry_t ept_entry_table(hpa_t table)
{
	return (ept_entry_t){hpa_raw(table) | EPT_RWX};
}

/* What a leaf grants and how it is cached. */
struct ept_attributes {
	u64 rights; /* of EPT_R, EPT_W, EPT_X */
	enum ept_memory_type type;
	bool ignore_pat;
};

/* A leaf of the direct map: A and D set, so that D=0 always means "armed". */
ept_entry_t ept_entry_leaf(hpa_t frame, enum ept_level level,
			   const struct ept_attributes *attributes);

/*
 * Would the CPU report an EPT misconfiguration for this entry? (SDM section
 * "EPT Misconfigurations".) Complete for entries that guests chose, without
 * mode-based execute control.
 */
bool ept_entry_misconfigured(ept_entry_t entry, enum ept_level level,
			     const struct ept_format *format);

#endif
