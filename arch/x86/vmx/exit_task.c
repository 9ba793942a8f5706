/* SPDX-License-Identifier: MIT */
/*
 * Hardware task switches, between emulate/task.h and a vCPU. They exit always
 * (SDM vol. 3, "Treatment of Task Switches"); those of an L2 are L1's.
 */
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/control_registers.h"
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/exit_emulate.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vmx_cpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "emulate/task.h"
#include "lib/x86.h"

#define QUALIFICATION_SELECTOR BITS(15, 0)
#define QUALIFICATION_SOURCE   BITS(31, 30)

#define DR6_TASK               BIT(15)
#define SEGMENT_STEP           2

/* Walks that other vCPUs have disturbed, one after the other. */
#define WALKS_MAX              1000

struct task_of_vcpu {
	struct vcpu *vcpu;
	struct guest_paging paging;
};

static enum err bus_translate(void *context, gva_t address,
			      enum emulate_access access, gpa_t *result,
			      u32 *error_code)
{
	struct task_of_vcpu *task = context;
	struct guest_page page = {.error_code = 0};
	enum err err = ERR_BUSY;

	for (u32 i = 0; i < WALKS_MAX && err == ERR_BUSY; i++)
		err = guest_walk(
		    &task->vcpu->vm->memory, &task->paging, address,
		    access == EMULATE_WRITE ? GUEST_WRITE : GUEST_READ, &page);
	if (err == OK)
		*result = page.address;
	else if (err == ERR_RANGE)
		*error_code = page.error_code;
	return err;
}

static enum err bus_read(void *context, gpa_t address, void *to, u32 bytes)
{
	struct task_of_vcpu *task = context;

	return guest_mem_read(&task->vcpu->vm->memory, address, to, bytes);
}

static enum err bus_write(void *context, gpa_t address, const void *from,
			  u32 bytes)
{
	struct task_of_vcpu *task = context;

	return guest_mem_write(&task->vcpu->vm->memory, address, from, bytes);
}

/* No task switch locks, or reaches a port. */
static const struct emulate_bus bus = {
    .translate = bus_translate,
    .read = bus_read,
    .write = bus_write,
};

static bool uses_pae(const struct guest_paging *paging)
{
	return (paging->cr0 & CR0_PG) && (paging->cr4 & CR4_PAE);
}

static enum err load_cr3(void *context, u64 cr3)
{
	struct task_of_vcpu *task = context;

	if (cr3 == task->paging.cr3)
		return OK;
	vmcs_write(VMCS_GUEST_CR3, cr3);
	/* As MOV to CR3: what the CPU has of the old one goes. */
	if (vmx_capability.has_vpid)
		vmx_flush_vpid(task->vcpu->vpid);
	task->paging.cr3 = cr3;
	if (!uses_pae(&task->paging))
		return OK;
	if (exit_cr_load_pdptes(task->vcpu) != CONTROL_REGISTER_OK)
		return ERR_RANGE;
	for (u32 i = 0; i < ARRAY_COUNT(task->paging.pdptes); i++)
		task->paging.pdptes[i] =
		    vmcs_read(VMCS_GUEST_PDPTE0 + SEGMENT_STEP * i);
	return OK;
}

static void become(void *context, u8 cpl)
{
	struct task_of_vcpu *task = context;

	task->paging.cpl = cpl;
}

static void read_segment(u32 number, struct emulate_segment *segment)
{
	u32 step = SEGMENT_STEP * number;

	*segment = (struct emulate_segment){
	    .base = vmcs_read(VMCS_GUEST_ES_BASE + step),
	    .limit = (u32)vmcs_read(VMCS_GUEST_ES_LIMIT + step),
	    .access_rights = (u32)vmcs_read(VMCS_GUEST_ES_ACCESS_RIGHTS + step),
	    .selector = (u16)vmcs_read(VMCS_GUEST_ES_SELECTOR + step),
	};
}

static void write_segment(u32 number, const struct emulate_segment *segment)
{
	u32 step = SEGMENT_STEP * number;

	vmcs_write(VMCS_GUEST_ES_BASE + step, segment->base);
	vmcs_write(VMCS_GUEST_ES_LIMIT + step, segment->limit);
	vmcs_write(VMCS_GUEST_ES_ACCESS_RIGHTS + step, segment->access_rights);
	vmcs_write(VMCS_GUEST_ES_SELECTOR + step, segment->selector);
}

