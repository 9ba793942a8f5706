/* SPDX-License-Identifier: MIT */
/* IN and OUT (SDM vol. 3, "Exit Qualification for I/O Instructions"). */
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/exit_emulate.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vmx_insn.h"

#define IO_SIZE      BITS(2, 0) /* bytes - 1 */
#define IO_IN        BIT(3)
#define IO_STRING    BIT(4)
#define IO_PORT      BITS(31, 16)

/* What an access to one of COM1's registers has: one byte, not from memory. */
#define IO_COM1_MASK (BITS(31, 19) | IO_STRING | IO_SIZE)
#define IO_COM1      ((u64)PLATFORM_COM1_PORT << 16)
_Static_assert(PLATFORM_COM1_PORT % UART_PORTS == 0, "IO_COM1_MASK");

static NOINLINE enum exit_action end_at_breakpoints(struct vcpu *vcpu, u16 port,
						    u32 bytes)
{
	struct breakpoints breakpoints;

	if (!exit_emulate_read_breakpoints(vcpu, &breakpoints))
		return ACTION_SKIP;
	vcpu_skip_instruction(vcpu,
			      breakpoints_of_port(&breakpoints, port, bytes));
	return ACTION_RESUME;
}

static ALWAYS_INLINE enum exit_action end(struct vcpu *vcpu, u16 port,
					  u32 bytes)
{
	if (unlikely(vmcs_read_first(VMCS_GUEST_DR7) & BREAKPOINT_ENABLED))
		return end_at_breakpoints(vcpu, port, bytes);
	return ACTION_SKIP;
}

static NOINLINE enum exit_action on_other_port(struct vcpu *vcpu,
					       u64 qualification)
{
	struct platform *platform = &vcpu->vm->platform;
	u64 *rax = &vcpu->registers.gpr[REG_RAX];
	const struct platform_access access = {
	    .vcpu = vcpu->index,
	    .bytes = (u32)bits_get(qualification, IO_SIZE) + 1,
	    .now_ns = vm_now_ns(vcpu->vm),
	};
	u16 port = (u16)bits_get(qualification, IO_PORT);
	u64 mask = BITS(8 * access.bytes - 1, 0);

	if (qualification & IO_STRING)
		return exit_emulate(vcpu);
	if (qualification & IO_IN) {
		u64 value = platform_port_read(platform, &access, port);

		/* 32-bit results clear the upper half, as always. */
		if (access.bytes == 4)
			*rax = low32(value);
		else
			*rax = (*rax & ~mask) | (value & mask);
	} else {
		platform_port_write(platform, &access, port,
				    (u32)(*rax & mask));
	}
	vcpu_events_check(vcpu);
	return end(vcpu, port, access.bytes);
}

/* Text comes this way: a status and a byte, over and over. */
static ALWAYS_INLINE enum exit_action on_com1(struct vcpu *vcpu,
					      u64 qualification)
{
	struct platform *platform = &vcpu->vm->platform;
	u8 *al = (u8 *)&vcpu->registers.gpr[REG_RAX];
	u16 port = (u16)bits_get(qualification, IO_PORT);
	u32 index = port % UART_PORTS;

	/* What is read from the line needs the time, too. */
	if ((qualification & IO_IN) && index == 0)
		return on_other_port(vcpu, qualification);
	if (qualification & IO_IN)
		*al = platform_com1_read(platform, index);
	else
		platform_com1_write(platform, index, *al);
	return end(vcpu, port, 1);
}

enum exit_action on_io(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	u64 qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);

	(void)exit;
	if (likely((qualification & IO_COM1_MASK) == IO_COM1))
		return on_com1(vcpu, qualification);
	return on_other_port(vcpu, qualification);
}
