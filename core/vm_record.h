/* SPDX-License-Identifier: MIT */
/*
 * A VM's state record: taken from a VM that is stopped, and put into one that
 * has never run. docs/MIGRATION.md says what is in it; the layouts are those of
 * migrate/record_vcpu.h and migrate/record_machine.h. First CPU only.
 *
 * save(restore(x)) == x, byte for byte, at any moment at which a VM can be
 * stopped, and whether or not a vCPU has run since; core/record_loop.h proves
 * it with guests that go on afterwards.
 */
#ifndef CORE_VM_RECORD_H
#define CORE_VM_RECORD_H

#include "lib/err.h"
#include "lib/types.h"
#include "migrate/shape.h"

struct vm;

/* Room for the record of a VM with so many vCPUs. */
u32 vm_record_room(u32 vcpu_count);

/*
 * The VM is paused and none of its vCPUs is loaded. Everything that is due by
 * now is done first; guest memory that this writes is marked. `tsc` is the
 * guest's TSC at the moment of the record: vm_record_moment(), or that of the
 * record from which the VM was made and has not run since. Of a VM that says the
 * least, record.least=on, it is without what it need not have: where an
 * enlightened VMCS is.
 */
u32 vm_record_save(struct vm *vm, u64 tsc, u8 *room, u32 room_bytes);
u64 vm_record_moment(const struct vm *vm);

/*
 * Into a VM of the same shape that has never run. ERR_BAD_FORMAT, with words:
 * the record is not one of such a VM, or this machine cannot carry it; the VM
 * is worth nothing then. Its clock stands at the record's moment until
 * vm_record_start_clock(). A vCPU that has been loaded before that needs
 * vcpu_load_tsc() then.
 */
MUST_CHECK enum err vm_record_restore(struct vm *vm, const u8 *record,
				      u32 bytes, char *why, u32 why_bytes);
void vm_record_start_clock(struct vm *vm);

/*
 * Host TSC ticks that the last of them spent on nested VMX: to complete and
 * write its sections, or to read and check them.
 */
u64 vm_record_nested_ticks(void);

/* How the VM looks from outside; and what this machine can show a guest. */
void vm_record_shape(const struct vm *vm, struct vm_shape *shape);
void vm_record_host_cpu(struct cpu_model *cpu);

#endif
