/* SPDX-License-Identifier: MIT */
/*
 * Building and changing Umbra's own page tables.
 * SDM vol. 3, "4-Level Paging and 5-Level Paging".
 */
#include "arch/x86/cpu/paging.h"
#include "arch/x86/cpu/cpu.h"
#include "lib/check.h"
#include "lib/log.h"
#include "lib/spinlock.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"

#define PTE_P        BIT(0)
#define PTE_W        BIT(1)
#define PTE_PWT      BIT(3)
#define PTE_PCD      BIT(4)
#define PTE_A        BIT(5)
#define PTE_D        BIT(6)
#define PTE_PS       BIT(7)
#define PTE_G        BIT(8)
#define PTE_NX       BIT(63)
#define PTE_ADDRESS  BITS(51, 12)

#define LEVEL_PML4   4
#define LEVEL_PDPT   3
#define LEVEL_PD     2
#define LEVEL_PT     1

/* Half of 48 bits: the lower canonical half is all that we use. */
#define MAPPABLE_END (1ULL << 47)

extern const u8 image_start[], text_end[], rodata_start[], rodata_end[];
extern const u8 data_start[], image_end[], boot_stack_guard[];

static hpa_t root;
static struct spinlock lock;

static u64 level_bytes(u32 level)
{
	return PAGE_4K << (9 * (level - 1));
}

static u32 index_at(hpa_t address, u32 level)
{
	return (u32)(hpa_raw(address) >> (12 + 9 * (level - 1))) & 511;
}

static bool is_leaf(u64 entry, u32 level)
{
	return (entry & PTE_P) && (level == LEVEL_PT || (entry & PTE_PS));
}

static u64 leaf_bits(enum paging_rights rights)
{
	const u64 common = PTE_P | PTE_A | PTE_D | PTE_G;

	switch (rights) {
	case PAGING_NONE:
		return 0;
	case PAGING_R:
		return common | PTE_NX;
	case PAGING_RW:
		return common | PTE_W | PTE_NX;
	case PAGING_RX:
		return common;
	case PAGING_DEVICE:
		return common | PTE_W | PTE_NX | PTE_PCD | PTE_PWT;
	}
	return 0;
}

static u64 make_leaf(hpa_t frame, enum paging_rights rights, u32 level)
{
	u64 bits = leaf_bits(rights);

	if (!bits)
		return 0;
	return hpa_raw(frame) | bits | (level > LEVEL_PT ? PTE_PS : 0);
}

static u64 *table_of(u64 entry)
{
	return phys_ptr(hpa(entry & PTE_ADDRESS));
}

static enum err new_table(hpa_t *table)
{
	enum err err = frame_alloc_in(FRAME_BELOW_4G, FRAME_4K,
				      "the host page tables", table);

	if (err == OK)
		memset(phys_ptr(*table), 0, PAGE_4K);
	return err;
}

/*
 * Makes what `entry` maps as one page into a table of 512 smaller ones, or an
 * empty entry into an empty table. Rights and memory type stay.
 */
static enum err split(u64 *entry, u32 level)
{
	hpa_t table;
	enum err err = new_table(&table);
	u64 *entries;

	if (err != OK)
		return err;
	entries = phys_ptr(table);
	if (*entry & PTE_P) {
		u64 first = *entry & ~(level - 1 == LEVEL_PT ? PTE_PS : 0);

		for (u64 i = 0; i < 512; i++)
			entries[i] = first + i * level_bytes(level - 1);
	}
	*entry = hpa_raw(table) | PTE_P | PTE_W;
	return OK;
}

static bool large_pages_at(u32 level)
{
	return level == LEVEL_PD ||
	       (level == LEVEL_PDPT && cpu_features.pages_1g);
}

enum overwrite {
	KEEP_MAPPED,    /* parts that are mapped stay as they are */
	REPLACE_MAPPED, /* everything gets the new rights */
};

struct change {
	hpa_t base;
	u64 bytes;
	enum paging_rights rights;
	enum overwrite overwrite;
};

/*
 * The largest level whose page begins at the change's start and lies within
 * it, and below which nothing is mapped differently.
 */
static enum err change_one(struct change *change)
{
	u64 *table = phys_ptr(root);

