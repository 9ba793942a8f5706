/* SPDX-License-Identifier: MIT */
/* Umbra from its first C line to its guests, as a list. */
#include "core/main.h"
#include "acpi/acpi.h"
#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/descriptors.h"
#include "arch/x86/cpu/paging.h"
#include "arch/x86/cpu/smp.h"
#include "arch/x86/cpu/traps.h"
#include "arch/x86/cpu/tsc.h"
#include "core/console.h"
#include "core/guests.h"
#include "core/links.h"
#include "core/linktest.h"
#include "core/log.h"
#include "core/machine.h"
#include "core/memory.h"
#include "core/migration.h"
#include "core/panic.h"
#include "core/sched.h"
#include "devices/clock.h"
#include "drivers/interrupts.h"
#include "drivers/serial.h"
#include "lib/crc32c.h"
#include "lib/log.h"
#include "loader/boot_info.h"
#include "loader/options.h"
#include "mm/frame_alloc.h"

#define VERSION        "0.1"
#define BOOT_READABLE  (4 * GIB)
#define VECTOR_CONSOLE VECTOR_FIRST_DEVICE
#define XAPIC_ID_MAX   254

static struct boot_info boot;
static struct options options;

static void greet(void)
{
	log_info("Umbra %s on %s %s (family %u, model %u, stepping %u)",
		 VERSION, cpu_features.vendor, cpu_features.brand,
		 cpu_features.family, cpu_features.model,
		 cpu_features.stepping);
}

static void read_boot_info(u32 magic, u32 info)
{
	enum err err = boot_info_from_multiboot(&boot, magic, hpa(info),
						hpa(BOOT_READABLE));

	if (err != OK)
		panic("the boot loader's information is %s; start Umbra with "
		      "a multiboot loader (GRUB, or qemu -kernel)",
		      err_text(err));
	options_parse(&options, boot.command_line);
	log_set_level(options.loglevel);
	boot_info_log(&boot);
	machine_set_exit(options.exit);
	console_set_mode(options.console);
}

static void set_up_memory(void)
{
	enum err err = memory_init(&boot);
	struct frame_stats stats;

	if (err != OK)
		panic("cannot set up memory: %s", err_text(err));
	err = smp_prepare_cpu(&cpus[0], 0, 0);
	if (err != OK)
		panic("no memory for the first CPU's stacks");
	descriptors_load(&cpus[0]);
	frame_stats(&stats);
	log_info("memory: %lu MiB, %lu MiB free",
		 region_map_bytes(&boot.memory, REGION_AVAILABLE) / MIB,
		 stats.free_bytes / MIB);
}

static u16 pm_timer_port(void)
{
	const struct acpi_register *timer = &machine_acpi.pm_timer;

	return timer->space == ACPI_SPACE_PORT ? (u16)timer->address : 0;
}

static bool xapic_reaches_all(void)
{
	for (u32 i = 0; i < machine_acpi.cpu_count; i++)
		if (machine_acpi.cpus[i].apic_id > XAPIC_ID_MAX)
			return false;
	return true;
}

static void set_up_interrupts(void)
{
	interrupts_silence_pic();
	if (tsc_calibrate(pm_timer_port(),
			  machine_acpi.pm_timer_width == ACPI_TIMER_32_BITS
			      ? 32
			      : 24) != OK)
		panic("no clock to measure the TSC by: neither an ACPI PM "
		      "timer nor the 8254 runs, and CPUID does not tell; "
		      "switch \"8254 clock gating\" off in the firmware");
	if (!cpu_features.invariant_tsc && !cpu_features.hypervisor)
		log_warn("this CPU's TSC may change its rate or stop in power "
			 "states: guests' clocks may be wrong; switch C-states "
			 "and frequency scaling off in the firmware");
	if (machine_acpi.avoids_x2apic && xapic_reaches_all()) {
		log_info("the firmware asks to leave x2APIC mode alone");
		apic_avoid_x2apic();
	}
	apic_init();
	apic_timer_calibrate();
	cpus[0].apic_id = apic_id();
	cpus[0].online = 1;
	for (u32 i = 0; i < machine_acpi.ioapic_count; i++) {
		const struct acpi_ioapic *ioapic = &machine_acpi.ioapics[i];

		if (interrupts_add_ioapic(ioapic->base, ioapic->gsi_base) != OK)
			log_warn("I/O APIC %u is one too many", ioapic->id);
	}
}

