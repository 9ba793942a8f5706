/* SPDX-License-Identifier: MIT */
/*
 * The machine that a guest sees: one VM's devices, all emulated.
 *
 *	       exit handlers: port, MMIO, MSR, CR8      timers, console input
 *	                     |                                 |
 *	                 platform_*  --- one lock for all shared devices
 *	    +---------+-------+-------+-------+---------+
 *	  lapic[n]  ioapic   pic    pit rtc  uart ...  pci -- virtio-console
 *	    ^         |       |       |       |         |
 *	    +-- MSI, IPI, pins and LINT0 <----+---------+
 *
 * Concurrency. A local APIC is used by who runs its vCPU; what others send to
 * it is posted atomically (devices/lapic.h). Everything shared is taken under
 * the platform's spinlock inside these functions, which any CPU may call for
 * the vCPU that it runs. What the host provides (devices/host.h) may be called
 * with that lock held. `now_ns` may differ a little between CPUs; the shared
 * devices see the latest time that anybody has brought.
 *
 * Isolation. Everything in an access is the guest's choice: no value of it
 * makes these functions fail, loop long, or touch anything but this VM.
 */
#ifndef DEVICES_PLATFORM_H
#define DEVICES_PLATFORM_H

#include "devices/acpi_pm.h"
#include "devices/clock.h"
#include "devices/host.h"
#include "devices/i8042.h"
#include "devices/ioapic.h"
#include "devices/lapic.h"
#include "devices/pci.h"
#include "devices/pic.h"
#include "devices/pit.h"
#include "devices/rtc.h"
#include "devices/uart.h"
#include "devices/virtio_console.h"
#include "lib/err.h"
#include "lib/spinlock.h"
#include "lib/types.h"
#include "mm/addr.h"

#define PLATFORM_VCPU_MAX              64
#define PLATFORM_COM1_BATCH            16 /* bytes */

/* --- The guest-physical address map ---------------------------------------
 *
 *	0		RAM (0xa0000-0xdffff is a hole: no VGA, no option ROMs)
 *	0xe0000		ACPI tables, RAM reserved in the memory map
 *	0x100000	RAM, up to 3 GiB
 *	0xc0000000	PCI memory window
 *	0xe0000000	PCI configuration space of bus 0 (ECAM)
 *	0xfec00000	I/O APIC;  0xfee00000 local APIC
 *	4 GiB		the rest of the RAM
 */
#define PLATFORM_ACPI_BASE             0xe0000ULL
#define PLATFORM_ACPI_BYTES            0x20000ULL
#define PLATFORM_RAM_LOW_MAX           0xc0000000ULL
#define PLATFORM_PCI_BASE              0xc0000000ULL
#define PLATFORM_PCI_BYTES             0x20000000ULL
#define PLATFORM_ECAM_BASE             0xe0000000ULL
#define PLATFORM_ECAM_BYTES            0x100000ULL
#define PLATFORM_IOAPIC_BASE           0xfec00000ULL
#define PLATFORM_RAM_HIGH              0x100000000ULL

/* --- Ports and interrupt lines that the ACPI tables tell ------------------
 *
 * A line is an input of the PIC and the pin of the same number of the I/O
 * APIC; only line 0, the PIT, is pin 2.
 */
#define PLATFORM_COM1_PORT             0x3f8
#define PLATFORM_PM_PORT               0x600 /* devices/acpi_pm.h */
#define PLATFORM_PCI_PORT              0xc000 /* ports for PCI devices: 4 KiB from here */
#define PLATFORM_PIT_PIN               2

/* INTA# to INTD# (pin 0 to 3) of a PCI device are lines 10 and 11. */
#define PLATFORM_PCI_DEVICE_COUNT      2
#define PLATFORM_PCI_LINE(device, pin) (10 + ((device) + (pin)) % 2)

enum platform_line {
	PLATFORM_LINE_PIT = 0,
	PLATFORM_LINE_COM1 = 4,
	PLATFORM_LINE_RTC = 8,
	PLATFORM_LINE_SCI = 9,
};

struct platform_config {
	u32 vcpu_count;     /* 1 to PLATFORM_VCPU_MAX; APIC id = index */
	u32 phys_bits;      /* the guest's MAXPHYADDR: 36 to 52 */
	u64 tsc_hz;         /* the guest's TSC */
	u64 apic_timer_hz;  /* local APIC timer clock: tell it in CPUID 15H */
	u64 ram_low_bytes;  /* RAM from 0, at most PLATFORM_RAM_LOW_MAX */
	u64 ram_high_bytes; /* RAM from 4 GiB */
	u64 start_time_s;   /* seconds since 1970, UTC, at now_ns = 0 */
	const struct platform_host *host;
	void *host_context;
};

