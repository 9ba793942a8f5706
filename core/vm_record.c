/* SPDX-License-Identifier: MIT */
/* From a VM into its record and back: see core/vm_record.h. */
#include "core/vm_record.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/mitigate.h"
#include "arch/x86/vmx/nested_vcpu.h"
#include "arch/x86/vmx/vcpu.h"
#include "core/vm_make.h"
#include "lib/check.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "migrate/record_machine.h"
#include "migrate/record_nested.h"
#include "migrate/record_vcpu.h"

#define ROOM_OF_MACHINE (8 * KIB)
#define ROOM_OF_VCPU    (7 * KIB)
#define FXSAVE_BYTES    512
#define MXCSR_MASK_AT   28
#define MXCSR_DEFAULT   0xffbf /* where FXSAVE does not tell */

/* Large; one VM is looked at at a time. */
static struct record_vcpu record;
static struct record_fpu fpu;
static struct lapic_state lapic;
static u64 nested_ticks;

u32 vm_record_room(u32 vcpu_count)
{
	return (u32)(ROOM_OF_MACHINE + vcpu_count * ROOM_OF_VCPU);
}

/* --- What this machine lets a guest have ---------------------------------- */

static u32 mxcsr_mask(void)
{
	static u8 image[FXSAVE_BYTES] ALIGNED(16);
	u32 mask;

	insn_fxsave(image);
	memcpy(&mask, image + MXCSR_MASK_AT, sizeof(mask));
	return mask ? mask : MXCSR_DEFAULT;
}

/* As XSAVE lays it out for the components that the guest may have. */
static u32 fpu_bytes(const struct guest_cpuid *cpuid)
{
	const struct cpuid_leaf *avx = &cpuid->avx_state;

	if (!cpuid->xcr0_allowed)
		return FXSAVE_BYTES;
	return cpuid->xcr0_allowed & XCR0_AVX ? avx->ebx + avx->eax
					      : FXSAVE_BYTES + 64;
}

static void fill_host(const struct vm *vm, struct record_host *host)
{
	host->cr4 = guest_cpuid_cr4_allowed(&vm->cpuid);
	if (vmx_capability.usable)
		host->cr4 &= vmx_capability.cr4_fixed1;
	host->xcr0 = vm->xcr0_allowed ? vm->xcr0_allowed : XCR0_X87;
	host->spec_ctrl = mitigation_guest_spec_ctrl(vm->cpuid.basic[7].edx);
	host->physical_bits = cpu_features.physical_bits;
	host->mxcsr = mxcsr_mask();
	host->fpu_bytes = fpu_bytes(&vm->cpuid);
}

/* --- CPUID ---------------------------------------------------------------- */

#define BASIC_LEAVES    (GUEST_CPUID_BASIC_MAX + 1)
#define EXTENDED_LEAVES ((GUEST_CPUID_EXTENDED_MAX & 0xff) + 1)
#define ALL_LEAVES      (BASIC_LEAVES + EXTENDED_LEAVES + GUEST_CPUID_CACHES + 4)

static struct record_leaf leaves[ALL_LEAVES];

_Static_assert(sizeof(struct record_leaf) == sizeof(struct cpuid_leaf),
	       "the same four registers");

/* Basic, extended, caches, AVX state, XSAVE features; then XCR0 and vCPUs,
 * and IA32_ARCH_CAPABILITIES. */
static void put_cpuid(struct wire_writer *writer, const struct vm *vm)
{
	const struct guest_cpuid *cpuid = &vm->cpuid;
	struct record_leaf *at = leaves;

	memcpy(at, cpuid->basic, sizeof(cpuid->basic));
	at += BASIC_LEAVES;
	memcpy(at, cpuid->extended, sizeof(cpuid->extended));
	at += EXTENDED_LEAVES;
	memcpy(at, cpuid->caches, sizeof(cpuid->caches));
	at += GUEST_CPUID_CACHES;
	memcpy(at++, &cpuid->avx_state, sizeof(cpuid->avx_state));
	memcpy(at++, &cpuid->xsave_features, sizeof(cpuid->xsave_features));
	*at++ = (struct record_leaf){
	    .eax = low32(cpuid->xcr0_allowed),
	    .edx = high32(cpuid->xcr0_allowed),
	    .ebx = cpuid->vcpu_count,
	};
	*at = (struct record_leaf){
	    .eax = low32(cpuid->arch_capabilities),
	    .edx = high32(cpuid->arch_capabilities),
	};
	record_put_cpuid(writer, leaves, ALL_LEAVES);
}

