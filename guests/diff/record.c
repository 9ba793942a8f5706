/* SPDX-License-Identifier: MIT */
/*
 * What an exit leaves, as far as the manual defines it, as one number: see
 * diff.h. SDM vol. 3, "Information for VM Exits Due to Instruction Execution".
 */
#include "guests/diff/diff.h"

#define LINEAR_IS_VALID BIT(7) /* of an EPT violation's qualification */

/* FNV-1a, byte by byte. */
static u64 mix(u64 digest, u64 value)
{
	for (u32 i = 0; i < 8; i++) {
		digest ^= value >> 8 * i & 0xff;
		digest *= 0x100000001b3ull;
	}
	return digest;
}

void diff_note(struct diff_case *c, const char *name, u64 value)
{
	c->digest = mix(c->digest, value);
	if (c->is_shown)
		print("%lu.%lu %s %#lx\n", c->seed, c->exits, name, value);
}

static void note_field(struct diff_case *c, const char *name, u32 field)
{
	diff_note(c, name, vmread((enum vmcs_field)field));
}

static bool has_length(u32 reason, u64 event)
{
	switch (reason) {
	case EXIT_EXCEPTION_OR_NMI:
		return event_type((u32)event) == EVENT_SOFTWARE_EXCEPTION ||
		       event_type((u32)event) ==
			   EVENT_PRIVILEGED_SOFTWARE_EXCEPTION;
	case EXIT_EXTERNAL_INTERRUPT:
	case EXIT_TRIPLE_FAULT:
	case EXIT_INTERRUPT_WINDOW:
	case EXIT_NMI_WINDOW:
	case EXIT_EPT_VIOLATION:
	case EXIT_EPT_MISCONFIGURATION:
	case EXIT_PREEMPTION_TIMER:
	case EXIT_PML_FULL:
	case EXIT_TPR_BELOW_THRESHOLD:
		return false;
	default:
		return true;
	}
}

static bool has_information(u32 reason, u64 qualification)
{
	switch (reason) {
	case EXIT_IO:
		return qualification & BIT(4); /* a string */
	case EXIT_GDTR_IDTR:
	case EXIT_LDTR_TR:
	case EXIT_VMCLEAR:
	case EXIT_VMPTRLD:
	case EXIT_VMPTRST:
	case EXIT_VMXON:
	case EXIT_VMREAD:
	case EXIT_VMWRITE:
	case EXIT_INVEPT:
	case EXIT_INVVPID:
	case EXIT_INVPCID:
	case EXIT_RDRAND:
	case EXIT_RDSEED:
		return true;
	default:
		return false;
	}
}

static void note_events(struct diff_case *c, const struct l2_exit *exit)
{
	u64 info = exit->interruption_info;
	u64 vectoring = exit->vectoring_info;

	/* In real mode Bochs 2.7 tells one: real-error-code. */
	if (!(vmread(VMCS_GUEST_CR0) & CR0_PE))
		info &= ~(u64)EVENT_HAS_ERROR_CODE;
	diff_note(c, "interruption", info & EVENT_VALID ? info : 0);
	if (info & EVENT_VALID && info & EVENT_HAS_ERROR_CODE)
		diff_note(c, "error", exit->interruption_error);
	diff_note(c, "vectoring", vectoring & EVENT_VALID ? vectoring : 0);
	if (vectoring & EVENT_VALID && vectoring & EVENT_HAS_ERROR_CODE)
		diff_note(c, "vectoring_error", exit->vectoring_error);
}

/*
 * As every CPU says it. Bits 11:9 are for those alone that report advanced
 * information, as IA32_VMX_EPT_VPID_CAP tells. A page walk reads and writes;
 * Bochs 2.7 tells one: walk-access.
 */
static u64 without_extras(const struct diff_case *c, u32 reason,
			  u64 qualification)
{
	bool is_walk = (qualification & BITS(8, 7)) == LINEAR_IS_VALID;

	if (reason != EXIT_EPT_VIOLATION)
		return qualification;
	qualification &= ~BITS(11, 9);
	if (!is_walk || !(c->controls.ept_pointer & EPT12_POINTER_AD))
		return qualification;
	return qualification | EPT12_R | EPT12_W;
}