/* Without it the console is polled, and still works. */
static void set_up_console_interrupt(void)
{
	struct interrupt_route route = machine_isa_route(UART_COM1_IRQ);

	route.vector = VECTOR_CONSOLE;
	route.apic_id = cpus[0].apic_id;
	interrupt_set_handler(VECTOR_CONSOLE, console_interrupt);
	if (interrupts_route(&route) == OK)
		console_use_interrupts();
}

static void start_other_cpus(void)
{
	static u32 apic_ids[CPU_MAX];
	u32 limit = options.cpus ? options.cpus : CPU_MAX;
	u32 count = 0;

	for (u32 i = 0; i < machine_acpi.cpu_count; i++) {
		const struct acpi_cpu *cpu = &machine_acpi.cpus[i];

		if (cpu->state == ACPI_CPU_ENABLED &&
		    cpu->apic_id != cpus[0].apic_id && count + 1 < limit &&
		    count + 1 < CPU_MAX)
			apic_ids[count++] = cpu->apic_id;
	}
	smp_start(apic_ids, count, sched_run);
	log_info("CPUs: %u of %u running, %s", cpu_count,
		 machine_acpi.cpu_count ? machine_acpi.cpu_count : 1,
		 apic_is_x2apic() ? "x2APIC" : "xAPIC");
}

static enum mitigation_mode mitigations(void)
{
	return options.mitigations == MITIGATIONS_OFF ? MITIGATION_OFF
						      : MITIGATION_AUTO;
}

static enum apicv_choice apicv(void)
{
	if (options.apicv == VIRTUAL_APIC_OFF)
		return APICV_OFF;
	/* docs/TESTING.md, "The emulators, and what we do about them". */
	return options.apicv == VIRTUAL_APIC_AUTO && machine_is_bochs()
		   ? APICV_NO_DELIVERY
		   : APICV_ALL;
}

static enum mtf_choice mtf(void)
{
	if (options.mtf == MONITOR_TRAP_OFF)
		return MTF_OFF;
	return options.mtf == MONITOR_TRAP_AUTO && machine_is_bochs()
		   ? MTF_DEFECTIVE
		   : MTF_IF_PRESENT;
}

static void set_up_migration(void)
{
	enum err err = migration_init(links_open(&options.link),
				      options.receives ? MIGRATION_RECEIVE_ON
						       : MIGRATION_RECEIVE_OFF,
				      options.link.silence_seconds * NS_PER_S);

	if (err != OK)
		log_error("no migration: %s", err_text(err));
}

void boot_main(u32 magic, u32 info)
{
	cpu_read_features();
	crc32c_choose(!cpu_features.crc32    ? CRC32C_TABLE
		      : cpu_features.vectors ? CRC32C_VECTORS
					     : CRC32C_INSTRUCTION);
	descriptors_init_idt();
	cpu_init(&cpus[0]);
	console_init();
	greet();
	read_boot_info(magic, info);
	set_up_memory();
	machine_read_acpi(boot.rsdp, boot.rsdp_bytes);
	memory_guard_null();
	set_up_interrupts();
	sched_init();
	guests_init_vmx(mitigations(), apicv(), mtf());
	start_other_cpus();
	set_up_console_interrupt();
	if (options.linktest.way != LINKTEST_NONE)
		linktest_run(&options);
	set_up_migration();
	guests_start(&boot);
	sched_run();
}
