/* SPDX-License-Identifier: MIT */
/* An L2: see l2.h. */
#include "guests/lib/l2.h"
#include "guests/lib/layout.h"
#include "guests/lib/pages.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "lib/x86.h"

#define STACK_PAGES   4ul
#define CODE64_RIGHTS (RIGHTS_CODE | RIGHTS_LONG | RIGHTS_4K_LIMIT)
#define DATA_RIGHTS   (RIGHTS_DATA | RIGHTS_32 | RIGHTS_4K_LIMIT)
#define DR7_RESET     0x400u
#define TSS_BYTES     104u
#define SEGMENTS      8u /* in the order of their fields */

_Static_assert(offsetof(struct l2, host_rsp) == 128, "l2_enter.asm");
_Static_assert(offsetof(struct l2, launched) == 136, "l2_enter.asm");
_Static_assert(offsetof(struct l2, evmcs) == 144, "l2_enter.asm");

extern const u8 l2_exit_point[], l2_start[];

struct table_register {
	u16 limit;
	u64 base;
} PACKED;

static struct table_register gdtr(void)
{
	struct table_register value;

	__asm__ volatile("sgdt %0" : "=m"(value));
	return value;
}

static struct table_register idtr(void)
{
	struct table_register value;

	__asm__ volatile("sidt %0" : "=m"(value));
	return value;
}

/* SDM vol. 3, "TSS Descriptor in 64-bit mode". */
static u64 tss_base(void)
{
	const u64 *d = (const u64 *)(gdtr().base + SELECTOR_TSS64);

	return bits_get(d[0], BITS(39, 16)) |
	       bits_get(d[0], BITS(63, 56)) << 24 | d[1] << 32;
}

static void write_controls(const struct l2_controls *c)
{
	vmwrite(VMCS_PIN_CONTROLS, vmx_adjust(CONTROLS_PIN, c->pin));
	vmwrite(
	    VMCS_PRIMARY_CONTROLS,
	    vmx_adjust(CONTROLS_PRIMARY,
		       c->primary | (c->secondary ? PRIMARY_SECONDARY : 0)));
	if (vmx_allows(CONTROLS_PRIMARY, PRIMARY_SECONDARY))
		vmwrite(VMCS_SECONDARY_CONTROLS,
			vmx_adjust(CONTROLS_SECONDARY, c->secondary));
	vmwrite(
	    VMCS_EXIT_CONTROLS,
	    vmx_adjust(CONTROLS_EXIT, c->exit | EXIT_HOST_ADDRESS_SPACE_SIZE));
	vmwrite(VMCS_ENTRY_CONTROLS,
		vmx_adjust(CONTROLS_ENTRY, c->entry | ENTRY_IA32E_MODE_GUEST));
	if (c->ept_pointer)
		vmwrite(VMCS_EPT_POINTER, c->ept_pointer);
	if (c->secondary & SECONDARY_VPID)
		vmwrite(VMCS_VPID, 1);
	vmwrite(VMCS_LINK_POINTER, VMX_NO_POINTER);
}

void l2_write_host_state(void)
{
	vmwrite(VMCS_HOST_CR0, read_cr0());
	vmwrite(VMCS_HOST_CR3, read_cr3());
	vmwrite(VMCS_HOST_CR4, read_cr4());
	vmwrite(VMCS_HOST_CS_SELECTOR, SELECTOR_CODE64);
	vmwrite(VMCS_HOST_SS_SELECTOR, SELECTOR_DATA);
	vmwrite(VMCS_HOST_DS_SELECTOR, SELECTOR_DATA);
	vmwrite(VMCS_HOST_ES_SELECTOR, SELECTOR_DATA);
	vmwrite(VMCS_HOST_TR_SELECTOR, SELECTOR_TSS64);
	vmwrite(VMCS_HOST_FS_BASE, rdmsr(MSR_FS_BASE));
	vmwrite(VMCS_HOST_GS_BASE, rdmsr(MSR_GS_BASE));
	vmwrite(VMCS_HOST_TR_BASE, tss_base());
	vmwrite(VMCS_HOST_GDTR_BASE, gdtr().base);
	vmwrite(VMCS_HOST_IDTR_BASE, idtr().base);
	vmwrite(VMCS_HOST_RIP, (u64)l2_exit_point);
	if (vmx_allows(CONTROLS_EXIT, EXIT_LOAD_EFER))
		vmwrite(VMCS_HOST_EFER, rdmsr(MSR_EFER));
	if (vmx_allows(CONTROLS_EXIT, EXIT_LOAD_PAT))
		vmwrite(VMCS_HOST_PAT, rdmsr(MSR_PAT));
}