/* Where there is no displacement Bochs 2.7 tells a stale one. */
static bool names_register(u32 reason, u64 information)
{
	return (reason == EXIT_LDTR_TR || reason == EXIT_VMREAD ||
		reason == EXIT_VMWRITE) &&
	       (information & BIT(10));
}

static void note_information(struct diff_case *c, const struct l2_exit *exit)
{
	u32 reason = (u32)exit->reason;

	diff_note(c, "reason", exit->reason);
	/* Of two odd things either may be met first. */
	if (exit->reason ==
		(EXIT_ENTRY_GUEST_STATE | EXIT_REASON_ENTRY_FAILED) &&
	    c->oddities + diff_is_wide(c) > 1)
		return;
	if (reason != EXIT_EPT_MISCONFIGURATION &&
	    !names_register(reason, exit->instruction_info))
		diff_note(c, "qualification",
			  without_extras(c, reason, exit->qualification));
	if (exit->reason & EXIT_REASON_ENTRY_FAILED)
		return;
	note_events(c, exit);
	if (has_length(reason, exit->interruption_info))
		diff_note(c, "length", exit->instruction_length);
	if (has_information(reason, exit->qualification))
		diff_note(c, "information", exit->instruction_info);
	if (reason == EXIT_EPT_VIOLATION &&
	    exit->qualification & LINEAR_IS_VALID)
		diff_note(c, "linear", exit->linear_address);
	if (reason == EXIT_EPT_VIOLATION || reason == EXIT_EPT_MISCONFIGURATION)
		diff_note(c, "physical", exit->physical_address);
}

static void note_segments(struct diff_case *c)
{
	static const char *const names[] = {"es", "cs", "ss",   "ds",
					    "fs", "gs", "ldtr", "tr"};

	for (u32 i = 0; i < ARRAY_COUNT(names); i++) {
		u64 rights = vmread(VMCS_GUEST_ES_ACCESS_RIGHTS + 2 * i);

		note_field(c, names[i], VMCS_GUEST_ES_SELECTOR + 2 * i);
		diff_note(c, " rights", rights);
		if (rights & RIGHTS_UNUSABLE)
			continue;
		note_field(c, " base", VMCS_GUEST_ES_BASE + 2 * i);
		note_field(c, " limit", VMCS_GUEST_ES_LIMIT + 2 * i);
	}
	note_field(c, "gdtr", VMCS_GUEST_GDTR_BASE);
	note_field(c, " limit", VMCS_GUEST_GDTR_LIMIT);
	note_field(c, "idtr", VMCS_GUEST_IDTR_BASE);
	note_field(c, " limit", VMCS_GUEST_IDTR_LIMIT);
}

static void note_state(struct diff_case *c)
{
	static const struct {
		const char *name;
		u32 field;
	} fields[] = {
	    {"rip", VMCS_GUEST_RIP},
	    {"rsp", VMCS_GUEST_RSP},
	    {"cr0", VMCS_GUEST_CR0},
	    {"cr3", VMCS_GUEST_CR3},
	    {"cr4", VMCS_GUEST_CR4},
	    {"dr7", VMCS_GUEST_DR7},
	    {"debugctl", VMCS_GUEST_DEBUGCTL},
	    {"efer", VMCS_GUEST_EFER},
	    {"pat", VMCS_GUEST_PAT},
	    {"activity", VMCS_GUEST_ACTIVITY_STATE},
	    {"sysenter_cs", VMCS_GUEST_SYSENTER_CS},
	    {"sysenter_esp", VMCS_GUEST_SYSENTER_ESP},
	    {"sysenter_eip", VMCS_GUEST_SYSENTER_EIP},
	    {"inject", VMCS_ENTRY_INTERRUPTION_INFO},
	    {"ept_pointer", VMCS_EPT_POINTER},
	};

	for (u32 i = 0; i < ARRAY_COUNT(fields); i++)
		note_field(c, fields[i].name, fields[i].field);
	/* Of an exception that exits Bochs 2.7 does not set RF. */
	diff_note(c, "rflags", vmread(VMCS_GUEST_RFLAGS) & ~RFLAGS_RF);
	/* Bochs 2.7 loses blocking by NMI: nmi-state in docs/TESTING.md. */
	diff_note(c, "interruptibility",
		  vmread(VMCS_GUEST_INTERRUPTIBILITY) & ~BLOCKING_BY_NMI);
	note_segments(c);
}

