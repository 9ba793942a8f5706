/* SPDX-License-Identifier: MIT */
/*
 * The machine in the state record: the VM itself, what CPUID tells, and the
 * devices that all its vCPUs share.
 */
#ifndef MIGRATE_RECORD_MACHINE_H
#define MIGRATE_RECORD_MACHINE_H

#include "devices/guest_time.h"
#include "devices/hyperv.h"
#include "devices/platform.h"
#include "migrate/record.h"
#include "nested/capability.h"

struct record_vm {
	u32 vcpu_count;
	u32 physical_bits;
	u64 tsc_hz; /* of the guest's TSC */
	u64 apic_timer_hz;
	u64 tsc;        /* of the VM, at the moment of the record */
	u8 has_started; /* 0: loaded, and no vCPU has run yet */
	u8 restarts;    /* is to begin anew after a reset; from version 2 on */
	u64 began_with; /* guest_plan_fingerprint(), or 0; from version 3 on */
};

/* Leaves in an order that only who fills and reads them knows. */
#define RECORD_LEAVES_MAX 64

struct record_leaf {
	u32 eax, ebx, ecx, edx;
};

/* What the guest is told of VMX. */
struct record_vmx {
	u8 is_offered;
	struct nested_capability offer;
};

void record_put_vmx(struct wire_writer *writer, const struct record_vmx *vmx);
/* Only what `here` says that this machine can offer. */
void record_get_vmx(struct record_reader *reader, const struct record_vmx *here,
		    struct record_vmx *vmx);

/*
 * The interface of Hyper-V: the section is there only if the VM has it, and so
 * is that of each of its vCPUs. An eVMCS is offered only together with what it
 * has fields for, so `vmx` is the record's own.
 */
void record_put_hyperv(struct wire_writer *writer, const struct hyperv *hyperv);
void record_get_hyperv(struct record_reader *reader,
		       const struct record_vmx *vmx, struct hyperv *hyperv);
void record_put_hyperv_vcpu(struct wire_writer *writer,
			    const struct hyperv_vcpu *hyperv);
void record_get_hyperv_vcpu(struct record_reader *reader,
			    struct hyperv_vcpu *hyperv);

void record_put_vm(struct wire_writer *writer, const struct record_vm *vm);
void record_get_vm(struct record_reader *reader, struct record_vm *vm);

void record_put_cpuid(struct wire_writer *writer,
		      const struct record_leaf *leaves, u32 count);
/* Exactly so many. */
void record_get_cpuid(struct record_reader *reader, struct record_leaf *leaves,
		      u32 count);

void record_put_devices(struct wire_writer *writer,
			const struct platform_devices *devices);
/*
 * Into devices as platform_init() leaves them, of which only the record's
 * fields change; the moment of the record is `now_ns`. If the record turns out
 * to be wrong, they are worth nothing.
 */
void record_get_devices(struct record_reader *reader, u64 now_ns,
			struct platform_devices *devices);

#endif
