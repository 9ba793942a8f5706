/* SPDX-License-Identifier: MIT */
/* From start.asm to the guest's own main function. */
#include "guests/lib/guest.h"

/* Called by start.asm on the first CPU. */
NORETURN void guest_start(u32 magic, u32 info);
void guest_start(u32 magic, u32 info)
{
	console_init();
	trap_init_cpu(0);
	boot_init(magic, info);
	apic_init_cpu();
	time_init();
	guest_exit(guest_main());
}
