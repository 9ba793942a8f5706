/* SPDX-License-Identifier: MIT */
/* One vCPU: see migrate/record_vcpu.h. */
#include "migrate/record_vcpu.h"
#include "lib/string.h"
#include "lib/vmcs.h"
#include "lib/x86.h"
#include "nested/checks.h"

#define VCPU_VERSION    1
#define FPU_VERSION     1
#define LAPIC_VERSION_1 1

#define LINEAR_BITS     48
#define DR6_BITS        BITS(31, 0)
#define CR0_BITS                                                        \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | \
	 CR0_AM | CR0_NW | CR0_CD | CR0_PG)

#define VCPU(member, bits)       RECORD_FIELD(struct record_vcpu, member, bits)
#define VCPU_ARRAY(member, bits) RECORD_ARRAY(struct record_vcpu, member, bits)

static const struct record_field vcpu_fields[] = {
    VCPU(index, RECORD_ANY),
    VCPU(activity, BITS(1, 0)),
    VCPU_ARRAY(gpr, RECORD_ANY),
    VCPU(rip, RECORD_ANY),
    VCPU(rflags, RECORD_ANY),
    VCPU_ARRAY(selector, RECORD_ANY),
    VCPU_ARRAY(base, RECORD_ANY),
    VCPU_ARRAY(limit, RECORD_ANY),
    VCPU_ARRAY(rights, RECORD_ANY),
    VCPU_ARRAY(table_base, RECORD_ANY),
    VCPU_ARRAY(table_limit, RECORD_ANY),
    VCPU(cr0, CR0_BITS),
    VCPU(cr2, RECORD_ANY),
    VCPU(cr3, RECORD_ANY),
    VCPU(cr4, RECORD_ANY),
    VCPU(efer, RECORD_EFER),
    VCPU(xcr0, RECORD_ANY),
    VCPU(xss, 0),
    VCPU_ARRAY(pdpte, RECORD_ANY),
    VCPU_ARRAY(dr, RECORD_ANY),
    VCPU(dr6, DR6_BITS),
    VCPU(dr7, BITS(31, 0)),
    VCPU(debugctl, DEBUGCTL_OF_GUESTS),
    VCPU(pending_debug, RECORD_ANY),
    VCPU(sysenter_cs, BITS(31, 0)),
    VCPU(sysenter_esp, RECORD_ANY),
    VCPU(sysenter_eip, RECORD_ANY),
    VCPU(star, RECORD_ANY),
    VCPU(lstar, RECORD_ANY),
    VCPU(cstar, RECORD_ANY),
    VCPU(fmask, BITS(31, 0)),
    VCPU(kernel_gs_base, RECORD_ANY),
    VCPU(tsc_aux, BITS(31, 0)),
    VCPU(pat, RECORD_ANY),
    VCPU_ARRAY(mtrr.values, RECORD_ANY),
    VCPU(misc_enable, RECORD_ANY),
    VCPU(tsc_adjust, RECORD_ANY),
    VCPU(spec_ctrl, RECORD_ANY),
    VCPU(feature_control,
	 FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX),
    VCPU(interruptibility, RECORD_ANY),
    VCPU(event, RECORD_ANY),
    VCPU(event_error_code, RECORD_ANY),
    VCPU(event_instruction_length, RECORD_ANY),
    VCPU(postponed_interrupt, EVENT_VALID | EVENT_VECTOR),
    VCPU(nmi_pending, RECORD_BOOL),
    VCPU(halted_for_good, RECORD_BOOL),
};

static const struct record_layout vcpu_layout =
    RECORD_LAYOUT("vCPU", vcpu_fields);

void record_put_vcpu(struct wire_writer *writer, const struct record_vcpu *vcpu)
{
	u32 begun = record_begin(writer, RECORD_VCPU, VCPU_VERSION);

	record_put(writer, &vcpu_layout, vcpu);
	record_end(writer, begun);
}

/* --- May a CPU be in that state? ------------------------------------------ */

