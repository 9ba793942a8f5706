/* SPDX-License-Identifier: MIT */
/*
 * Making a VM from its plan, and making it anew after a reset. First CPU only.
 */
#ifndef CORE_VM_MAKE_H
#define CORE_VM_MAKE_H

#include "lib/err.h"
#include "loader/boot_info.h"
#include "loader/guest_plan.h"

struct vm;

/*
 * A VM with its kernel loaded and its vCPUs ready, in no schedule yet. On any
 * error nothing of it is left; what is the guest's own fault has been said.
 */
MUST_CHECK enum err vm_make(const struct guest_plan *plan,
			    const struct boot_info *boot, u32 index,
			    struct vm **result);

/*
 * The same VM after a reset: its kernel loaded again from the boot module, new
 * devices and vCPUs; other memory keeps what is in it, as on a machine. None of
 * the old vCPUs may run any more. On an error the VM cannot be used again.
 */
MUST_CHECK enum err vm_reset(struct vm *vm, const struct guest_plan *plan,
			     const struct boot_info *boot);

#endif
