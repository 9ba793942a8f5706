/* SPDX-License-Identifier: MIT */
/* Between emulate/ and a vCPU: registers, paging, memory and devices. */
#include "arch/x86/vmx/exit_emulate.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/xmm.h"
#include "arch/x86/vmx/control_registers.h"
#include "arch/x86/vmx/nested_events.h"
#include "arch/x86/vmx/nested_exit.h"
#include "arch/x86/vmx/nested_memory.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vmcs_shadow.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "emulate/emulate.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "mm/guest_walk.h"

#define RIGHTS_DPL BITS(6, 5)

_Static_assert(sizeof(struct exit_emulate_remembered) <= PAGE_4K, "its page");

/* What the bus's functions are given as their context. */
struct emulation_of_vcpu {
	struct vcpu *vcpu;
	struct guest_paging paging;
	u64 now_ns;
	struct nested_memory memory;
	bool try_again; /* other vCPUs were changing the page tables */
};

static u32 read_rights(u32 segment)
{
	return (u32)vmcs_read(VMCS_GUEST_ES_ACCESS_RIGHTS + 2 * segment);
}

/* The VMCS's fields of a segment register stand in the SDM's order. */
static void bus_read_segment(void *context, u32 number,
			     struct emulate_segment *segment)
{
	u32 step = 2 * number;

	(void)context;
	*segment = (struct emulate_segment){
	    .base = vmcs_read(VMCS_GUEST_ES_BASE + step),
	    .limit = (u32)vmcs_read(VMCS_GUEST_ES_LIMIT + step),
	    .access_rights = read_rights(number),
	    .selector = (u16)vmcs_read(VMCS_GUEST_ES_SELECTOR + step),
	};
}

/* 64-bit code needs hardly anything of the segments. */
static void read_cpu(const struct vcpu *vcpu, struct emulate_cpu *cpu)
{
	memcpy(cpu->gpr, vcpu->registers.gpr, sizeof(cpu->gpr));
	cpu->gpr[GPR_RSP] = vmcs_read(VMCS_GUEST_RSP);
	cpu->rip = vmcs_read(VMCS_GUEST_RIP);
	cpu->rflags = vmcs_read(VMCS_GUEST_RFLAGS);
	/* What L2 reads may be L1's invention. */
	cpu->cr0 = vcpu->in_l2 ? vmcs_read(VMCS_GUEST_CR0)
			       : control_registers_read_cr0();
	cpu->efer = vmcs_read(VMCS_GUEST_EFER);
	cpu->segments_unread = BITS(SEGMENT_COUNT - 1, 0);
	cpu->segments[SEGMENT_CS].access_rights = read_rights(SEGMENT_CS);
	cpu->segments[SEGMENT_SS].access_rights = read_rights(SEGMENT_SS);
	/* In a VMCS the CPL is the DPL of SS. */
	cpu->cpl =
	    (u8)bits_get(cpu->segments[SEGMENT_SS].access_rights, RIGHTS_DPL);
}

void exit_emulate_read_cpu(const struct vcpu *vcpu, struct emulate_cpu *cpu)
{
	read_cpu(vcpu, cpu);
	cpu->segments_unread = 0;
	for (u32 i = 0; i < SEGMENT_COUNT; i++)
		bus_read_segment(NULL, i, &cpu->segments[i]);
}

static u64 read_cr4(const struct vcpu *vcpu)
{
	return vcpu->in_l2 ? vmcs_read(VMCS_GUEST_CR4)
			   : control_registers_read_cr4();
}

