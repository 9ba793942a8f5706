/* SPDX-License-Identifier: MIT */
/*
 * A hypervisor of 32 bits, whose L2 goes to 64-bit mode by itself and exits
 * there. Such an exit has nowhere to go: a VMX abort.
 *
 *	stay	L2 exits before that: L1 goes on, and passes
 *
 * L1 is prepared in 64-bit mode. Then it leaves that for PAE paging
 * (l1abort32.asm) and enters L2.
 */
#include "guests/lib/ept12.h"
#include "guests/lib/guest.h"
#include "guests/lib/l2.h"
#include "guests/lib/pages.h"
#include "lib/string.h"
#include "lib/x86.h"

#define CODE_32      (RIGHTS_CODE | RIGHTS_32 | RIGHTS_4K_LIMIT)
#define DATA_32      (RIGHTS_DATA | RIGHTS_32 | RIGHTS_4K_LIMIT)
#define PDPTES       4u
#define PAGE_ADDRESS BITS(51, 12)
#define PAGE_PRESENT BIT(0)
#define FIRST_CPUID  11u /* in the program */

/* Pages below 4 GiB. It ends the run: see there. */
_Noreturn void enter_from_32_bits(u64 vmxon_region, u64 vmcs, u64 pdpt);
void exit_to_32_bits(void);

/* Paging on, CPUID. */
static const u8 program[] = {
    0x0f, 0x20, 0xc0,             /* mov eax, cr0 */
    0x0d, 0x00, 0x00, 0x00, 0x80, /* or eax, CR0_PG */
    0x0f, 0x22, 0xc0,             /* mov cr0, eax */
    0x0f, 0xa2,                   /* cpuid */
};
_Static_assert(sizeof(program) == FIRST_CPUID + 2, "CPUID is the last");

static struct l2 l2;
static struct ept12 ept;

/* The directories of the identity map serve PAE paging as well. */
static u64 make_pdpt(void)
{
	const u64 *pml4 = (const u64 *)(read_cr3() & PAGE_ADDRESS);
	const u64 *pdpt = (const u64 *)(pml4[0] & PAGE_ADDRESS);
	u64 *pointers = (u64 *)pages_take(1);

	for (u32 i = 0; i < PDPTES; i++)
		pointers[i] = (pdpt[i] & PAGE_ADDRESS) | PAGE_PRESENT;
	return (u64)pointers;
}

/* Protected mode without paging, and the long mode's tables at hand. */
static void write_l2(void)
{
	u8 *page = (u8 *)pages_take(1);

	memcpy(page, program, sizeof(program));
	l2_reset(VMCS_ENTRY_CONTROLS, ENTRY_IA32E_MODE_GUEST);
	vmwrite(VMCS_GUEST_EFER, EFER_LME);
	l2_reset(VMCS_GUEST_CR0, CR0_PG);
	for (u32 i = 0; i < 6; i++) {
		vmwrite(VMCS_GUEST_ES_ACCESS_RIGHTS + 2 * i,
			i == 1 ? CODE_32 : DATA_32);
		vmwrite(VMCS_GUEST_ES_LIMIT + 2 * i, 0xffffffff);
		vmwrite(VMCS_GUEST_ES_BASE + 2 * i, 0);
	}
	vmwrite(VMCS_GUEST_RIP,
		(u64)page + (boot_has_word("stay") ? FIRST_CPUID : 0));
}

static void write_host(u64 pdpt)
{
	l2_reset(VMCS_EXIT_CONTROLS,
		 EXIT_HOST_ADDRESS_SPACE_SIZE | EXIT_LOAD_EFER);
	vmwrite(VMCS_HOST_CR3, pdpt);
	vmwrite(VMCS_HOST_CS_SELECTOR, SELECTOR_CODE32);
	vmwrite(VMCS_HOST_FS_BASE, 0);
	vmwrite(VMCS_HOST_GS_BASE, 0);
	vmwrite(VMCS_HOST_RIP, (u64)exit_to_32_bits);
}

u8 guest_main(void)
{
	u64 pdpt = make_pdpt();

	if (!vmx_is_there() || vmx_on() != VMX_OK ||
	    !vmx_allows(CONTROLS_SECONDARY,
			SECONDARY_UNRESTRICTED_GUEST | SECONDARY_EPT)) {
		check(false, "vmx", "not all that is needed is there");
		return result_print();
	}
	ept12_make(&ept);
	ept12_identity(&ept, 4 * GIB, EPT12_2M);
	l2_make(&l2,
		&(struct l2_controls){
		    .secondary = SECONDARY_UNRESTRICTED_GUEST | SECONDARY_EPT,
		    .entry = ENTRY_LOAD_EFER,
		    .exit = EXIT_SAVE_EFER,
		    .ept_pointer = ept.pointer});
	write_l2();
	write_host(pdpt);
	l2_clear(&l2);
	vmx_off();
	print("l1abort: L2 is entered\n");
	enter_from_32_bits(vmx_region(), l2.vmcs, pdpt);
}