static void take_leaves(struct guest_cpuid *cpuid)
{
	const struct record_leaf *at = leaves;

	memcpy(cpuid->basic, at, sizeof(cpuid->basic));
	at += BASIC_LEAVES;
	memcpy(cpuid->extended, at, sizeof(cpuid->extended));
	at += EXTENDED_LEAVES;
	memcpy(cpuid->caches, at, sizeof(cpuid->caches));
	at += GUEST_CPUID_CACHES;
	memcpy(&cpuid->avx_state, at++, sizeof(cpuid->avx_state));
	memcpy(&cpuid->xsave_features, at++, sizeof(cpuid->xsave_features));
	cpuid->xcr0_allowed = at->eax | (u64)at->edx << 32;
	cpuid->vcpu_count = at++->ebx;
	cpuid->arch_capabilities = at->eax | (u64)at->edx << 32;
}

static void fill_model(const struct guest_cpuid *cpuid, struct cpu_model *model)
{
	const struct cpuid_leaf *basic = cpuid->basic;
	const struct cpuid_leaf *extended = cpuid->extended;

	memset(model, 0, sizeof(*model));
	memcpy(model->vendor, &basic[0].ebx, 4);
	memcpy(model->vendor + 4, &basic[0].edx, 4);
	memcpy(model->vendor + 8, &basic[0].ecx, 4);
	memcpy(model->brand, cpu_features.brand,
	       strnlen(cpu_features.brand, sizeof(model->brand)));
	model->physical_bits = extended[8].eax & 0xff;
	model->xcr0 = cpuid->xcr0_allowed;
	model->features[CPU_1_EDX] = basic[1].edx;
	model->features[CPU_1_ECX] = basic[1].ecx;
	model->features[CPU_7_EBX] = basic[7].ebx;
	model->features[CPU_7_ECX] = basic[7].ecx;
	model->features[CPU_7_EDX] = basic[7].edx;
	model->features[CPU_D1_EAX] = cpuid->xsave_features.eax;
	model->features[CPU_80000001_EDX] = extended[1].edx;
	model->features[CPU_80000001_ECX] = extended[1].ecx;
}

/* The features must be this machine's, too: more than CPUID depends on them. */
static void get_cpuid(struct record_reader *reader, struct vm *vm)
{
	static struct guest_cpuid found; /* large */
	struct cpu_model wanted, here;
	char why[WIRE_TEXT_BYTES];

	record_get_cpuid(reader, leaves, ALL_LEAVES);
	if (reader->is_wrong)
		return;
	take_leaves(&found);
	fill_model(&found, &wanted);
	vm_record_host_cpu(&here);
	if (cpu_model_fits(&wanted, &here, why, sizeof(why)) != OK)
		record_refuse(reader, "%s", why);
	/* "Not susceptible to ...": what the guest relies on must be true. */
	if (found.arch_capabilities & ~vm->cpuid.arch_capabilities)
		record_refuse(reader,
			      "this CPU has weaknesses that the guest does not "
			      "guard against (IA32_ARCH_CAPABILITIES %lx)",
			      found.arch_capabilities &
				  ~vm->cpuid.arch_capabilities);
	record_must(reader, found.vcpu_count == vm->vcpu_count,
		    "the number of vCPUs");
	record_must(reader,
		    !(found.xcr0_allowed & XCR0_AVX) ||
			!memcmp(&found.avx_state, &vm->cpuid.avx_state,
				sizeof(found.avx_state)),
		    "another layout of XSAVE");
	if (reader->is_wrong)
		return;
	vm->cpuid = found;
	vm->xcr0_allowed = found.xcr0_allowed;
}

static void put_vmx(struct wire_writer *writer, const struct vm *vm)
{
	const struct record_vmx vmx = {vm->nested, vm->offer};

	record_put_vmx(writer, &vmx);
}