static void read_task(const struct vcpu *vcpu, struct task_cpu *cpu)
{
	exit_emulate_read_cpu(vcpu, &cpu->core);
	read_segment(SREG_LDTR, &cpu->ldtr);
	read_segment(SREG_TR, &cpu->tr);
	cpu->gdt_base = vmcs_read(VMCS_GUEST_GDTR_BASE);
	cpu->gdt_limit = (u32)vmcs_read(VMCS_GUEST_GDTR_LIMIT);
	cpu->cr3 = vmcs_read(VMCS_GUEST_CR3);
	cpu->dr7 = vmcs_read(VMCS_GUEST_DR7);
}

/* CR3 is there already. */
static void write_task(struct vcpu *vcpu, const struct task_cpu *cpu)
{
	for (u32 i = 0; i < ARRAY_COUNT(cpu->core.gpr); i++)
		vcpu->registers.gpr[i] = cpu->core.gpr[i];
	vmcs_write(VMCS_GUEST_RSP, cpu->core.gpr[GPR_RSP]);
	vmcs_write(VMCS_GUEST_RIP, cpu->core.rip);
	vmcs_write(VMCS_GUEST_RFLAGS, cpu->core.rflags);
	for (u32 i = 0; i < SEGMENT_COUNT; i++)
		write_segment(i, &cpu->core.segments[i]);
	write_segment(SREG_LDTR, &cpu->ldtr);
	write_segment(SREG_TR, &cpu->tr);
	vmcs_write(VMCS_GUEST_DR7, cpu->dr7);
	control_registers_write_cr0(vcpu, cpu->core.cr0);
	/* The shadow of STI or MOV SS is behind the old task. */
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY,
		   vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKING_BY_NMI);
}

static bool is_instruction(u32 vectoring)
{
	switch (event_type(vectoring)) {
	case EVENT_SOFTWARE_INTERRUPT:
	case EVENT_PRIVILEGED_SOFTWARE_EXCEPTION:
	case EVENT_SOFTWARE_EXCEPTION:
		return true;
	case EVENT_EXTERNAL_INTERRUPT:
	case EVENT_NMI:
	case EVENT_HARDWARE_EXCEPTION:
	case EVENT_OTHER:
		break;
	}
	return false;
}

/* Where the old task goes on, and what the new one is told. */
static void describe(const struct vcpu *vcpu, const struct vmx_exit *exit,
		     struct task_switch *t)
{
	u32 vectoring = exit->idt_vectoring;
	bool is_event = t->source == TASK_GATE && (vectoring & EVENT_VALID);
	u64 rip = t->cpu.core.rip;

	if (!is_event || is_instruction(vectoring))
		rip += vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH);
	t->return_rip = low32(rip);
	if (!is_event)
		return;
	t->event = (struct task_event){
	    .is_external = !is_instruction(vectoring),
	    .has_error_code = vectoring & EVENT_HAS_ERROR_CODE,
	    .error_code = vcpu->injection.error_code,
	};
}

/* The event that exit.c has queued again is what has switched. */
static void finish_event(struct vcpu *vcpu, const struct vmx_exit *exit,
			 const struct task_switch *t)
{
	u64 blocking = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);

	if (t->source == TASK_IRET && (blocking & BLOCKING_BY_NMI))
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY,
			   blocking & ~BLOCKING_BY_NMI);
	if (t->source != TASK_GATE || !(exit->idt_vectoring & EVENT_VALID))
		return;
	vcpu->injection.info = 0;
	if (event_type(exit->idt_vectoring) == EVENT_NMI)
		vcpu_events_block_nmi();
}

enum exit_action on_task_switch(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	struct task_of_vcpu task = {.vcpu = vcpu};
	struct task_switch t = {
	    .bus = &bus,
	    .context = &task,
	    .load_cr3 = load_cr3,
	    .become = become,
	    .source = (enum task_source)bits_get(exit->qualification,
						 QUALIFICATION_SOURCE),
	    .selector =
		(u16)bits_get(exit->qualification, QUALIFICATION_SELECTOR),
	};
	enum emulate_result result;

	read_task(vcpu, &t.cpu);
	exit_emulate_read_paging(vcpu, &t.cpu.core, &task.paging);
	task.paging.cpl = 0;
	describe(vcpu, exit, &t);
	result = task_switch(&t);
	if (result != EMULATE_DONE && result != EMULATE_FAULT) {
		vcpu_fail(vcpu,
			  "a task switch to selector %#x has its tables where "
			  "the guest has no memory",
			  t.selector);
		return ACTION_STOP;
	}
	if (t.is_new) {
		write_task(vcpu, &t.cpu);
		finish_event(vcpu, exit, &t);
	}
	if (result == EMULATE_FAULT)
		exit_emulate_raise(vcpu, &t.fault);
	else if (t.debug_trap)
		vcpu_events_raise_debug(vcpu, DR6_TASK);
	return ACTION_RESUME;
}