/* Guest state as a VM entry of ours will load it. */
static void fill_state(struct vmcs12 *v, const struct record_vcpu *vcpu)
{
	v->guest_cr0 = vcpu->cr0;
	v->guest_cr3 = vcpu->cr3;
	v->guest_cr4 = vcpu->cr4;
	v->guest_efer = vcpu->efer;
	v->guest_pat = vcpu->pat;
	v->guest_dr7 = vcpu->dr7;
	v->guest_debugctl = vcpu->debugctl;
	v->guest_pending_debug = vcpu->pending_debug;
	v->guest_rip = vcpu->rip;
	v->guest_rflags = vcpu->rflags;
	v->guest_sysenter_esp = vcpu->sysenter_esp;
	v->guest_sysenter_eip = vcpu->sysenter_eip;
	v->guest_interruptibility = vcpu->interruptibility;
	memcpy(v->guest_pdpte, vcpu->pdpte, sizeof(v->guest_pdpte));
	for (u32 i = 0; i < RECORD_SEGMENTS; i++) {
		v->guest_selector[i] = vcpu->selector[i];
		v->guest_base[i] = vcpu->base[i];
		v->guest_limit[i] = vcpu->limit[i];
		v->guest_rights[i] = vcpu->rights[i];
	}
	for (u32 i = 0; i < RECORD_TABLES; i++) {
		v->guest_base[SEG12_GDTR + i] = vcpu->table_base[i];
		v->guest_limit[SEG12_GDTR + i] = vcpu->table_limit[i];
	}
}

/* Umbra's own controls, as far as the rules look at them. */
static void fill_controls(struct vmcs12 *v, const struct record_vcpu *vcpu)
{
	v->pin_controls = (u32)(PIN_NMI | PIN_VIRTUAL_NMIS);
	v->primary_controls = (u32)PRIMARY_SECONDARY;
	v->secondary_controls =
	    (u32)(SECONDARY_EPT | SECONDARY_UNRESTRICTED_GUEST);
	v->entry_controls =
	    (u32)(ENTRY_LOAD_EFER | ENTRY_LOAD_PAT | ENTRY_LOAD_DEBUG_CONTROLS);
	if (vcpu->efer & EFER_LMA)
		v->entry_controls |= (u32)ENTRY_IA32E_MODE_GUEST;
	v->entry_interruption_info = vcpu->event;
	v->entry_exception_error_code = vcpu->event_error_code;
	v->entry_instruction_length = vcpu->event_instruction_length;
	v->link_pointer = ~0UL;
}

static void check_entry(struct record_reader *reader,
			const struct record_host *host,
			const struct record_vcpu *vcpu)
{
	static struct vmcs12 v; /* large; one record is read at a time */
	const struct nested_capability offer = {
	    .basic = 0,
	    .misc = MISC_INJECT_LENGTH_0,
	    .cr0_fixed1 = CR0_BITS,
	    .cr4_fixed1 = host->cr4,
	};
	const struct nested_entry e = {
	    .v = &v,
	    .offer = &offer,
	    .efer_defined = RECORD_EFER,
	    .debugctl_defined = DEBUGCTL_OF_GUESTS,
	    .phys_bits = host->physical_bits,
	    .linear_bits = LINEAR_BITS,
	};
	enum nested_rule rule;

	memset(&v, 0, sizeof(v));
	fill_state(&v, vcpu);
	fill_controls(&v, vcpu);
	rule = nested_check_guest_state(&e);
	if (rule != RULE_NONE)
		record_refuse(reader,
			      "vCPU %u: no CPU can be in that state: %s",
			      vcpu->index, nested_rule_text(rule));
}

static bool is_canonical_48(u64 address)
{
	i64 high = (i64)address >> (LINEAR_BITS - 1);

	return high == 0 || high == -1;
}

/* What XSETBV takes: SDM vol. 2, "XSETBV-Set Extended Control Register". */
static bool is_xcr0(u64 xcr0)
{
	return (xcr0 & BIT(0)) && (!(xcr0 & BIT(2)) || (xcr0 & BIT(1)));
}

static void check_msrs(struct record_reader *reader,
		       const struct record_host *host,
		       const struct record_vcpu *vcpu)
{
	record_must(reader, !(vcpu->cr0 & CR0_NW) || (vcpu->cr0 & CR0_CD),
		    "CR0 with NW and without CD");
	record_must(reader,
		    is_canonical_48(vcpu->lstar) &&
			is_canonical_48(vcpu->cstar) &&
			is_canonical_48(vcpu->kernel_gs_base),
		    "an address that is not canonical");
	record_must(reader, is_xcr0(vcpu->xcr0) && !(vcpu->xcr0 & ~host->xcr0),
		    "XCR0");
	/* Umbra itself switches all of these on, to save and to load them. */
	record_must(reader, is_xcr0(host->xcr0), "what XCR0 may have");
	record_must(reader, mtrr_is_valid(&vcpu->mtrr, host->physical_bits),
		    "memory-type ranges");
	record_must(reader, !(vcpu->spec_ctrl & ~host->spec_ctrl),
		    "IA32_SPEC_CTRL");
	record_must(reader, vcpu->activity <= RECORD_WAIT_FOR_SIPI,
		    "its activity");
	record_must(reader,
		    (vcpu->event & EVENT_VALID) ||
			!(vcpu->event | vcpu->event_error_code |
			  vcpu->event_instruction_length),
		    "an event that is none");
	record_must(reader,
		    (vcpu->postponed_interrupt & EVENT_VALID) ||
			!vcpu->postponed_interrupt,
		    "an interrupt that is none");
}