void exit_emulate_read_paging(const struct vcpu *vcpu,
			      const struct emulate_cpu *cpu,
			      struct guest_paging *paging)
{
	*paging = (struct guest_paging){
	    .cr0 = cpu->cr0,
	    .cr3 = vmcs_read(VMCS_GUEST_CR3),
	    .cr4 = read_cr4(vcpu),
	    .efer = cpu->efer,
	    .rflags = cpu->rflags,
	    .phys_bits = vcpu->vm->platform.config.phys_bits,
	    .cpl = cpu->cpl,
	    .has_1g_pages = vcpu->vm->cpuid.extended[1].edx & BIT(26),
	};
	if (paging->efer & EFER_LMA)
		return;
	for (u32 i = 0; i < 4; i++)
		paging->pdptes[i] = vmcs_read(VMCS_GUEST_PDPTE0 + 2 * i);
}

/* An exit leaves DR0 to DR3 as they were. */
bool exit_emulate_read_breakpoints(const struct vcpu *vcpu,
				   struct breakpoints *breakpoints)
{
	u64 dr7 = vmcs_read(VMCS_GUEST_DR7);

	if (likely(!(dr7 & BREAKPOINT_ENABLED)))
		return false;
	*breakpoints = (struct breakpoints){
	    .addresses = {insn_read_dr0(), insn_read_dr1(), insn_read_dr2(),
			  insn_read_dr3()},
	    .dr7 = dr7,
	    .has_ports = read_cr4(vcpu) & CR4_DE,
	};
	return true;
}

static void write_cpu(struct vcpu *vcpu, const struct emulate_cpu *cpu)
{
	memcpy(vcpu->registers.gpr, cpu->gpr, sizeof(cpu->gpr));
	vmcs_write(VMCS_GUEST_RSP, cpu->gpr[GPR_RSP]);
	vmcs_write(VMCS_GUEST_RIP, cpu->rip);
	vmcs_write(VMCS_GUEST_RFLAGS, cpu->rflags);
}

/* --- The bus -------------------------------------------------------------- */

/* L2's access is L1's business. */
static void note_refusal(struct emulation_of_vcpu *e, gva_t address)
{
	e->memory.exit.linear = address;
	e->try_again = true;
}

static enum err bus_translate(void *context, gva_t address,
			      enum emulate_access access, gpa_t *result,
			      u32 *error_code)
{
	static const enum guest_access accesses[] = {
	    [EMULATE_READ] = GUEST_READ,
	    [EMULATE_WRITE] = GUEST_WRITE,
	    [EMULATE_FETCH] = GUEST_FETCH,
	};
	struct emulation_of_vcpu *e = context;
	struct guest_page page;
	enum err err = guest_walk(&e->vcpu->vm->memory, &e->paging, address,
				  accesses[access], &page);

	if (err == OK)
		*result = page.address;
	else if (err == ERR_RANGE)
		*error_code = page.error_code;
	else if (err == ERR_BUSY)
		e->try_again = true;
	else if (err == ERR_STATE)
		note_refusal(e, address);
	else
		vcpu_fail(e->vcpu,
			  "an instruction cannot be emulated: the guest's "
			  "page tables for %#lx are %s",
			  gva_raw(address), err_text(err));
	return err;
}

static struct platform_access access_of(const struct emulation_of_vcpu *e,
					u32 bytes)
{
	return (struct platform_access){
	    .vcpu = e->vcpu->index,
	    .bytes = bytes,
	    .now_ns = e->now_ns,
	};
}

static enum err bus_read(void *context, gpa_t address, void *to, u32 bytes)
{
	struct emulation_of_vcpu *e = context;
	struct vm *vm = e->vcpu->vm;
	const struct platform_access access = access_of(e, bytes);
	const void *from = guest_mem_ptr(&vm->memory, address, bytes);
	u64 value;

	if (from) {
		memcpy(to, from, bytes);
		return OK;
	}
	/* Where nothing is, all ones are read, as on a bus. */
	(void)platform_mmio_read(&vm->platform, &access, address, &value);
	memcpy(to, &value, bytes);
	return OK;
}