/* ES, CS, SS, DS, FS, GS, LDTR, TR. */
static void write_segments(void)
{
	static const u16 selectors[SEGMENTS] = {SELECTOR_DATA,
						SELECTOR_CODE64,
						SELECTOR_DATA,
						SELECTOR_DATA,
						0,
						0,
						0,
						SELECTOR_TSS64};
	static const u32 rights[SEGMENTS] = {
	    DATA_RIGHTS,     CODE64_RIGHTS,   DATA_RIGHTS,     DATA_RIGHTS,
	    RIGHTS_UNUSABLE, RIGHTS_UNUSABLE, RIGHTS_UNUSABLE, RIGHTS_TSS_BUSY};

	for (u32 i = 0; i < SEGMENTS; i++) {
		bool has_limit = rights[i] & RIGHTS_4K_LIMIT;

		vmwrite(VMCS_GUEST_ES_SELECTOR + 2 * i, selectors[i]);
		vmwrite(VMCS_GUEST_ES_ACCESS_RIGHTS + 2 * i, rights[i]);
		vmwrite(VMCS_GUEST_ES_LIMIT + 2 * i,
			has_limit ? 0xffffffff : 0);
		vmwrite(VMCS_GUEST_ES_BASE + 2 * i, 0);
	}
	vmwrite(VMCS_GUEST_TR_LIMIT, TSS_BYTES - 1);
	vmwrite(VMCS_GUEST_TR_BASE, tss_base());
	vmwrite(VMCS_GUEST_FS_BASE, rdmsr(MSR_FS_BASE));
	vmwrite(VMCS_GUEST_GS_BASE, rdmsr(MSR_GS_BASE));
	vmwrite(VMCS_GUEST_GDTR_BASE, gdtr().base);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, gdtr().limit);
	vmwrite(VMCS_GUEST_IDTR_BASE, idtr().base);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, idtr().limit);
}

static void write_guest_state(void)
{
	vmwrite(VMCS_GUEST_CR0, read_cr0());
	vmwrite(VMCS_GUEST_CR3, read_cr3());
	vmwrite(VMCS_GUEST_CR4, read_cr4());
	vmwrite(VMCS_GUEST_DR7, DR7_RESET);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
	vmwrite(VMCS_GUEST_DEBUGCTL, 0);
	if (vmx_allows(CONTROLS_ENTRY, ENTRY_LOAD_EFER))
		vmwrite(VMCS_GUEST_EFER, rdmsr(MSR_EFER));
	if (vmx_allows(CONTROLS_ENTRY, ENTRY_LOAD_PAT))
		vmwrite(VMCS_GUEST_PAT, rdmsr(MSR_PAT));
	write_segments();
}

void l2_remake(struct l2 *l2, const struct l2_controls *controls)
{
	u64 vmcs = l2->vmcs;

	*l2 = (struct l2){.vmcs = vmcs, .stack_top = l2->stack_top};
	l2_clear(l2);
	memset((void *)vmcs, 0, PAGE_BYTES);
	*(u32 *)vmcs = (u32)(vmx_basic() & BASIC_REVISION);
	l2_use(l2);
	write_controls(controls);
	l2_write_host_state();
	write_guest_state();
}

void l2_make(struct l2 *l2, const struct l2_controls *controls)
{
	l2->vmcs = vmx_region();
	l2->stack_top = pages_take(STACK_PAGES) + STACK_PAGES * PAGE_BYTES;
	l2_remake(l2, controls);
}

void l2_begin(struct l2 *l2, void (*program)(void))
{
	l2->rdi = (u64)program;
	vmwrite(VMCS_GUEST_RIP, (u64)l2_start);
	vmwrite(VMCS_GUEST_RSP, l2->stack_top);
}

void l2_use(const struct l2 *l2)
{
	vmptrld(l2->vmcs);
}

void l2_clear(struct l2 *l2)
{
	vmclear(l2->vmcs);
	l2->launched = 0;
}

u32 l2_run(struct l2 *l2)
{
	enum vmx_did did = l2_enter(l2);

	l2->entries++;
	if (did != VMX_OK)
		return L2_NOT_ENTERED + did;
	return (u32)vmread(VMCS_EXIT_REASON);
}

void l2_read_exit(struct l2_exit *exit)
{
	*exit = (struct l2_exit){
	    .reason = vmread(VMCS_EXIT_REASON),
	    .qualification = vmread(VMCS_EXIT_QUALIFICATION),
	    .interruption_info = vmread(VMCS_EXIT_INTERRUPTION_INFO),
	    .interruption_error = vmread(VMCS_EXIT_INTERRUPTION_ERROR_CODE),
	    .vectoring_info = vmread(VMCS_IDT_VECTORING_INFO),
	    .vectoring_error = vmread(VMCS_IDT_VECTORING_ERROR_CODE),
	    .instruction_length = vmread(VMCS_EXIT_INSTRUCTION_LENGTH),
	    .instruction_info = vmread(VMCS_EXIT_INSTRUCTION_INFO),
	    .linear_address = vmread(VMCS_GUEST_LINEAR_ADDRESS),
	    .physical_address = vmread(VMCS_GUEST_PHYSICAL_ADDRESS),
	};
}

void l2_skip(struct l2 *l2)
{
	(void)l2;
	vmwrite(VMCS_GUEST_RIP,
		vmread(VMCS_GUEST_RIP) + vmread(VMCS_EXIT_INSTRUCTION_LENGTH));
}

bool l2_has_ended(const struct l2 *l2)
{
	return l2->rax == L2_CALL_END;
}

void l2_set(enum vmcs_field field, u64 bits)
{
	vmwrite(field, vmread(field) | bits);
}

void l2_reset(enum vmcs_field field, u64 bits)
{
	vmwrite(field, vmread(field) & ~bits);
}