void record_get_vcpu(struct record_reader *reader,
		     const struct record_host *host, struct record_vcpu *vcpu)
{
	memset(vcpu, 0, sizeof(*vcpu));
	record_enter(reader, RECORD_VCPU, VCPU_VERSION);
	record_get(reader, &vcpu_layout, vcpu);
	record_leave(reader);
	if (reader->is_wrong)
		return;
	check_msrs(reader, host, vcpu);
	check_entry(reader, host, vcpu);
}

/* --- FPU ------------------------------------------------------------------ */

/* SDM vol. 1, "XSAVE Area". */
#define MXCSR_AT      24
#define MXCSR_MASK_AT 28
#define UNUSED_AT     416 /* what neither FXSAVE nor XSAVE writes */
#define HEADER_AT     512
#define HEADER_BYTES  64
#define XCOMP_BV_AT   (HEADER_AT + 8)

void record_put_fpu(struct wire_writer *writer, struct record_fpu *fpu,
		    const struct record_host *host)
{
	u32 begun = record_begin(writer, RECORD_FPU, FPU_VERSION);

	memset(fpu->image + MXCSR_MASK_AT, 0, 4);
	memset(fpu->image + UNUSED_AT, 0, HEADER_AT - UNUSED_AT);
	wire_put_bytes(writer, fpu->image, host->fpu_bytes);
	record_end(writer, begun);
}

static bool are_zero(const u8 *at, u32 bytes)
{
	u8 any = 0;

	for (u32 i = 0; i < bytes; i++)
		any |= at[i];
	return !any;
}

static void check_fpu(struct record_reader *reader,
		      const struct record_host *host, const u8 *image)
{
	u32 mxcsr;
	u64 components = 0;

	memcpy(&mxcsr, image + MXCSR_AT, sizeof(mxcsr));
	record_must(reader, !(mxcsr & ~host->mxcsr), "MXCSR");
	record_must(reader,
		    are_zero(image + MXCSR_MASK_AT, 4) &&
			are_zero(image + UNUSED_AT, HEADER_AT - UNUSED_AT),
		    "something where nothing is");
	if (host->fpu_bytes <= HEADER_AT)
		return;
	memcpy(&components, image + HEADER_AT, sizeof(components));
	record_must(reader, !(components & ~host->xcr0), "its components");
	record_must(reader, are_zero(image + XCOMP_BV_AT, HEADER_BYTES - 8),
		    "its header");
}

void record_get_fpu(struct record_reader *reader,
		    const struct record_host *host, struct record_fpu *fpu)
{
	const u8 *image;

	memset(fpu, 0, sizeof(*fpu));
	record_enter(reader, RECORD_FPU, FPU_VERSION);
	image = wire_get_bytes(&reader->section, host->fpu_bytes);
	record_leave(reader);
	if (reader->is_wrong || !image)
		return;
	check_fpu(reader, host, image);
	memcpy(fpu->image, image, host->fpu_bytes);
}

/* --- Local APIC ----------------------------------------------------------- */

#define LAPIC(member, bits) RECORD_FIELD(struct lapic_state, member, bits)

static const struct record_field lapic_fields[] = {
    RECORD_ARRAY(struct lapic_state, registers, RECORD_ANY),
    LAPIC(icr_high, RECORD_ANY),
    LAPIC(events, RECORD_ANY),
    LAPIC(errors, RECORD_ANY),
    LAPIC(base, RECORD_ANY),
    LAPIC(timer_start, RECORD_ANY),
    LAPIC(tsc_deadline, RECORD_ANY),
    LAPIC(tsc_offset, RECORD_ANY),
    LAPIC(timer_armed, RECORD_BOOL),
};

static const struct record_layout lapic_layout =
    RECORD_LAYOUT("local APIC", lapic_fields);

void record_put_lapic(struct wire_writer *writer,
		      const struct lapic_state *lapic)
{
	u32 begun = record_begin(writer, RECORD_LAPIC, LAPIC_VERSION_1);

	record_put(writer, &lapic_layout, lapic);
	record_end(writer, begun);
}

void record_get_lapic(struct record_reader *reader, struct lapic_state *lapic)
{
	memset(lapic, 0, sizeof(*lapic));
	record_enter(reader, RECORD_LAPIC, LAPIC_VERSION_1);
	record_get(reader, &lapic_layout, lapic);
	record_leave(reader);
}
