/* SPDX-License-Identifier: MIT */
/*
 * One virtual machine: what its vCPUs share.
 *
 * core/guests.c makes VMs and owns them; the exit handlers act on them. A VM
 * is never freed while a vCPU of it may run.
 */
#ifndef ARCH_X86_VMX_VM_H
#define ARCH_X86_VMX_VM_H

#include "arch/x86/cpu/cpu.h"
#include "arch/x86/ept/ept.h"
#include "arch/x86/vmx/guest_cpuid.h"
#include "devices/cable.h"
#include "devices/guest_time.h"
#include "devices/hyperv.h"
#include "devices/platform.h"
#include "lib/types.h"
#include "mm/guest_mem.h"
#include "nested/capability.h"
#include "pml/track.h"
#include "shadow/shadow.h"

struct vcpu;

enum vm_state {
	VM_STARTING,
	VM_RUNNING,
	VM_ENDED, /* no vCPU of it will be entered again */
};

/* Why a VM ended; with `end_value` this is the run's exit status. */
enum vm_end {
	VM_END_NONE,
	VM_END_EXIT_CODE, /* wrote end_value to port 0xf4 */
	VM_END_POWER_OFF,
	VM_END_RESET,  /* asked for a reset */
	VM_END_FAILED, /* stopped by Umbra; the log says why */
	VM_END_MOVED,  /* it runs at a peer */
};

struct vm {
	u32 index; /* its console is CONSOLE_GUEST(index) */
	char name[32];
	enum vm_state state; /* atomic: any CPU may end the VM */
	enum vm_end end;
	u32 end_value;
	struct guest_mem memory;
	struct ept ept;
	struct track track;
	struct platform platform;
	struct cable *cable; /* of its serial port, or NULL */
	struct guest_cpuid cpuid;
	const char *cpu_name;           /* of its model; for people */
	bool nested;                    /* the guest sees VMX: */
	struct nested_capability offer; /* this one */
	struct shadow shadow;           /* EPT02 of its vCPUs */
	u32 uses_shadow;                /* atomic, see vm_use_shadow() */
	enum shadow_way l2_way;         /* where writes are tracked by PML */
	struct hyperv hyperv;           /* the setting hyperv=on */
	struct guest_time time;         /* guest TSC 0 is where the VM began */
	hpa_t apic_page;                /* the APIC-access page, or 0: none */
	u32 apic_page_mapped;           /* atomic: it is in the EPT */
	u32 writes_are_armed;           /* atomic: tracked, and not relaxed */

	u64 stopped_tsc;  /* of the record it was made of */
	bool is_held;     /* loaded, and not to be run yet */
	bool has_started; /* a vCPU has run, here or elsewhere */

	/*
	 * Counts vm_sync() calls. A vCPU does not enter the guest, and a CPU
	 * does not keep translations of it, with an older number than this.
	 * Begins with 1: a CPU may have translations by the frame that is the
	 * root of this EPT, from when it was another VM's (SDM vol. 3,
	 * "Guidelines for Use of the INVEPT Instruction").
	 */
	u64 sync_generation;
	u64 flushed_generation[CPU_MAX]; /* each written by its CPU only */
	u32 paused;                      /* atomic: no vCPU enters the guest */
	u64 xcr0_allowed;                /* what XSETBV may switch on */
	struct vcpu *vcpus[PLATFORM_VCPU_MAX];
	u32 vcpu_count;
	/* vCPU i stays on CPU pins[i % pin_count]; 0: anywhere. */
	u32 pin_count;
	u32 pins[PLATFORM_VCPU_MAX];
	u32 live_vcpus;    /* that may still run; atomic */
	bool reaped;       /* its end has been said */
	bool said_dead;    /* that no vCPU will run on */
	bool restarts;     /* a reset begins anew instead of ending it */
	u64 began_with;    /* guest_plan_fingerprint(); 0: not known */
	bool says_least;   /* its records: see core/vm_record.h */
	u64 restart_tsc;   /* not again before; host TSC */
	u32 faulting_msrs; /* how many accesses have been logged */
	u32 cable_end;     /* 0 or 1 */
};

/*
 * Ends the VM; the first reason counts. Its running vCPUs leave the guest at
 * their next exit. Any CPU.
 */
void vm_end(struct vm *vm, enum vm_end end, u32 value);

/*
 * Brings every vCPU of the VM out of the guest once, at once: each drains its
 * PML page, drops cached EPT translations and takes over new settings before
 * it enters again. When this returns, all that has happened, or will happen
 * before the vCPU's next entry. Not from a handler: it waits for other CPUs.
 */
void vm_sync(struct vm *vm);

/*
 * Stops all vCPUs: when this returns, none is in the guest or in a handler,
 * and what they have written is in the dirty log. Not from a handler.
 */
void vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);

/*
 * Tracking the guest's writes, those of its own guests included: pml/track.h
 * and shadow/shadow.h at once. Settings of PML follow with the next vm_sync.
 */
MUST_CHECK enum err vm_track_start(struct vm *vm, enum track_mode mode);
void vm_track_stop(struct vm *vm);

/* Another mode, between two harvests. */
MUST_CHECK enum err vm_track_switch(struct vm *vm, enum track_mode mode);

/*
 * After vm_track_stop(), in chunks, from 0 on: rights come back and pages are
 * merged. Returns where it stopped, which is the end of the log when all is
 * done.
 */
gpa_t vm_relax(struct vm *vm, gpa_t from, u64 bytes);

/*
 * One chunk of a harvest, flushed: the pages of the batch may be read. Returns
 * where it stopped.
 */
gpa_t vm_harvest(struct vm *vm, gpa_t from, gpa_t to,
		 struct dirty_batch *batch);

/* How writes were found, so far: a page as often as it was found. */
struct vm_writes {
	u64 logged;    /* by the CPU, in PML pages */
	u64 faults;    /* by write protection in EPT01 */
	u64 l2_logged; /* in PML pages, by L2's addresses */
	u64 l2_faults; /* by write protection in EPT02 */
};

/* Any CPU; of vCPUs that run, about. */
void vm_count_writes(const struct vm *vm, struct vm_writes *writes);

static inline bool vm_is_paused(const struct vm *vm)
{
	return __atomic_load_n(&vm->paused, __ATOMIC_ACQUIRE);
}

static inline bool vm_has_ended(const struct vm *vm)
{
	return __atomic_load_n(&vm->state, __ATOMIC_ACQUIRE) == VM_ENDED;
}

/*
 * A vCPU of it is about to enter VMX operation. From its next entry on, each
 * vCPU tells the shadow when it is in the guest; those of a VM without a
 * hypervisor in it need not, which is a tenth of an exit. True when all do:
 * vCPUs that run have been interrupted, and it is asked again until then. From
 * a handler, or before the VM's vCPUs run.
 */
bool vm_use_shadow(struct vm *vm);

/*
 * From now on no vCPU's accesses to APIC registers go by the APIC-access page,
 * because for one of them there is to be none: it would find memory there. Any
 * vCPU of the VM, which then looks before its next entry; or before they run.
 */
void vm_unmap_apic_page(struct vm *vm);

/* Guest time of this VM now, in nanoseconds, as the devices count it. */
u64 vm_now_ns(const struct vm *vm);

/* The host TSC at which the VM's clock shows `ns`; UINT64_MAX for never. */
u64 vm_tsc_at(const struct vm *vm, u64 ns);

#endif