static void get_vmx(struct record_reader *reader, struct vm *vm)
{
	const struct record_vmx here = {vm->nested, vm->offer};
	struct record_vmx vmx;

	record_get_vmx(reader, &here, &vmx);
	if (reader->is_wrong ||
	    !memcmp(&vm->offer, &vmx.offer, sizeof(vmx.offer)))
		return;
	vm->offer = vmx.offer;
	/* Fields of what this CPU has besides are none of L1's. */
	for (u32 i = 0; vm->nested && i < vm->vcpu_count; i++)
		nested_access_fill(vm->vcpus[i]->nested->access, &vm->offer);
}

/* One that was not started with it has no section. */
static void get_hyperv(struct record_reader *reader, struct vm *vm)
{
	const struct record_vmx vmx = {vm->nested, vm->offer};

	vm->hyperv = (struct hyperv){.on = false};
	if (record_next(reader) == RECORD_HYPERV)
		record_get_hyperv(reader, &vmx, &vm->hyperv);
}

void vm_record_host_cpu(struct cpu_model *cpu)
{
	static struct guest_cpuid cpuid; /* large */
	static struct cpu_model model;   /* made once: it does not change */
	static bool is_made;

	/* Any number above one: HTT is shown to those who have more. */
	if (!is_made) {
		vm_make_cpuid(&cpuid, 2);
		fill_model(&cpuid, &model);
		is_made = true;
	}
	*cpu = model;
}

void vm_record_shape(const struct vm *vm, struct vm_shape *shape)
{
	memset(shape, 0, sizeof(*shape));
	shape_take_memory(shape, &vm->memory);
	shape->cpu_count = vm->vcpu_count;
	shape->tsc_hz = vm->time.hz;
	fill_model(&vm->cpuid, &shape->cpu);
}

/* --- vCPUs ---------------------------------------------------------------- */

static const enum vcpu_live_msr live_order[] = {
    LIVE_STAR,  LIVE_LSTAR,          LIVE_CSTAR,
    LIVE_FMASK, LIVE_KERNEL_GS_BASE, LIVE_TSC_AUX,
};

static u64 *live_field(enum vcpu_live_msr msr)
{
	switch (msr) {
	case LIVE_STAR:
		return &record.star;
	case LIVE_LSTAR:
		return &record.lstar;
	case LIVE_CSTAR:
		return &record.cstar;
	case LIVE_FMASK:
		return &record.fmask;
	case LIVE_KERNEL_GS_BASE:
		return &record.kernel_gs_base;
	case LIVE_TSC_AUX:
	case LIVE_MSR_COUNT:
		break;
	}
	return &record.tsc_aux;
}

static void put_segments(const struct vcpu_state *state)
{
	for (u32 i = 0; i < SREG_COUNT; i++) {
		record.selector[i] = state->segments[i].selector;
		record.base[i] = state->segments[i].base;
		record.limit[i] = state->segments[i].limit;
		record.rights[i] = state->segments[i].rights;
	}
	record.table_base[0] = state->gdtr.base;
	record.table_limit[0] = state->gdtr.limit;
	record.table_base[1] = state->idtr.base;
	record.table_limit[1] = state->idtr.limit;
}

static void get_segments(struct vcpu_state *state)
{
	for (u32 i = 0; i < SREG_COUNT; i++)
		state->segments[i] =
		    (struct segment_state){record.selector[i], record.limit[i],
					   record.rights[i], record.base[i]};
	state->gdtr = (struct descriptor_table){record.table_base[0],
						record.table_limit[0]};
	state->idtr = (struct descriptor_table){record.table_base[1],
						record.table_limit[1]};
}

static void put_state(const struct vcpu_state *state)
{
	memcpy(record.gpr, state->gpr, sizeof(record.gpr));
	record.rip = state->rip;
	record.rflags = state->rflags;
	put_segments(state);
	record.cr0 = state->cr0;
	record.cr3 = state->cr3;
	record.cr4 = state->cr4;
	record.efer = state->efer;
	record.pat = state->pat;
	record.dr7 = state->dr7;
	record.debugctl = state->debugctl;
	record.sysenter_cs = state->sysenter_cs;
	record.sysenter_esp = state->sysenter_esp;
	record.sysenter_eip = state->sysenter_eip;
	record.interruptibility = state->interruptibility;
	record.pending_debug = state->pending_debug;
	memcpy(record.pdpte, state->pdpte, sizeof(record.pdpte));
}