/* The state of all shared devices: plain data without pointers. */
struct platform_devices {
	u64 now_ns;       /* the latest time that anybody has brought */
	u32 lines;        /* asserted interrupt lines, but not the PIT's */
	u32 arbitration;  /* where the next lowest-priority search begins */
	u8 reset_control; /* port 0xcf9 */
	u8 port92;
	struct uart_state com1;
	struct ioapic_state ioapic;
	struct pic_state pic;
	struct pit_state pit;
	struct rtc_state rtc;
	struct acpi_pm_state pm;
	struct i8042_state i8042;
	u32 pci_address;  /* port 0xcf8 */
	u32 console_work; /* 1: virtio_console_run() has more to do */
	struct pci_function bridge;
	struct virtio_console console;
};

struct platform {
	struct platform_config config;
	struct lapic *lapics[PLATFORM_VCPU_MAX];
	u32 lapic_count;
	struct spinlock lock;
	struct platform_devices devices;
	/* What follows from the devices' state, for a look without the lock. */
	u32 pic_interrupt;   /* the PIC's INTR output */
	u32 port_called;     /* atomic: by platform_call_port() */
	u64 due_ns;          /* when a shared device needs a tick, or 0 */
	u64 devices_due_ns;  /* the same, but for calls; with the lock */
	u64 unclaimed_count; /* accesses that no device answered */
	u64 unclaimed_quiet_until_ns;
	bool is_still; /* nothing is taken from outside; with the lock */
	/* What has left COM1 and is not with the host yet; with the lock. */
	u32 batch_count;
	u8 batch[PLATFORM_COM1_BATCH];
};

/*
 * Sets everything to the state in which a PC's firmware leaves it. ERR_RANGE:
 * a number of the configuration is out of the range given above. Then each
 * vCPU is added, in order, with storage that its owner provides and that
 * outlives the platform.
 */
MUST_CHECK enum err platform_init(struct platform *platform,
				  const struct platform_config *config);
MUST_CHECK enum err platform_add_vcpu(struct platform *platform,
				      struct lapic *lapic);

/* --- Accesses, from the exit handlers ------------------------------------- */

/* Who accesses, when, and how wide. */
struct platform_access {
	u32 vcpu;
	u32 bytes; /* ports: 1, 2 or 4; MMIO: 1 to 8 */
	u64 now_ns;
};

/* What nobody claims reads all ones; writes to it are dropped. */
u32 platform_port_read(struct platform *platform,
		       const struct platform_access *access, u16 port);
void platform_port_write(struct platform *platform,
			 const struct platform_access *access, u16 port,
			 u32 value);

/*
 * COM1 by its register, a byte at a time: what nearly all accesses to ports are.
 * The guest sees what it would see by the above, but time does not come in, and
 * bytes that it prints are collected (platform_hand_over). Reading is for
 * registers 1 to 7: what reading RBR leads to is a matter of time.
 */
u8 platform_com1_read(struct platform *platform, u32 index);
void platform_com1_write(struct platform *platform, u32 index, u8 value);

/* ABSENT: no device is there; a read gave all ones, a write was dropped. */
enum platform_mmio { PLATFORM_MMIO_DONE, PLATFORM_MMIO_ABSENT };

enum platform_mmio platform_mmio_read(struct platform *platform,
				      const struct platform_access *access,
				      gpa_t address, u64 *value);
enum platform_mmio platform_mmio_write(struct platform *platform,
				       const struct platform_access *access,
				       gpa_t address, u64 value);

/* MSRs: IA32_APIC_BASE, IA32_TSC_DEADLINE and 0x800-0x8ff. */
enum platform_msr {
	PLATFORM_MSR_DONE,
	PLATFORM_MSR_FAULT,  /* raise #GP(0); nothing has changed */
	PLATFORM_MSR_ABSENT, /* not a platform MSR */
};

MUST_CHECK enum platform_msr platform_msr_read(struct platform *platform,
					       u32 vcpu, u32 msr, u64 *value,
					       u64 now_ns);
MUST_CHECK enum platform_msr platform_msr_write(struct platform *platform,
						u32 vcpu, u32 msr, u64 value,
						u64 now_ns);

/*
 * The vCPU's own APIC by its register, in whichever mode it is, as the MSRs of
 * other hypervisors' interfaces reach it. ICR has both of its halves. One that is
 * switched off faults.
 */
enum platform_msr platform_apic_read(struct platform *platform, u32 vcpu,
				     u32 offset, u64 *value, u64 now_ns);
enum platform_msr platform_apic_write(struct platform *platform, u32 vcpu,
				      u32 offset, u64 value, u64 now_ns);

/*
 * What a CPU that virtualizes APICs leaves to us: an EOI-induced VM exit for
 * `vector`, and an APIC-write VM exit for the register at `offset`.
 */
void platform_virtual_eoi(struct platform *platform, u32 vcpu, u8 vector);
void platform_apic_written(struct platform *platform, u32 vcpu, u32 offset,
			   u64 now_ns);

