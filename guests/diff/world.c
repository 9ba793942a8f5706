/* SPDX-License-Identifier: MIT */
/* Numbers from a seed, and what L2 can reach: see diff.h. */
#include "guests/diff/diff.h"

#define PAGE_TABLE   0x67ull /* present, writable, user, accessed, dirty */
#define PAGE_LARGE   0xe7ull
#define PAGE_PRESENT 1ull
#define VECTORS      256u

void diff_random_begin(struct diff_random *r, u64 seed)
{
	/* Not a multiple of the step below: seeds must not be one stream. */
	r->state = seed * 0xd1342543de82ef95ull;
	r->state = diff_random(r);
}

/* SplitMix64. */
u64 diff_random(struct diff_random *r)
{
	u64 z = r->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

u32 diff_below(struct diff_random *r, u32 count)
{
	return (u32)(diff_random(r) >> 32) % count;
}

bool diff_chance(struct diff_random *r, u32 percent)
{
	return diff_below(r, 100) < percent;
}

u64 diff_some_bits(struct diff_random *r, u64 of)
{
	return diff_random(r) & of;
}

void diff_world_begin(void)
{
	pages_begin_at(DIFF_WORLD);
	pages_take(DIFF_WORLD_BYTES / PAGE_BYTES);
}

u64 diff_address(const struct diff_case *c, u32 offset)
{
	return diff_is_16_bit(c) ? offset : DIFF_WORLD + offset;
}

static u64 *at(u32 offset)
{
	return (u64 *)(DIFF_WORLD + offset);
}

static void write_page_tables(const struct diff_case *c)
{
	at(DIFF_PML4)[0] = (DIFF_WORLD + DIFF_PDPT) | PAGE_TABLE;
	at(DIFF_PDPT)[0] = (DIFF_WORLD + DIFF_DIRECTORY) | PAGE_TABLE;
	at(DIFF_PAE_POINTERS)[0] = (DIFF_WORLD + DIFF_DIRECTORY) | PAGE_PRESENT;
	at(DIFF_DIRECTORY)[DIFF_WORLD / (2 * MIB)] = DIFF_WORLD | PAGE_LARGE;
	/* Where virtual-8086 code can reach it. */
	if (c->mode == DIFF_V86)
		at(DIFF_DIRECTORY)[0] = DIFF_WORLD | PAGE_LARGE;
	/* Not in EPT. */
	at(DIFF_DIRECTORY)[DIFF_WORLD / (2 * MIB) + 1] =
	    (DIFF_WORLD + 2 * MIB) | PAGE_LARGE;
}

static void write_gdt(const struct diff_case *c)
{
	u64 tss = DIFF_WORLD + DIFF_TSS;
	u64 *gdt = at(DIFF_GDT);

	gdt[1] = diff_is_long(c) ? 0x00af9b000000ffff : 0x00cf9b000000ffff;
	gdt[2] = 0x00cf93000000ffff;
	gdt[3] = 0x00cf9b000000ffff;
	gdt[4] = 0x00008b0000000067 | (tss & BITS(23, 0)) << 16 |
		 (tss & BITS(31, 24)) << 32;
	gdt[6] = 0x00cf13000000ffff; /* not present */
	gdt[7] = 0x00cff3000000ffff; /* level 3 */
	gdt[8] = 0x00affb000000ffff;
	*(u64 *)(tss + 4) = DIFF_WORLD + DIFF_STACK_TOP;
	if (c->mode == DIFF_V86)
		*(u32 *)(tss + 8) = 0x10; /* SS of level 0 */
}

static void write_gate(const struct diff_case *c, u32 vector)
{
	u64 stub = DIFF_WORLD + DIFF_STUBS + (u64)vector * DIFF_STUB_BYTES;
	u64 gate = (stub & BITS(15, 0)) | 0x08ull << 16 | 0x8eull << 40 |
		   (stub & BITS(31, 16)) << 32;
	static const u8 vmcall[] = {0x0f, 0x01, 0xc1};

	memcpy((void *)stub, vmcall, sizeof(vmcall));
	if (diff_is_long(c))
		at(DIFF_IDT)[(u64)2 * vector] = gate;
	else if (c->mode == DIFF_REAL)
		((u32 *)at(DIFF_IDT))[vector] = DIFF_STUBS;
	else
		at(DIFF_IDT)[vector] = gate;
}

static void write_scratch(struct diff_case *c)
{
	u64 *scratch = at(DIFF_SCRATCH);

	for (u32 i = 0; i < DIFF_SCRATCH_PAGES * PAGE_BYTES / 8; i += 64)
		scratch[i] = diff_random(&c->random);
}

volatile u64 *diff_scratch_leaf(struct diff_case *c, u32 page)
{
	return ept12_entry(
	    &c->ept, DIFF_WORLD + DIFF_SCRATCH + page * PAGE_BYTES, EPT12_4K);
}

/* What an entry of EPT cannot be without a misconfiguration is rare. */
static u64 random_rights(struct diff_case *c)
{
	static const u8 sound[] = {0, 1, 3, 4, 5, 7};

	if (diff_chance(&c->random, 10))
		return diff_below(&c->random, 8);
	return sound[diff_below(&c->random, sizeof(sound))];
}

static void write_ept(struct diff_case *c)
{
	ept12_clear(&c->ept);
	ept12_map(&c->ept, &(struct ept12_range){
			       .l2 = DIFF_WORLD,
			       .l1 = DIFF_WORLD,
			       .bytes = DIFF_WORLD_BYTES,
			       .level = EPT12_4K,
			       .rights = EPT12_RWX,
			   });
	for (u32 i = 0; i < DIFF_SCRATCH_PAGES; i++) {
		volatile u64 *leaf = diff_scratch_leaf(c, i);

		if (diff_chance(&c->random, 40))
			*leaf = (*leaf & ~EPT12_RWX) | random_rights(c);
		if (diff_chance(&c->random, 3))
			*leaf ^= 1ull << (3 + diff_below(&c->random, 3));
	}
	c->controls.ept_pointer = c->ept.root | 0x1e;
	if (diff_chance(&c->random, 50) ||
	    c->controls.secondary & SECONDARY_PML)
		c->controls.ept_pointer |= EPT12_POINTER_AD;
}

void diff_world_make(struct diff_case *c)
{
	memset((void *)DIFF_WORLD, 0, DIFF_WORLD_BYTES);
	write_page_tables(c);
	write_gdt(c);
	for (u32 vector = 0; vector < VECTORS; vector++)
		write_gate(c, vector);
	write_scratch(c);
	write_ept(c);
	invept(INVEPT_ALL, 0, 0);
	invvpid(INVVPID_ALL, 0, 0);
}