static void get_state(struct vcpu_state *state)
{
	memcpy(state->gpr, record.gpr, sizeof(state->gpr));
	state->rip = record.rip;
	state->rflags = record.rflags;
	get_segments(state);
	state->cr0 = record.cr0;
	state->cr2 = record.cr2;
	state->cr3 = record.cr3;
	state->cr4 = record.cr4;
	state->efer = record.efer;
	state->pat = record.pat;
	state->dr7 = record.dr7;
	state->debugctl = record.debugctl;
	state->sysenter_cs = record.sysenter_cs;
	state->sysenter_esp = record.sysenter_esp;
	state->sysenter_eip = record.sysenter_eip;
	state->interruptibility = record.interruptibility;
	state->pending_debug = record.pending_debug;
	memcpy(state->pdpte, record.pdpte, sizeof(state->pdpte));
}

/* Also of one that has come so, and has not been loaded yet. */
static bool is_in_l2(const struct vcpu *vcpu)
{
	return vcpu->nested && vcpu->nested->state.in_l2;
}

/* What is in neither the VMCS nor the general registers. */
static void put_rest(const struct vcpu *vcpu)
{
	for (u32 i = 0; i < ARRAY_COUNT(live_order); i++)
		*live_field(live_order[i]) = vcpu->live_msrs[live_order[i]];
	memcpy(record.dr, vcpu->dr, sizeof(record.dr));
	record.dr6 = vcpu->dr6;
	record.cr2 = vcpu->cr2;
	record.xcr0 = vcpu->xcr0;
	record.xss = vcpu->xss;
	record.misc_enable = vcpu->misc_enable;
	record.tsc_adjust = vcpu->tsc_adjust;
	record.mtrr = vcpu->mtrr;
	record.spec_ctrl = mitigate_read_spec_ctrl(vcpu);
	if (vcpu->nested)
		record.feature_control = vcpu->nested->state.feature_control;
	record.halted_for_good = vcpu->halted_for_good;
	record.nmi_pending = vcpu->nmi_pending;
	if (is_in_l2(vcpu)) /* what follows is L2's */
		return;
	record.activity = vcpu->activity;
	record.postponed_interrupt = vcpu->postponed_interrupt;
	if (!(vcpu->injection.info & EVENT_VALID))
		return;
	record.event = vcpu->injection.info;
	record.event_error_code = vcpu->injection.error_code;
	record.event_instruction_length = vcpu->injection.instruction_length;
}

static void get_rest(struct vcpu *vcpu)
{
	for (u32 i = 0; i < ARRAY_COUNT(live_order); i++)
		vcpu->live_msrs[live_order[i]] = *live_field(live_order[i]);
	memcpy(vcpu->dr, record.dr, sizeof(vcpu->dr));
	vcpu->dr6 = record.dr6;
	vcpu->cr2 = record.cr2;
	vcpu->xcr0 = record.xcr0;
	vcpu->xss = record.xss;
	vcpu->misc_enable = record.misc_enable;
	vcpu->tsc_adjust = record.tsc_adjust;
	vcpu->mtrr = record.mtrr;
	if (vcpu->nested)
		vcpu->nested->state.feature_control = record.feature_control;
	if (record.spec_ctrl)
		mitigate_restore_spec_ctrl(vcpu, record.spec_ctrl);
	vcpu->activity = (enum vcpu_activity)record.activity;
	vcpu->halted_for_good = record.halted_for_good;
	vcpu->nmi_pending = record.nmi_pending;
	vcpu->postponed_interrupt = record.postponed_interrupt;
	vcpu->injection =
	    (struct vcpu_event){record.event, record.event_error_code,
				record.event_instruction_length};
}

_Static_assert((u32)RECORD_ACTIVE == (u32)VCPU_ACTIVE &&
		   (u32)RECORD_HALTED == (u32)VCPU_HALTED &&
		   (u32)RECORD_WAIT_FOR_SIPI == (u32)VCPU_WAIT_FOR_SIPI,
	       "the record's numbers");

