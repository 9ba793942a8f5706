/* SPDX-License-Identifier: MIT */
/*
 * A guest's own paging: from linear to guest-physical addresses, with the
 * rights of every access and the accessed and dirty flags, as the CPU does
 * it. For instructions that Umbra executes or completes on a guest's behalf.
 *
 *	none       CR0.PG=0           linear is physical
 *	32-bit     CR4.PAE=0          2 levels, 4K and 4M (CR4.PSE) pages
 *	PAE        CR4.PAE=1          4 pointers in registers, 2 levels
 *	4-level    EFER.LMA=1         4K, 2M and 1G pages
 *
 * 5-level paging and protection keys are not offered to guests.
 *
 * Tables are read from guest memory anew each time: nothing is cached, and
 * what another vCPU changes meanwhile is noticed when the flags are set. Any
 * contents of any memory are safe to walk.
 *
 * With 4-level paging, who walks often keeps paths. That is no TLB either: each
 * entry that a walk has used is kept beside the place where it stands, and all
 * are compared again, from the top, as a walk would read them. While they are
 * what they were, and so is what rights depend on, a walk would end where it
 * did, and would have nothing to write.
 */
#ifndef MM_GUEST_WALK_H
#define MM_GUEST_WALK_H

#include "lib/err.h"
#include "mm/addr.h"
#include "mm/guest_mem.h"

#define GUEST_PATH_LEVELS 4u

/* How a walk went that ended well. */
struct guest_path {
	u64 linear; /* of the page, + 1; 0: nothing is known */
	u64 cr0, cr3, cr4, efer, rflags;
	u64 cpl;
	gpa_t page;
	/* From the top down; what is left over always holds. */
	const u64 *at[GUEST_PATH_LEVELS];
	u64 value[GUEST_PATH_LEVELS];
};

/* Four each of reads, writes and fetches; zeroes at first. One guest's. */
#define GUEST_PATHS_OF_ACCESS 4u

struct guest_paths {
	struct guest_path of[3][GUEST_PATHS_OF_ACCESS];
};

/* The vCPU's registers that paging depends on. */
struct guest_paging {
	u64 cr0, cr3, cr4, efer, rflags;
	u64 pdptes[4]; /* PAE: as the CPU loaded them, not as in memory */
	u32 phys_bits; /* the guest's MAXPHYADDR, 32 to 52 */
	u8 cpl;
	bool has_1g_pages;               /* CPUID 80000001H:EDX[26] */
	const struct guest_below *below; /* of a guest's guest, or NULL */
	struct guest_paths *paths; /* NULL: none are kept, as with `below` */
};

struct guest_below;

enum guest_access {
	GUEST_LOOK, /* no rights are checked and no flags set: for a debugger */
	GUEST_READ,
	GUEST_WRITE,
	GUEST_FETCH,
	/* By the CPU itself, as supervisor whatever the CPL: descriptors. */
	GUEST_SYSTEM_READ,
	GUEST_SYSTEM_WRITE,
};

/* The bits of a #PF's error code. */
#define PF_PRESENT  BIT(0) /* a right was missing, not the page */
#define PF_WRITE    BIT(1)
#define PF_USER     BIT(2)
#define PF_RESERVED BIT(3)
#define PF_FETCH    BIT(4)

/*
 * A guest's guest: the physical addresses of its tables' entries, and those
 * that they map, are translated once more. The function answers as guest_walk
 * does; ERR_STATE: it refuses, and its context knows why.
 */
enum guest_target { GUEST_TABLE_ENTRY, GUEST_PAGE };

struct guest_below {
	enum err (*translate)(void *context, u64 physical,
			      enum guest_access access,
			      enum guest_target target, gpa_t *address);
	void *context;
};

struct guest_page {
	gpa_t address;  /* what the linear address means */
	u64 page_bytes; /* of the page that it is in; 4K with paging off */
	u32 error_code; /* with ERR_RANGE */
};

/*
 * Writes all of `page` on OK, only error_code on ERR_RANGE:
 * ERR_RANGE      the CPU would raise #PF with page->error_code
 * ERR_BUSY       other vCPUs keep changing the tables: try again later
 * ERR_NOT_FOUND  a table lies where there is no memory, or only ROM
 * ERR_STATE      what `below` has refused
 */
MUST_CHECK enum err guest_walk(struct guest_mem *mem,
			       const struct guest_paging *paging, gva_t address,
			       enum guest_access access,
			       struct guest_page *page);

#endif
