/* SPDX-License-Identifier: MIT */
/*
 * A machine that can be saved and restored on the host: the platform of
 * tests/unit/fake_host.h, and vCPUs that are nothing but their records.
 */
#ifndef TESTS_UNIT_RECORD_WORLD_H
#define TESTS_UNIT_RECORD_WORLD_H

#include <stdlib.h>

#include "lib/vmcs.h"
#include "lib/x86.h"
#include "migrate/record_machine.h"
#include "migrate/record_nested.h"
#include "migrate/record_vcpu.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/nested_host.h"
#include "tests/unit/nested_state.h"

#define WORLD_BYTES (64 * KIB)

static struct record_vcpu vcpus[FAKE_VCPU_COUNT];
static struct record_fpu fpus[FAKE_VCPU_COUNT];
static struct nested_state nested[FAKE_VCPU_COUNT];
static struct record_l2 l2s[FAKE_VCPU_COUNT]; /* of those with `in_l2` */
static struct nested_capability offer;
static struct hyperv hyperv; /* on: they have its interface */
static struct hyperv_vcpu hyperv_vcpus[FAKE_VCPU_COUNT];

static const struct record_host world_host = {
    .cr4 = BITS(22, 0) & ~CR4_LA57,
    .xcr0 = 7,
    .spec_ctrl = 7,
    .physical_bits = 40,
    .mxcsr = 0xffff,
    .fpu_bytes = 832,
};

static const u32 code_rights = 0xa09b, data_rights = 0xc093;

static void make_segments(struct record_vcpu *vcpu)
{
	for (u32 i = 0; i < 6; i++) {
		vcpu->selector[i] = i == 1 ? 0x10 : 0x18;
		vcpu->limit[i] = ~0U;
		vcpu->rights[i] = i == 1 ? code_rights : data_rights;
	}
	vcpu->limit[6] = 0xffff;
	vcpu->rights[6] = 0x82;
	vcpu->limit[7] = 0x67;
	vcpu->rights[7] = 0x8b;
	vcpu->selector[7] = 0x40;
	vcpu->base[7] = 0xffff888000001000UL;
}

/* A kernel in 64-bit mode. */
static void make_vcpu(u32 index)
{
	struct record_vcpu *vcpu = &vcpus[index];

	*vcpu = (struct record_vcpu){
	    .index = index,
	    .rip = 0xffffffff81000000UL + index,
	    .rflags = RFLAGS_FIXED | RFLAGS_IF,
	    .table_base = {0xfffffe0000001000UL, 0xfffffe0000000000UL},
	    .table_limit = {0x7f, 0xfff},
	    .cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP,
	    .cr2 = 0x7f0012345678UL,
	    .cr3 = 0x12345000,
	    .cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXSAVE,
	    .efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE,
	    .xcr0 = 7,
	    .dr6 = 0xffff0ff0,
	    .dr7 = 0x400,
	    .pat = PAT_RESET,
	    .lstar = 0xffffffff81800000UL,
	    .star = 0x0023001000000000UL,
	    .fmask = 0x47700,
	    .tsc_aux = index,
	    .misc_enable = 1,
	    .tsc_adjust = 0x1234,
	};
	mtrr_init(&vcpu->mtrr, world_host.physical_bits);
	vcpu->mtrr.values[0] ^= 1U << 10;
	for (u32 i = 0; i < 16; i++)
		vcpu->gpr[i] = 0x0101010101010101UL * i;
	make_segments(vcpu);
	memset(&fpus[index], 0, sizeof(fpus[index]));
	fpus[index].image[0] = 0x7f;
	fpus[index].image[1] = 3;
	fpus[index].image[24] = 0x80;
	fpus[index].image[25] = 0x1f;
	fpus[index].image[512] = 7;
	fpus[index].image[600] = (u8)index;
}

/* VMXON has been executed there. */
static void make_hypervisor(u32 index)
{
	vcpus[index].cr4 |= CR4_VMXE;
	vcpus[index].feature_control =
	    FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX;
	nested[index].vmxon = gpa(0x1000);
}

static void make_current(struct nested_state *state)
{
	memset(&state->vmcs12, 0x5a, sizeof(state->vmcs12));
	state->vmcs12.revision = NESTED_REVISION;
	state->vmcs12.launch_state = VMCS12_LAUNCHED;
	state->vmcs12_changed = true;
	state->current = gpa(0x2000);
}

/* Its L2 is about to take an interrupt, and an exception has come first. */
static void make_l2(u32 index)
{
	struct nested_state *state = &nested[index];

	make_vmcs12(&state->vmcs12);
	state->vmcs12.launch_state = VMCS12_LAUNCHED;
	state->vmcs12.pin_controls |= (u32)PIN_PREEMPTION_TIMER;
	state->vmcs12_changed = true;
	state->current = gpa(PAGE_VMCS);
	state->in_l2 = true;
	l2s[index] = (struct record_l2){
	    .activity = RECORD_L2_ACTIVE,
	    .entry_pending = 1,
	    .timer_runs = 1,
	    .timer_deadline = 0x123456789aUL,
	    .event = 0x80000b0d,
	    .event_error_code = 0x18,
	    .postponed_interrupt = 0x80000041,
	    .exception = 0x80000b0e,
	    .exception_error_code = 2,
	    .exception_qualification = 0x7f0011223344UL,
	    .efer = EFER_LME | EFER_LMA | EFER_NXE,
	    .pat = PAT_RESET ^ 6,
	    .dr7 = 0x401,
	    .debugctl = DEBUGCTL_BTF,
	    .pdpte = {1, 2, 3, 4},
	    .cr0_kept = CR0_CD,
	};
}