	for (u32 level = LEVEL_PML4;; level--) {
		u64 *entry = &table[index_at(change->base, level)];
		u64 step = level_bytes(level);
		bool fits = is_aligned(hpa_raw(change->base), step) &&
			    change->bytes >= step;
		bool is_table = (*entry & PTE_P) && !is_leaf(*entry, level);
		bool done = false;

		if (is_leaf(*entry, level) &&
		    change->overwrite == KEEP_MAPPED) {
			step -= hpa_raw(change->base) & (step - 1);
			done = true;
		} else if (level == LEVEL_PT ||
			   (fits && !is_table && large_pages_at(level))) {
			*entry = make_leaf(change->base, change->rights, level);
			done = true;
		}
		if (done) {
			step = step < change->bytes ? step : change->bytes;
			change->base = hpa_add(change->base, step);
			change->bytes -= step;
			return OK;
		}
		if (!is_table) {
			enum err err = split(entry, level);

			if (err != OK)
				return err;
		}
		table = table_of(*entry);
	}
}

static enum err apply(hpa_t base, u64 bytes, enum paging_rights rights,
		      enum overwrite overwrite)
{
	u64 start = align_down(hpa_raw(base), PAGE_4K);
	u64 end = hpa_raw(base) + bytes;
	struct change change;
	enum err err = OK;

	if (end < start || end > MAPPABLE_END)
		return ERR_RANGE;
	end = align_up(end, PAGE_4K);
	change = (struct change){hpa(start), end - start, rights, overwrite};
	spin_lock(&lock);
	while (err == OK && change.bytes)
		err = change_one(&change);
	spin_unlock(&lock);
	return err;
}

static enum err map_image_part(const u8 *start, const u8 *end,
			       enum paging_rights rights)
{
	return apply(phys_of(start), (u64)end - (u64)start, rights,
		     REPLACE_MAPPED);
}

enum err paging_init(void)
{
	enum err err = new_table(&root);

	if (err == OK)
		err = map_image_part(image_start, text_end, PAGING_RX);
	if (err == OK)
		err = map_image_part(rodata_start, rodata_end, PAGING_R);
	if (err == OK)
		err = map_image_part(data_start, image_end, PAGING_RW);
	return err;
}

enum err paging_map_ram(hpa_t base, u64 bytes)
{
	return apply(base, bytes, PAGING_RW, KEEP_MAPPED);
}

static void flush_own_tlb(void)
{
	u64 cr4 = insn_read_cr4();

	/* Toggling PGE drops global entries as well. */
	insn_write_cr4(cr4 & ~CR4_PGE);
	insn_write_cr4(cr4 | CR4_PGE);
}

void paging_enter(void)
{
	insn_write_cr3(hpa_raw(root));
	flush_own_tlb();
}

enum err paging_protect(hpa_t base, u64 bytes, enum paging_rights rights)
{
	enum err err = apply(base, bytes, rights, REPLACE_MAPPED);

	flush_own_tlb();
	return err;
}

void paging_map_device(hpa_t base, u64 bytes)
{
	enum err err = apply(base, bytes, PAGING_DEVICE, REPLACE_MAPPED);

	if (err != OK)
		log_error("cannot map device registers at %#lx: %s",
			  hpa_raw(base), err_text(err));
	CHECK(err == OK);
	flush_own_tlb();
}

/* Bytes from `address` to the end of the page that maps it, or 0. */
static u64 mapped_from(hpa_t address)
{
	const u64 *table = phys_ptr(root);

	for (u32 level = LEVEL_PML4;; level--) {
		u64 entry = table[index_at(address, level)];

		if (!(entry & PTE_P))
			return 0;
		if (is_leaf(entry, level))
			return level_bytes(level) -
			       (hpa_raw(address) & (level_bytes(level) - 1));
		table = table_of(entry);
	}
}

bool paging_is_readable(hpa_t base, u64 bytes)
{
	u64 at = hpa_raw(base);
	u64 end = at + bytes;

	if (end < at || end > MAPPABLE_END)
		return false;
	while (at < end) {
		u64 step = mapped_from(hpa(at));

		if (!step)
			return false;
		at += step;
	}
	return true;
}

hpa_t paging_root(void)
{
	return root;
}