static void note_registers(struct diff_case *c)
{
	static const char *const names[] = {
	    "rax", "rcx", "rdx", "rbx", "-",   "rbp", "rsi", "rdi",
	    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
	u64 dr0;

	for (u32 i = 0; i < 16; i++)
		if (i != 4)
			diff_note(c, names[i], c->l2.registers[i]);
	__asm__ volatile("mov %%dr0, %0" : "=r"(dr0));
	diff_note(c, "dr0", dr0);
	diff_note(c, "cr2", read_cr2());
	/* CD and NW come to L1 as L2 leaves them. */
	diff_note(c, "l1_cr0", read_cr0());
	diff_note(c, "lstar", rdmsr(MSR_LSTAR));
	diff_note(c, "kernel_gs_base", rdmsr(MSR_KERNEL_GS_BASE));
}

void diff_note_exit(struct diff_case *c, u32 reason)
{
	struct l2_exit exit;

	if (reason >= L2_NOT_ENTERED && !(reason & EXIT_REASON_ENTRY_FAILED)) {
		diff_note(c, "did", reason);
		if (reason == L2_NOT_ENTERED + VMX_FAIL_VALID)
			note_field(c, "error", VMCS_INSTRUCTION_ERROR);
		return;
	}
	l2_read_exit(&exit);
	note_information(c, &exit);
	note_state(c);
	note_registers(c);
}

void diff_show_start(const struct diff_case *c)
{
	static const struct {
		const char *name;
		u32 field;
	} fields[] = {
	    {"pin", VMCS_PIN_CONTROLS},
	    {"primary", VMCS_PRIMARY_CONTROLS},
	    {"secondary", VMCS_SECONDARY_CONTROLS},
	    {"cr0_mask", VMCS_CR0_MASK},
	    {"cr0_shadow", VMCS_CR0_SHADOW},
	    {"exceptions", VMCS_EXCEPTION_BITMAP},
	    {"event", VMCS_ENTRY_INTERRUPTION_INFO},
	    {"rip", VMCS_GUEST_RIP},
	    {"rflags", VMCS_GUEST_RFLAGS},
	    {"cr0", VMCS_GUEST_CR0},
	    {"activity", VMCS_GUEST_ACTIVITY_STATE},
	    {"blocking", VMCS_GUEST_INTERRUPTIBILITY},
	    {"pending_debug", VMCS_GUEST_PENDING_DEBUG},
	};

	if (!c->is_shown)
		return;
	print("%lu starts in mode %u\n", c->seed, c->mode);
	for (u32 i = 0; i < ARRAY_COUNT(fields); i++)
		print("%lu starts %s %#lx\n", c->seed, fields[i].name,
		      vmread((enum vmcs_field)fields[i].field));
	for (u32 i = 0; i < 64; i += 8)
		print("%lu code %016lx\n", c->seed,
		      *(u64 *)(DIFF_WORLD + DIFF_CODE + i));
}

/* Which of the scratch pages have been logged. */
static u64 logged_pages(void)
{
	const u64 *log = (const u64 *)vmread(VMCS_PML_ADDRESS);
	u64 pages = 0;

	for (u32 i = 0; i < PAGE_BYTES / 8; i++) {
		u64 first = DIFF_WORLD + DIFF_SCRATCH;
		u64 page = (log[i] - first) / PAGE_BYTES;

		if (log[i] >= first && page < DIFF_SCRATCH_PAGES)
			pages |= BIT(page);
	}
	return pages;
}

/* Accessed and dirty bits, and what L2 has written. */
void diff_note_end(struct diff_case *c)
{
	const u64 *words = (const u64 *)(DIFF_WORLD + DIFF_SCRATCH);
	u64 digest = 0;

	for (u32 i = 0; i < DIFF_SCRATCH_PAGES; i++)
		diff_note(c, "leaf", *diff_scratch_leaf(c, i));
	for (u64 i = 0; i < DIFF_SCRATCH_PAGES * PAGE_BYTES / 8; i++)
		if (words[i])
			digest = mix(digest, words[i] + i);
	diff_note(c, "memory", digest);
	diff_note_areas(c);
	if (c->controls.secondary & SECONDARY_PML && c->exits > 1)
		diff_note(c, "logged", logged_pages());
}