/* vCPU 1 is a hypervisor with a current VMCS, vCPU 2 one without, 3 in L2. */
UNUSED static void make_world(void)
{
	if (fake_platform() != OK)
		abort();
	offer = full_offer();
	hyperv = (struct hyperv){.on = false};
	memset(hyperv_vcpus, 0, sizeof(hyperv_vcpus));
	for (u32 i = 0; i < FAKE_VCPU_COUNT; i++) {
		make_vcpu(i);
		nested_state_reset(&nested[i]);
	}
	make_hypervisor(1);
	make_current(&nested[1]);
	make_hypervisor(2);
	make_hypervisor(3);
	make_l2(3);
}

static void make_enlightened(struct nested_state *state, u64 evmcs)
{
	state->current = gpa(NESTED_NO_POINTER);
	state->is_enlightened = true;
	state->evmcs = gpa(evmcs);
}

/* Hyper-V's interface; vCPU 1 and the L2 of vCPU 3 have enlightened VMCSs. */
UNUSED static void make_enlightened_world(void)
{
	struct vmcs12 *v = &nested[3].vmcs12;

	make_world();
	evmcs_limit_offer(&offer);
	hyperv = (struct hyperv){
	    .on = true,
	    .guest_os_id = 0x8100060192000000UL,
	    .hypercall = 0x12001,
	    .reference_tsc = 0x13001,
	    .tsc_invariant = 1,
	};
	for (u32 i = 0; i < FAKE_VCPU_COUNT; i++)
		hyperv_vcpus[i].vp_assist = 0x14001UL + i * PAGE_4K;
	make_enlightened(&nested[1], 0x15000);
	make_enlightened(&nested[3], 0x16000);
	v->pin_controls &= ~(u32)PIN_PREEMPTION_TIMER;
	v->secondary_controls &= ~(u32)(SECONDARY_PML | SECONDARY_VMFUNC);
	l2s[3].timer_runs = 0;
}

static void put_nested(struct wire_writer *writer, u32 i)
{
	if (hyperv.on)
		record_put_hyperv_vcpu(writer, &hyperv_vcpus[i]);
	if (nested_in_vmx(&nested[i]))
		record_put_nested(writer, &nested[i]);
	if (nested[i].is_enlightened && nested_knows_evmcs(&nested[i]))
		record_put_evmcs(writer, &nested[i]);
	if (nested[i].in_l2)
		record_put_l2(writer, &l2s[i]);
}

UNUSED static u32 save_world(u8 *room)
{
	struct wire_writer writer = {.at = room, .room = WORLD_BYTES};
	struct lapic_state state;
	u32 end;

	/* As vm_record_moment() does. */
	if (now_ns < platform.devices.now_ns)
		now_ns = platform.devices.now_ns;
	platform_still(&platform, now_ns);
	if (hyperv.on)
		record_put_hyperv(&writer, &hyperv);
	for (u32 i = 0; i < FAKE_VCPU_COUNT; i++) {
		record_put_vcpu(&writer, &vcpus[i]);
		record_put_fpu(&writer, &fpus[i], &world_host);
		lapic_save(&lapics[i], &state, now_ns);
		record_put_lapic(&writer, &state);
		put_nested(&writer, i);
	}
	record_put_devices(&writer, &platform.devices);
	platform_go_on(&platform);
	end = record_begin(&writer, RECORD_END, 1);
	record_end(&writer, end);
	return writer.filled;
}

static void get_vcpu(struct record_reader *reader, u32 i)
{
	const struct record_l1 l1 = {&vcpus[i], &offer,
				     world_host.physical_bits,
				     hyperv.on ? &hyperv_vcpus[i] : NULL};
	struct lapic_state state;

	nested_state_reset(&nested[i]);
	record_get_vcpu(reader, &world_host, &vcpus[i]);
	record_must(reader, vcpus[i].index == i, "its number");
	record_get_fpu(reader, &world_host, &fpus[i]);
	record_get_lapic(reader, &state);
	record_must(reader,
		    reader->is_wrong ||
			lapic_restore(&lapics[i], &state, now_ns) == OK,
		    "such a state");
	if (hyperv.on)
		record_get_hyperv_vcpu(reader, &hyperv_vcpus[i]);
	if (record_next(reader) == RECORD_NESTED)
		record_get_nested(reader, &l1, &nested[i]);
	if (record_next(reader) == RECORD_EVMCS)
		record_get_evmcs(reader, &l1, &nested[i]);
	if (record_next(reader) == RECORD_L2) {
		record_get_l2(reader, &l1, &nested[i], &l2s[i]);
		nested[i].in_l2 = !reader->is_wrong;
	}
}

/* Into a fresh world, at now_ns. Why not, or NULL. */
UNUSED static const char *load_world(const u8 *data, u32 bytes)
{
	static struct record_reader reader;
	const struct record_vmx vmx = {1, offer};

	if (fake_platform() != OK)
		abort();
	record_read(&reader, data, bytes);
	hyperv = (struct hyperv){.on = false};
	if (record_next(&reader) == RECORD_HYPERV)
		record_get_hyperv(&reader, &vmx, &hyperv);
	for (u32 i = 0; i < FAKE_VCPU_COUNT; i++)
		get_vcpu(&reader, i);
	record_get_devices(&reader, now_ns, &platform.devices);
	record_enter(&reader, RECORD_END, 1);
	record_leave(&reader);
	if (!wire_is_done(&reader.bytes))
		record_refuse(&reader, "something follows the state's end");
	if (reader.is_wrong)
		return reader.why;
	platform_restored(&platform);
	return NULL;
}

#endif