static enum err bus_write(void *context, gpa_t address, const void *from,
			  u32 bytes)
{
	struct emulation_of_vcpu *e = context;
	struct vm *vm = e->vcpu->vm;
	const struct platform_access access = access_of(e, bytes);
	enum err err = guest_mem_write(&vm->memory, address, from, bytes);
	u64 value = 0;

	/* ROM takes no writes and says nothing. */
	if (err == OK || err == ERR_STATE)
		return OK;
	memcpy(&value, from, bytes);
	(void)platform_mmio_write(&vm->platform, &access, address, value);
	return OK;
}

/* Compare and swap of one or two bytes inside their aligned 32 bits. */
static enum err swap_part(struct guest_mem *memory, gpa_t address, u64 expected,
			  u64 value, u32 bytes)
{
	gpa_t word = gpa(align_down(gpa_raw(address), 4));
	u32 shift = 8 * (u32)(gpa_raw(address) % 4);
	u32 mask = (u32)(BITS(8 * bytes - 1, 0) << shift);
	u32 seen, wanted;
	enum err err = guest_mem_read_u32(memory, word, &seen);

	if (err != OK)
		return err;
	if ((seen & mask) != ((u32)(expected << shift) & mask))
		return ERR_BUSY;
	wanted = (seen & ~mask) | ((u32)(value << shift) & mask);
	return guest_mem_swap_u32(memory, word, &seen, wanted);
}

static enum err bus_swap(void *context, gpa_t address, u64 expected, u64 value,
			 u32 bytes)
{
	struct emulation_of_vcpu *e = context;
	struct guest_mem *memory = &e->vcpu->vm->memory;
	u32 expected32 = (u32)expected;
	enum err err;

	if (bytes == 8)
		err = guest_mem_swap_u64(memory, address, &expected, value);
	else if (bytes == 4)
		err = guest_mem_swap_u32(memory, address, &expected32,
					 (u32)value);
	else
		err = swap_part(memory, address, expected, value, bytes);
	if (err == OK || err == ERR_BUSY)
		return err;
	return bus_write(context, address, &value, bytes);
}

static enum err bus_port_in(void *context, u16 port, u32 *value, u32 bytes)
{
	struct emulation_of_vcpu *e = context;
	const struct platform_access access = access_of(e, bytes);

	*value = platform_port_read(&e->vcpu->vm->platform, &access, port);
	return OK;
}

static enum err bus_port_out(void *context, u16 port, u32 value, u32 bytes)
{
	struct emulation_of_vcpu *e = context;
	const struct platform_access access = access_of(e, bytes);

	platform_port_write(&e->vcpu->vm->platform, &access, port, value);
	return OK;
}

/* An exit leaves the guest's in the CPU. */
static void bus_read_vector(void *context, u32 number, void *to)
{
	(void)context;
	xmm_read(number, to);
}

static void bus_write_vector(void *context, u32 number, const void *from)
{
	(void)context;
	xmm_write(number, from);
}

void exit_emulate_bus_read(struct vcpu *vcpu, gpa_t address, void *to,
			   u32 bytes)
{
	struct emulation_of_vcpu e = {
	    .vcpu = vcpu,
	    .now_ns = vm_now_ns(vcpu->vm),
	};
	enum err err = bus_read(&e, address, to, bytes);

	CHECK(err == OK); /* somebody answers always */
	vcpu_events_check(vcpu);
}

void exit_emulate_bus_write(struct vcpu *vcpu, gpa_t address, const void *from,
			    u32 bytes)
{
	struct emulation_of_vcpu e = {
	    .vcpu = vcpu,
	    .now_ns = vm_now_ns(vcpu->vm),
	};
	enum err err = bus_write(&e, address, from, bytes);

	CHECK(err == OK); /* a bus refuses nothing */
	vcpu_events_check(vcpu);
}

static const struct emulate_bus bus = {
    .translate = bus_translate,
    .read = bus_read,
    .write = bus_write,
    .swap = bus_swap,
    .port_in = bus_port_in,
    .port_out = bus_port_out,
    .read_vector = bus_read_vector,
    .write_vector = bus_write_vector,
    .read_segment = bus_read_segment,
};

