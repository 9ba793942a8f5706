/* SPDX-License-Identifier: MIT */
/* Starting the other processors, one at a time. */
#include "arch/x86/cpu/smp.h"
#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/descriptors.h"
#include "arch/x86/cpu/paging.h"
#include "arch/x86/cpu/tsc.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"

extern const u8 ap_trampoline[], ap_trampoline_end[], ap_trampoline_args[];
extern u8 boot_stack_guard[], boot_stack_top[];

/* The block at the trampoline's end: ap_args in ap_trampoline.asm. */
struct ap_args {
	u64 cr3;
	u64 stack_top;
	u64 entry;
	u64 argument;
};

static void (*common_entry)(void);

/* A block of eight pages of which the first becomes a guard. */
static enum err alloc_stack(struct cpu *cpu)
{
	hpa_t base;
	enum err err = frame_alloc(FRAME_32K, "a CPU's stack", &base);

	if (err != OK)
		return err;
	cpu->stack_bottom = hpa_raw(base) + PAGE_4K;
	cpu->stack_top = hpa_raw(base) + frame_bytes(FRAME_32K);
	return paging_protect(base, PAGE_4K, PAGING_NONE);
}

static enum err alloc_fault_stacks(struct cpu *cpu)
{
	hpa_t base;
	enum err err = frame_alloc(FRAME_32K, "a CPU's fault stacks", &base);

	for (u64 i = 0; err == OK && i < FAULT_STACKS_FRAMES; i += 2)
		err = paging_protect(hpa_add(base, i * PAGE_4K), PAGE_4K,
				     PAGING_NONE);
	if (err == OK)
		cpu->fault_stacks = phys_ptr(base);
	return err;
}

enum err smp_prepare_cpu(struct cpu *cpu, u32 index, u32 apic_id)
{
	enum err err = alloc_fault_stacks(cpu);

	cpu->index = index;
	cpu->apic_id = apic_id;
	if (err != OK)
		return err;
	if (index == 0) {
		cpu->stack_bottom = (u64)boot_stack_guard + PAGE_4K;
		cpu->stack_top = (u64)boot_stack_top;
		return paging_protect(phys_of(boot_stack_guard), PAGE_4K,
				      PAGING_NONE);
	}
	return alloc_stack(cpu);
}

/* First C code of a processor, on its own stack. */
static void ap_main(struct cpu *cpu)
{
	cpu_init(cpu);
	apic_init();
	cpu->tsc_when_online = insn_rdtsc();
	__atomic_store_n(&cpu->online, 1, __ATOMIC_RELEASE);
	common_entry();
}

static bool wait_online(const struct cpu *cpu, u32 milliseconds)
{
	for (u32 i = 0; i < milliseconds * 10; i++) {
		if (__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE))
			return true;
		tsc_delay_us(100);
	}
	return false;
}

/*
 * Guests' clocks are TSCs, wherever a vCPU runs. It has come up between two
 * readings of ours, some milliseconds apart: a counter that began at another
 * time, or that the firmware has moved, mostly differs by more.
 */
static void compare_tsc(const struct cpu *cpu, u64 before)
{
	if (cpu->tsc_when_online - before <= insn_rdtsc() - before)
		return;
	log_warn(
	    "CPU %u: its TSC is not the first CPU's; a guest's clock jumps "
	    "when it comes there: use pin=, or cpus= without it",
	    cpu->index);
}

/*
 * SDM vol. 3, "MP Initialization Protocol Algorithm for MP Systems": INIT,
 * 10 ms, start-up IPI, 200 us, and a second one for processors that missed the
 * first.
 */
static bool start_one(struct cpu *cpu, hpa_t page)
{
	u8 frame = (u8)hpa_page(page);
	u64 before = insn_rdtsc();

	apic_send_init(cpu->apic_id);
	tsc_delay_us(10000);
	apic_send_startup(cpu->apic_id, frame);
	tsc_delay_us(200);
	if (!__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE))
		apic_send_startup(cpu->apic_id, frame);
	if (!wait_online(cpu, 1000))
		return false;
	compare_tsc(cpu, before);
	return true;
}

/*
 * The trampoline runs with our page tables on, so its page is executable while
 * processors start: not writable then, except through `args` before.
 */
static enum err start_with_page(hpa_t page, struct cpu *cpu)
{
	u8 *code = phys_ptr(page);
	struct ap_args *args =
	    (struct ap_args *)(code +
			       ((u64)ap_trampoline_args - (u64)ap_trampoline));
	enum err err;
	bool started;

	memcpy(code, ap_trampoline,
	       (u64)ap_trampoline_end - (u64)ap_trampoline);
	*args = (struct ap_args){
	    .cr3 = hpa_raw(paging_root()),
	    .stack_top = cpu->stack_top,
	    .entry = (u64)ap_main,
	    .argument = (u64)cpu,
	};
	err = paging_protect(page, PAGE_4K, PAGING_RX);
	if (err != OK)
		return err;
	started = start_one(cpu, page);
	err = paging_protect(page, PAGE_4K, PAGING_RW);
	if (err != OK)
		return err;
	return started ? OK : ERR_TIMEOUT;
}

void smp_start(const u32 *apic_ids, u32 count, void (*entry)(void))
{
	hpa_t page;
	enum err err = frame_alloc_in(FRAME_BELOW_1M, FRAME_4K,
				      "starting the other CPUs", &page);

	if (err != OK) {
		log_error("no free page below 1 MiB: only one CPU is used");
		return;
	}
	common_entry = entry;
	for (u32 i = 0; i < count && cpu_count < CPU_MAX; i++) {
		struct cpu *cpu = &cpus[cpu_count];

		err = smp_prepare_cpu(cpu, cpu_count, apic_ids[i]);
		if (err == OK)
			err = start_with_page(page, cpu);
		if (err != OK) {
			log_error("CPU with APIC id %u does not start: %s",
				  apic_ids[i], err_text(err));
			/* Should it wake up late, it must not find our page. */
			apic_send_init(apic_ids[i]);
			continue;
		}
		log_debug("CPU %u runs, APIC id %u, stack below %#lx",
			  cpu_count, apic_ids[i], cpu->stack_top);
		cpu_count++;
	}
	frame_free(page, FRAME_4K);
}
