/* SPDX-License-Identifier: MIT */
/* Finding a page that operands are read from: nested/operand_page.h. */
#include "nested/operand_page.h"
#include "lib/x86.h"

#define NOTHING_KNOWN  BIT(62) /* no canonical address */

#define ENTRY_PRESENT  BIT(0)
#define ENTRY_USER     BIT(2)
#define ENTRY_ACCESSED BIT(5)
#define ENTRY_LARGE    BIT(7)
#define ENTRY_NX       BIT(63)
#define ENTRY_ADDRESS  BITS(51, 12)
#define PAT_OF_LARGE   BIT(12)
#define INDEX_BITS     9u
#define TOP            OPERAND_PAGE_LEVELS

void nested_operand_page_forget(struct nested_operand_page *page)
{
	*page = (struct nested_operand_page){.linear = NOTHING_KNOWN};
	for (u32 i = 0; i < OPERAND_PAGE_LEVELS; i++)
		page->at[i] = &page->nothing;
}

static u32 shift_of(u32 level)
{
	return PAGE_SHIFT + (level - 1) * INDEX_BITS;
}

static bool is_leaf(u64 entry, u32 level)
{
	return level == 1 || (entry & ENTRY_LARGE);
}

/* SDM vol. 3, "4-Level Paging and 5-Level Paging": what must be 0. */
static u64 reserved_bits(const struct guest_paging *paging, u64 entry,
			 u32 level)
{
	u64 reserved = ENTRY_ADDRESS & ~(BIT(paging->phys_bits) - 1);

	if (!(paging->efer & EFER_NXE))
		reserved |= ENTRY_NX;
	if (level == TOP || (level == 3 && !paging->has_1g_pages))
		reserved |= ENTRY_LARGE;
	if (level > 1 && is_leaf(entry, level))
		reserved |=
		    ENTRY_ADDRESS & (BIT(shift_of(level)) - 1) & ~PAT_OF_LARGE;
	return reserved;
}

/* Reads one entry and keeps it; false: that is not for us. */
static bool keep_entry(struct nested_operand_page *page,
		       const struct guest_mem *mem,
		       const struct guest_paging *paging, u64 table, u32 level)
{
	u64 index = page->linear >> shift_of(level) & (BIT(INDEX_BITS) - 1);
	const u64 *at =
	    guest_mem_ptr(mem, gpa(table + index * sizeof(*at)), sizeof(*at));
	u64 entry;

	if (!at)
		return false;
	entry = __atomic_load_n(at, __ATOMIC_ACQUIRE);
	page->at[TOP - level] = at;
	page->value[TOP - level] = entry;
	return (entry & ENTRY_PRESENT) && (entry & ENTRY_ACCESSED) &&
	       !(entry & reserved_bits(paging, entry, level));
}

/* Down to the leaf: the page's address, or false. */
static bool walk(struct nested_operand_page *page, const struct guest_mem *mem,
		 const struct guest_paging *paging, u64 *address)
{
	u64 table = paging->cr3 & ENTRY_ADDRESS;
	u64 user = ENTRY_USER;

	for (u32 level = TOP;; level--) {
		u64 entry, inside;

		if (!keep_entry(page, mem, paging, table, level))
			return false;
		entry = page->value[TOP - level];
		user &= entry;
		table = entry & ENTRY_ADDRESS;
		if (!is_leaf(entry, level))
			continue;
		inside = BIT(shift_of(level)) - 1;
		*address = (table & ~inside) | (page->linear & inside);
		return !user;
	}
}

void nested_operand_page_learn(struct nested_operand_page *page,
			       const struct guest_mem *mem,
			       const struct guest_paging *paging, gva_t linear)
{
	u64 address;

	nested_operand_page_forget(page);
	if (!(paging->cr0 & CR0_PG) || !(paging->efer & EFER_LMA) ||
	    paging->cpl)
		return;
	page->linear = align_down(gva_raw(linear), PAGE_4K);
	page->cr3 = paging->cr3;
	page->efer = paging->efer;
	if (walk(page, mem, paging, &address))
		page->bytes = guest_mem_ptr(mem, gpa(address), PAGE_4K);
	if (!page->bytes)
		nested_operand_page_forget(page);
}