static void settle_nested(struct vcpu *vcpu)
{
	u64 start = insn_rdtsc();

	nested_vcpu_settle(vcpu);
	nested_ticks += insn_rdtsc() - start;
}

/* A vCPU that has never been loaded has its state in memory still. */
static void put_vcpu(struct wire_writer *writer, struct vcpu *vcpu)
{
	struct vcpu_state state = vcpu->start;

	if (vcpu->initialised) {
		vcpu_load(vcpu);
		nested_vcpu_write_back(vcpu);
		settle_nested(vcpu);
		nested_vcpu_read_l1(vcpu, &state);
		vcpu_unload(vcpu);
	}
	memset(&record, 0, sizeof(record));
	record.index = vcpu->index;
	put_state(&state);
	put_rest(vcpu);
	record_put_vcpu(writer, &record);
}

static void get_vcpu(struct record_reader *reader,
		     const struct record_host *host, struct vcpu *vcpu)
{
	record_get_vcpu(reader, host, &record);
	record_must(reader, record.index == vcpu->index, "its number");
	if (reader->is_wrong)
		return;
	get_state(&vcpu->start);
	get_rest(vcpu);
}

static void put_fpu(struct wire_writer *writer, const struct vcpu *vcpu,
		    const struct record_host *host)
{
	memcpy(fpu.image, vcpu->fpu, sizeof(fpu.image));
	record_put_fpu(writer, &fpu, host);
}

static void get_lapic(struct record_reader *reader, const struct vm *vm,
		      struct vcpu *vcpu, u64 now_ns)
{
	record_get_lapic(reader, &lapic);
	if (reader->is_wrong)
		return;
	vcpu->lapic->config.tsc_hz = vm->platform.config.tsc_hz;
	vcpu->lapic->config.timer_hz = vm->platform.config.apic_timer_hz;
	vcpu->lapic->config.phys_bits = vm->platform.config.phys_bits;
	record_must(reader, lapic_restore(vcpu->lapic, &lapic, now_ns) == OK,
		    "such a state");
}

static void put_l2(struct wire_writer *writer, const struct vcpu *vcpu)
{
	const struct nested_vcpu *n = vcpu->nested;
	struct record_l2 l2 = {
	    .activity = vcpu->activity,
	    .entry_pending = n->state.entry_pending,
	    .timer_runs = n->state.timer_runs,
	    .timer_deadline = n->state.timer_deadline,
	    .postponed_interrupt = vcpu->postponed_interrupt,
	    .efer = n->l2.efer,
	    .pat = n->l2.pat,
	    .dr7 = n->l2.dr7,
	    .debugctl = n->l2.debugctl,
	    .cr0_kept = n->l2.cr0_kept,
	};

	memcpy(l2.pdpte, n->l2.pdpte, sizeof(l2.pdpte));
	if (vcpu->injection.info & EVENT_VALID) {
		l2.event = vcpu->injection.info;
		l2.event_error_code = vcpu->injection.error_code;
		l2.event_instruction_length =
		    vcpu->injection.instruction_length;
	}
	if (n->exception.info & EVENT_VALID) {
		l2.exception = n->exception.info;
		l2.exception_error_code = n->exception.error_code;
		l2.exception_qualification = n->exception.qualification;
	}
	record_put_l2(writer, &l2);
}

static void get_l2(struct record_reader *reader, const struct record_l1 *l1,
		   struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	struct record_l2 l2;

	record_get_l2(reader, l1, &n->state, &l2);
	if (reader->is_wrong)
		return;
	vcpu->activity = (enum vcpu_activity)l2.activity;
	vcpu->postponed_interrupt = l2.postponed_interrupt;
	vcpu->injection = (struct vcpu_event){l2.event, l2.event_error_code,
					      l2.event_instruction_length};
	n->state.in_l2 = true;
	n->state.entry_pending = l2.entry_pending;
	n->state.timer_runs = l2.timer_runs;
	n->state.timer_deadline = l2.timer_deadline;
	n->exception = (struct nested_exception){
	    l2.exception, l2.exception_error_code, l2.exception_qualification};
	n->l2 = (struct nested_l2_registers){
	    .efer = l2.efer,
	    .pat = l2.pat,
	    .dr7 = l2.dr7,
	    .debugctl = l2.debugctl,
	    .cr0_kept = l2.cr0_kept,
	};
	memcpy(n->l2.pdpte, l2.pdpte, sizeof(l2.pdpte));
}