/* --- Results -------------------------------------------------------------- */

static void fail_unsupported(struct vcpu *vcpu, const struct emulation *e)
{
	char bytes[3 * INSTRUCTION_BYTES_MAX + 1] = "";
	size_t length = 0;

	for (u32 i = 0; i < e->instruction.length; i++)
		length += fmt(bytes + length, sizeof(bytes) - length, " %02x",
			      e->instruction.bytes[i]);
	vcpu_fail(vcpu,
		  "it accesses a device by an instruction that Umbra does not "
		  "emulate; its bytes are%s",
		  bytes);
}

void exit_emulate_raise(struct vcpu *vcpu, const struct emulate_fault *fault)
{
	if (fault->vector == EXCEPTION_PF)
		vcpu_raise_page_fault(vcpu, fault->address, fault->error_code);
	else if (fault->has_error_code)
		vcpu_raise_with_code(vcpu, fault->vector, fault->error_code);
	else
		vcpu_raise(vcpu, fault->vector);
}

/* By itself, or by its hypervisor: a step is one iteration. */
static bool is_stepped(const struct vcpu *vcpu, const struct emulate_cpu *cpu)
{
	return (cpu->rflags & RFLAGS_TF) ||
	       (vcpu->in_l2 && nested_events_are_stepped(vcpu));
}

/* What is not set here is not looked at: this is a large struct. */
static void begin(struct vcpu *vcpu, struct emulation *e,
		  struct emulation_of_vcpu *context)
{
	e->bus = &bus;
	e->context = context;
	e->known = vcpu->remembered->instructions;
	e->breakpoints = NULL;
	read_cpu(vcpu, &e->cpu);
	context->vcpu = vcpu;
	context->now_ns = vm_now_ns(vcpu->vm);
	context->memory.exit.reason = 0;
	context->try_again = false;
	exit_emulate_read_paging(vcpu, &e->cpu, &context->paging);
	if (unlikely(vcpu->in_l2))
		context->paging.below =
		    nested_memory_init(&context->memory, vcpu);
	else
		context->paging.paths = &vcpu->remembered->paths;
}

enum exit_action exit_emulate(struct vcpu *vcpu)
{
	struct emulation_of_vcpu context;
	struct emulation e;
	struct breakpoints breakpoints;
	enum emulate_result result;

	begin(vcpu, &e, &context);
	if (exit_emulate_read_breakpoints(vcpu, &breakpoints))
		e.breakpoints = &breakpoints;
	result =
	    emulate_step(&e, is_stepped(vcpu, &e.cpu) ? 1 : EMULATE_ITERATIONS);
	vcpu_events_check(vcpu);
	switch (result) {
	case EMULATE_DONE:
		write_cpu(vcpu, &e.cpu);
		vcpu_instruction_done(vcpu, e.met);
		return ACTION_RESUME;
	case EMULATE_CONTINUE:
		/* The guest's own RIP brings us back for the rest. */
		write_cpu(vcpu, &e.cpu);
		if (e.met || is_stepped(vcpu, &e.cpu))
			vcpu_instruction_done(vcpu, e.met);
		return ACTION_RESUME;
	case EMULATE_FAULT:
		write_cpu(vcpu, &e.cpu);
		exit_emulate_raise(vcpu, &e.fault);
		return ACTION_RESUME;
	case EMULATE_AGAIN:
		return ACTION_RESUME;
	case EMULATE_UNSUPPORTED:
		/* VMREAD and VMWRITE are none of its, and must exit. */
		if (vmcs_shadow_pause(vcpu))
			return ACTION_RESUME;
		fail_unsupported(vcpu, &e);
		return ACTION_STOP;
	case EMULATE_STOPPED:
		break;
	}
	if (context.memory.exit.reason)
		nested_exit_by_access(vcpu, &context.memory.exit);
	return context.try_again ? ACTION_RESUME : ACTION_STOP;
}
