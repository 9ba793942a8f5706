/* SPDX-License-Identifier: MIT */
/* IN and OUT (SDM vol. 3, "Exit Qualification for I/O Instructions"). */
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/exit_emulate.h"
#include "arch/x86/vmx/vcpu_events.h"

#define IO_SIZE   BITS(2, 0) /* bytes - 1 */
#define IO_IN     BIT(3)
#define IO_STRING BIT(4)
#define IO_PORT   BITS(31, 16)

static enum exit_action end(struct vcpu *vcpu, u16 port, u32 bytes)
{
	struct breakpoints breakpoints;

	if (likely(!exit_emulate_read_breakpoints(vcpu, &breakpoints)))
		return ACTION_SKIP;
	vcpu_skip_instruction(vcpu,
			      breakpoints_of_port(&breakpoints, port, bytes));
	return ACTION_RESUME;
}

enum exit_action on_io(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	struct platform *platform = &vcpu->vm->platform;
	u64 *rax = &vcpu->registers.gpr[REG_RAX];
	const struct platform_access access = {
	    .vcpu = vcpu->index,
	    .bytes = (u32)bits_get(exit->qualification, IO_SIZE) + 1,
	    .now_ns = vm_now_ns(vcpu->vm),
	};
	u16 port = (u16)bits_get(exit->qualification, IO_PORT);
	u64 mask = BITS(8 * access.bytes - 1, 0);

	if (exit->qualification & IO_STRING)
		return exit_emulate(vcpu);
	if (exit->qualification & IO_IN) {
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