_Static_assert((u32)RECORD_L2_ACTIVE == (u32)VCPU_ACTIVE &&
		   (u32)RECORD_L2_HALTED == (u32)VCPU_HALTED &&
		   (u32)RECORD_L2_WAIT_FOR_SIPI == (u32)VCPU_WAIT_FOR_SIPI &&
		   (u32)RECORD_L2_SHUTDOWN == (u32)VCPU_SHUTDOWN,
	       "the record's numbers");

/* One that was no hypervisor has none of it. */
static void put_nested(struct wire_writer *writer, const struct vcpu *vcpu)
{
	u64 start = insn_rdtsc();

	if (vcpu->vm->hyperv.on)
		record_put_hyperv_vcpu(writer, &vcpu->hyperv);
	if (!nested_vcpu_in_vmx(vcpu))
		return;
	record_put_nested(writer, &vcpu->nested->state);
	if (vcpu->nested->state.is_enlightened && !vcpu->vm->says_least &&
	    nested_knows_evmcs(&vcpu->nested->state))
		record_put_evmcs(writer, &vcpu->nested->state);
	if (is_in_l2(vcpu))
		put_l2(writer, vcpu);
	nested_ticks += insn_rdtsc() - start;
}

/* `record` is this vCPU's. What it has told L2's CPU is made anew. */
static void get_nested(struct record_reader *reader, struct vcpu *vcpu)
{
	const struct record_l1 l1 = {
	    .vcpu = &record,
	    .offer = &vcpu->vm->offer,
	    .physical_bits = vcpu->vm->platform.config.phys_bits,
	    .hyperv = vcpu->vm->hyperv.on ? &vcpu->hyperv : NULL,
	};
	u64 start = insn_rdtsc();

	if (vcpu->vm->hyperv.on)
		record_get_hyperv_vcpu(reader, &vcpu->hyperv);
	if (record_next(reader) != RECORD_NESTED)
		return;
	if (!vcpu->nested) {
		record_refuse(reader,
			      "vCPU %u: VMX operation, and it has no VMX",
			      vcpu->index);
		return;
	}
	record_get_nested(reader, &l1, &vcpu->nested->state);
	if (record_next(reader) == RECORD_EVMCS)
		record_get_evmcs(reader, &l1, &vcpu->nested->state);
	if (record_next(reader) == RECORD_L2)
		get_l2(reader, &l1, vcpu);
	/* As VMXON does; none of the VM's vCPUs runs. */
	if (!reader->is_wrong)
		CHECK(vm_use_shadow(vcpu->vm));
	nested_ticks += insn_rdtsc() - start;
}

u64 vm_record_nested_ticks(void)
{
	return nested_ticks;
}

/* --- The VM --------------------------------------------------------------- */

u64 vm_record_moment(const struct vm *vm)
{
	u64 tsc;

	/* Another CPU may have brought the devices a time that is a little
	 * ahead of this one's. */
	do {
		tsc = guest_time_tsc(&vm->time, insn_rdtsc());
	} while (guest_time_ns(&vm->time, tsc) < vm->platform.devices.now_ns);
	return tsc;
}

static void put_vm(struct wire_writer *writer, const struct vm *vm, u64 tsc)
{
	const struct record_vm of = {
	    .vcpu_count = vm->vcpu_count,
	    .physical_bits = vm->platform.config.phys_bits,
	    .tsc_hz = vm->time.hz,
	    .apic_timer_hz = vm->platform.config.apic_timer_hz,
	    .tsc = tsc,
	    .has_started = vm->has_started,
	    .restarts = vm->restarts,
	    .began_with = vm->began_with,
	};

	record_put_vm(writer, &of);
}

