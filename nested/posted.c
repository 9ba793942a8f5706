/* SPDX-License-Identifier: MIT */
/* Posted-interrupt processing for L2: see posted.h. */
#include "nested/posted.h"

#define POSTED_CONTROL 32 /* behind 256 bits */
#define POSTED_ON      BIT(0)
#define VIRTUAL_IRR    0x200
#define IRR_STEP       16 /* one register of 32 vectors */
#define PIR_WORDS      4
#define STATUS_RVI     BITS(7, 0)

bool nested_is_notification(const struct vmcs12 *v, u32 vector)
{
	return (v->pin_controls & PIN_POSTED_INTERRUPTS) &&
	       vector == v->posted_interrupt_vector;
}

/* Other CPUs of L1's post at the same time. The word as it was; 0: no memory. */
static u64 clear_bits(struct guest_mem *mem, gpa_t address, u64 bits)
{
	u64 word;
	enum err err = guest_mem_read_u64(mem, address, &word);

	if (err != OK)
		return 0;
	while (word & bits) {
		err = guest_mem_swap_u64(mem, address, &word, word & ~bits);
		if (err != ERR_BUSY)
			break;
	}
	return err == OK ? word : 0;
}

/* ROM takes nothing and says nothing. */
static void request(struct guest_mem *mem, gpa_t irr, u32 vectors)
{
	u32 waiting;
	enum err err = guest_mem_read_u32(mem, irr, &waiting);

	if (vectors && err == OK)
		err = guest_mem_write_u32(mem, irr, waiting | vectors);
	(void)err;
}

u16 nested_take_posted(const struct vmcs12 *v, struct guest_mem *mem,
		       u16 status)
{
	const u64 descriptor = v->posted_interrupt_descriptor;
	const u64 irr = v->virtual_apic_address + VIRTUAL_IRR;
	u32 highest = (u32)bits_get(status, STATUS_RVI);

	clear_bits(mem, gpa(descriptor + POSTED_CONTROL), POSTED_ON);
	for (u32 i = 0; i < PIR_WORDS; i++) {
		u64 posted =
		    clear_bits(mem, gpa(descriptor + 8UL * i), UINT64_MAX);
		u64 at = irr + 2UL * IRR_STEP * i;
		u32 top;

		if (!posted)
			continue;
		request(mem, gpa(at), low32(posted));
		request(mem, gpa(at + IRR_STEP), high32(posted));
		top = 64 * i + 63 - (u32)__builtin_clzl(posted);
		if (top > highest)
			highest = top;
	}
	return (u16)((status & ~STATUS_RVI) | highest);
}
