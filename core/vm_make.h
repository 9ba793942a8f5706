/* SPDX-License-Identifier: MIT */
/*
 * Making a VM from its plan, and making it anew after a reset. First CPU only.
 */
#ifndef CORE_VM_MAKE_H
#define CORE_VM_MAKE_H

#include "lib/err.h"
#include "loader/boot_info.h"
#include "loader/guest_plan.h"
#include "migrate/shape.h"

struct guest_cpuid;
struct vm;

/* What a guest with so many vCPUs sees of this machine's CPU. */
void vm_make_cpuid(struct guest_cpuid *cpuid, u32 vcpu_count);

/*
 * A VM with its kernel loaded and its vCPUs ready, in no schedule yet. On any
 * error nothing of it is left; what is the guest's own fault has been said.
 */
MUST_CHECK enum err vm_make(const struct guest_plan *plan,
			    const struct boot_info *boot, u32 index,
			    struct vm **result);

/*
 * A VM of that shape whose memory is zero and whose vCPUs are as after
 * power-on: what a state record is put into (core/vm_record.h).
 */
MUST_CHECK enum err vm_make_of_shape(const struct vm_shape *shape,
				     struct vm **result);

/* New devices and vCPUs for a VM of which none is in a schedule. */
MUST_CHECK enum err vm_power_on_empty(struct vm *vm, u32 vcpu_count);

/* None of its vCPUs is in a schedule: frees all but the VM's own record. */
void vm_empty(struct vm *vm);

/* The same; the VM is gone then. */
void vm_destroy(struct vm *vm);

/*
 * The same VM after a reset: its kernel loaded again from the boot module, new
 * devices and vCPUs; other memory keeps what is in it, as on a machine. None of
 * the old vCPUs may run any more. On an error the VM cannot be used again.
 */
MUST_CHECK enum err vm_reset(struct vm *vm, const struct guest_plan *plan,
			     const struct boot_info *boot);

#endif