u32 vm_record_save(struct vm *vm, u64 tsc, u8 *room, u32 room_bytes)
{
	struct wire_writer writer = {.at = room, .room = room_bytes};
	u64 now_ns = guest_time_ns(&vm->time, tsc);
	struct record_host host;
	u32 end;

	nested_ticks = 0;
	fill_host(vm, &host);
	platform_still(&vm->platform, now_ns);
	put_vm(&writer, vm, tsc);
	put_cpuid(&writer, vm);
	put_vmx(&writer, vm);
	if (vm->hyperv.on)
		record_put_hyperv(&writer, &vm->hyperv);
	for (u32 i = 0; i < vm->vcpu_count; i++) {
		put_vcpu(&writer, vm->vcpus[i]);
		put_fpu(&writer, vm->vcpus[i], &host);
		lapic_save(vm->vcpus[i]->lapic, &lapic, now_ns);
		record_put_lapic(&writer, &lapic);
		put_nested(&writer, vm->vcpus[i]);
	}
	record_put_devices(&writer, &vm->platform.devices);
	end = record_begin(&writer, RECORD_END, 1);
	record_end(&writer, end);
	return writer.filled;
}

static enum guest_time_scaling scaling(void)
{
	return vmx_capability.usable &&
		       (vmx_capability.words[CONTROLS_SECONDARY].may_be_1 &
			SECONDARY_TSC_SCALING)
		   ? GUEST_TIME_SCALABLE
		   : GUEST_TIME_FIXED;
}

static void refuse_clock(struct record_reader *reader,
			 const struct record_vm *of)
{
	record_refuse(reader,
		      "the guest's TSC runs at %lu MHz, this CPU's at %lu, and "
		      "it cannot scale",
		      of->tsc_hz / 1000000, tsc_hz() / 1000000);
}

static void get_vm(struct record_reader *reader, struct vm *vm)
{
	struct record_vm of = {0};
	u64 host_hz;

	record_get_vm(reader, &of);
	record_must(reader, of.vcpu_count == vm->vcpu_count,
		    "another number of vCPUs");
	record_must(reader, of.physical_bits <= cpu_features.physical_bits,
		    "wider addresses");
	if (reader->is_wrong)
		return;
	/* Who has not started yet has measured nothing. */
	host_hz = of.has_started ? tsc_hz() : of.tsc_hz;
	if (guest_time_init(&vm->time, of.tsc_hz, host_hz, scaling()) != OK) {
		refuse_clock(reader, &of);
		return;
	}
	vm->platform.config.tsc_hz = of.tsc_hz;
	vm->platform.config.apic_timer_hz = of.apic_timer_hz;
	vm->platform.config.phys_bits = of.physical_bits;
	vm->stopped_tsc = of.tsc;
	vm->has_started = of.has_started;
	vm->restarts = of.restarts;
	vm->began_with = of.began_with;
	vm_record_start_clock(vm);
}

static void get_all(struct record_reader *reader, struct vm *vm)
{
	struct record_host host;
	u64 now_ns;

	get_vm(reader, vm);
	get_cpuid(reader, vm);
	get_vmx(reader, vm);
	get_hyperv(reader, vm);
	if (reader->is_wrong)
		return;
	fill_host(vm, &host);
	now_ns = guest_time_ns(&vm->time, vm->stopped_tsc);
	for (u32 i = 0; i < vm->vcpu_count; i++) {
		get_vcpu(reader, &host, vm->vcpus[i]);
		record_get_fpu(reader, &host, &fpu);
		memcpy(vm->vcpus[i]->fpu, fpu.image, sizeof(fpu.image));
		get_lapic(reader, vm, vm->vcpus[i], now_ns);
		get_nested(reader, vm->vcpus[i]);
	}
	record_get_devices(reader, now_ns, &vm->platform.devices);
	record_enter(reader, RECORD_END, 1);
	record_leave(reader);
	if (!wire_is_done(&reader->bytes))
		record_refuse(reader, "something follows the state's end");
}

enum err vm_record_restore(struct vm *vm, const u8 *data, u32 bytes, char *why,
			   u32 why_bytes)
{
	static struct record_reader reader;

	nested_ticks = 0;
	record_read(&reader, data, bytes);
	get_all(&reader, vm);
	if (reader.is_wrong) {
		fmt(why, why_bytes, "%s", reader.why);
		return ERR_BAD_FORMAT;
	}
	platform_restored(&vm->platform);
	return OK;
}

void vm_record_start_clock(struct vm *vm)
{
	guest_time_set(&vm->time, insn_rdtsc(), vm->stopped_tsc);
}