/* --- Interrupts on the way into the guest ---------------------------------
 *
 * pending: is there an interrupt that the vCPU would take if RFLAGS.IF and
 * its interruptibility allow? Also syncs what was posted. take: the vector,
 * now in service; only when the vCPU really takes it, and `from` is what
 * pending has just answered.
 *
 * NMI, INIT and SIPI: lapic_events() and lapic_take_*() on platform_lapic().
 */
enum platform_interrupt {
	PLATFORM_INTERRUPT_NONE,
	PLATFORM_INTERRUPT_LAPIC,
	PLATFORM_INTERRUPT_EXTINT, /* from the PIC through LINT0 */
};

enum platform_interrupt platform_interrupt_pending(struct platform *platform,
						   u32 vcpu);

/* Is it one of the PIC? */
bool platform_extint_pending(const struct platform *platform, u32 vcpu);

/*
 * False: platform_interrupt_pending() would find none now (the first: none from
 * the PIC), whatever the task priority; what comes later is announced by a
 * kick. Cheap.
 */
static inline bool platform_extint_possible(const struct platform *platform)
{
	return __atomic_load_n(&platform->pic_interrupt, __ATOMIC_RELAXED);
}

static inline bool platform_interrupt_possible(const struct platform *platform,
					       u32 vcpu)
{
	return lapic_may_have_vector(platform->lapics[vcpu]) ||
	       platform_extint_possible(platform);
}
u8 platform_interrupt_take(struct platform *platform, u32 vcpu,
			   enum platform_interrupt from);

static inline struct lapic *platform_lapic(struct platform *platform, u32 vcpu)
{
	return platform->lapics[vcpu];
}

/* --- Time -----------------------------------------------------------------
 *
 * The earliest time at which platform_tick() has something to do: a timer of
 * this vCPU and, for vCPU 0, of the shared devices; or CLOCK_NEVER. Ask again
 * after every access, tick and kick. A guest can set timers that are always
 * due: after a tick the vCPU runs, whatever this says then.
 */
static inline u64 platform_next_event_ns(const struct platform *platform,
					 u32 vcpu)
{
	u64 due = platform->lapics[vcpu]->timer_due_ns;
	u64 shared = __atomic_load_n(&platform->due_ns, __ATOMIC_RELAXED);

	return vcpu == 0 && shared < due ? shared : due;
}

void platform_tick(struct platform *platform, u32 vcpu, u64 now_ns);

/* --- The world outside ----------------------------------------------------
 *
 * Bytes typed for the guest. Returns how many were taken; offer the rest
 * again later (after the guest's next exit will do).
 */
u64 platform_console_input(struct platform *platform,
			   enum platform_console console, const u8 *bytes,
			   u64 count, u64 now_ns);

/*
 * Hands the host what waits for it, if anything does. Whoever runs a vCPU calls it
 * whenever the vCPU looks, which is often enough for eyes, when it rests, and
 * before something is said of its end. Any CPU, without the lock.
 */
void platform_hand_over_batch(struct platform *platform);

/*
 * The same for a panic, whoever has the lock: nothing is changed, and who has
 * been stopped in the midst of handing over may have its bytes printed twice.
 */
void platform_print_in_panic(struct platform *platform);

static inline void platform_hand_over(struct platform *platform)
{
	if (__atomic_load_n(&platform->batch_count, __ATOMIC_RELAXED))
		platform_hand_over_batch(platform);
}

/* The host has room again for what console_write() could not take. */
void platform_console_ready(struct platform *platform, u64 now_ns);

/*
 * Something about the peer of PLATFORM_PORT1 may have changed: its end, bytes
 * from it, room for bytes to it. The device looks in the next tick of vCPU 0,
 * which is due now; whoever calls sees to it that this vCPU comes round. Any
 * CPU, also with another platform's lock held; takes none.
 */
void platform_call_port(struct platform *platform);

/* The power button: asks the guest's operating system to shut down. */
void platform_power_button(struct platform *platform, u64 now_ns);

/* --- Moving to another machine ---------------------------------------------
 *
 * For a stopped VM. still: everything that is due by `now_ns` has happened, so
 * that the state is one of that moment; it comes before saving. Calls of the
 * port's peer, and what is typed, wait until the VM runs: what it took now, in
 * its devices or its memory, no record would have. restored: the
 * devices' state has been put in place, the local APICs' before it. go_on: the
 * VM stays after all; harmless if it was not still.
 */
void platform_still(struct platform *platform, u64 now_ns);
void platform_go_on(struct platform *platform);
void platform_restored(struct platform *platform);

/* --- Interrupt messages ---------------------------------------------------
 *
 * A write of `data` to the message address space 0xfee00000-0xfeefffff (SDM
 * Vol. 3, "Message Signalled Interrupts"). From anywhere, lock held or not.
 */
void platform_msi(struct platform *platform, u64 address, u32 data);

#endif
