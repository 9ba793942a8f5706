/* SPDX-License-Identifier: MIT */
/*
 * The platform's construction, its MSRs and memory-mapped registers, time, and
 * what comes from outside. See devices/platform.h; ports are in
 * platform_ports.c, interrupts in platform_irq.c.
 */
#include "devices/platform_parts.h"
#include "lib/string.h"

/* --- Setting up ----------------------------------------------------------- */

static bool is_clock(u64 hz)
{
	return hz >= 1 && hz <= CLOCK_HZ_MAX;
}

static void reset_devices(struct platform_devices *devices,
			  const struct platform_config *config)
{
	const struct rtc_config rtc = {
	    .start_time_s = config->start_time_s,
	    .ram_low_bytes = config->ram_low_bytes,
	    .ram_high_bytes = config->ram_high_bytes,
	};

	uart_reset(&devices->com1);
	ioapic_reset(&devices->ioapic);
	pic_reset(&devices->pic);
	pit_reset(&devices->pit);
	rtc_reset(&devices->rtc, &rtc);
	acpi_pm_reset(&devices->pm);
	i8042_reset(&devices->i8042);
	platform_pci_reset(devices);
	/* What firmware does for the lines that are shared or the SCI's. */
	pic_write_elcr(&devices->pic, PIC_SLAVE,
		       1U << (PLATFORM_LINE_SCI - 8) |
			   1U << (PLATFORM_PCI_LINE(0, 0) - 8) |
			   1U << (PLATFORM_PCI_LINE(0, 1) - 8));
}

enum err platform_init(struct platform *platform,
		       const struct platform_config *config)
{
	if (config->vcpu_count < 1 || config->vcpu_count > PLATFORM_VCPU_MAX ||
	    config->phys_bits < 36 || config->phys_bits > 52 ||
	    !is_clock(config->tsc_hz) || !is_clock(config->apic_timer_hz) ||
	    config->ram_low_bytes > PLATFORM_RAM_LOW_MAX)
		return ERR_RANGE;
	memset(platform, 0, sizeof(*platform));
	platform->config = *config;
	reset_devices(&platform->devices, config);
	platform->due_ns = platform->devices_due_ns = CLOCK_NEVER;
	platform_settle(platform);
	return OK;
}

/*
 * Umbra is the guest's firmware, too: it leaves the boot processor's APIC as
 * a PC's firmware does, in virtual wire mode with the PIC behind LINT0.
 */
static void set_virtual_wire(struct lapic *lapic)
{
	(void)lapic_mmio_write(lapic, LAPIC_SVR, 0x1ff, 0);
	(void)lapic_mmio_write(lapic, LAPIC_LVT_LINT0, LAPIC_EXTINT << 8, 0);
	(void)lapic_mmio_write(lapic, LAPIC_LVT_LINT1, LAPIC_NMI << 8, 0);
}

enum err platform_add_vcpu(struct platform *platform, struct lapic *lapic)
{
	u32 vcpu = platform->lapic_count;
	struct lapic_config config = {
	    .timer_hz = platform->config.apic_timer_hz,
	    .tsc_hz = platform->config.tsc_hz,
	    .apic_id = vcpu,
	    .phys_bits = platform->config.phys_bits,
	};

	if (vcpu >= platform->config.vcpu_count)
		return ERR_RANGE;
	lapic_reset(lapic, &config, vcpu ? LAPIC_IS_AP : LAPIC_IS_BSP);
	if (vcpu == 0)
		set_virtual_wire(lapic);
	platform->lapics[vcpu] = lapic;
	platform->lapic_count++;
	return OK;
}

/* --- MSRs ----------------------------------------------------------------- */

static bool is_lapic_msr(u32 msr)
{
	return msr == MSR_IA32_APIC_BASE || msr == MSR_IA32_TSC_DEADLINE ||
	       (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST);
}

enum platform_msr platform_msr_read(struct platform *platform, u32 vcpu,
				    u32 msr, u64 *value, u64 now_ns)
{
	if (!is_lapic_msr(msr))
		return PLATFORM_MSR_ABSENT;
	return lapic_msr_read(platform->lapics[vcpu], msr, now_ns, value) ==
		       LAPIC_EFFECT_NONE
		   ? PLATFORM_MSR_DONE
		   : PLATFORM_MSR_FAULT;
}

/* Register 0x080 is MSR 0x808. */
static u32 x2apic_msr(u32 offset)
{
	return MSR_X2APIC_FIRST + offset / 16;
}

enum platform_msr platform_apic_read(struct platform *platform, u32 vcpu,
				     u32 offset, u64 *value, u64 now_ns)
{
	struct lapic *lapic = platform->lapics[vcpu];

	if (!(lapic->base & APIC_BASE_ENABLE))
		return PLATFORM_MSR_FAULT;
	if (lapic->base & APIC_BASE_X2APIC)
		return platform_msr_read(platform, vcpu, x2apic_msr(offset),
					 value, now_ns);
	*value = lapic_mmio_read(lapic, offset, now_ns);
	if (offset == LAPIC_ICR)
		*value |= (u64)lapic_mmio_read(lapic, LAPIC_ICR_HIGH, now_ns)
			  << 32;
	return PLATFORM_MSR_DONE;
}

enum platform_msr platform_apic_write(struct platform *platform, u32 vcpu,
				      u32 offset, u64 value, u64 now_ns)
{
	struct lapic *lapic = platform->lapics[vcpu];

	if (!(lapic->base & APIC_BASE_ENABLE))
		return PLATFORM_MSR_FAULT;
	if (lapic->base & APIC_BASE_X2APIC)
		return platform_msr_write(platform, vcpu, x2apic_msr(offset),
					  value, now_ns);
	if (offset == LAPIC_ICR)
		platform_do_outcome(platform, vcpu,
				    lapic_mmio_write(lapic, LAPIC_ICR_HIGH,
						     high32(value), now_ns));
	platform_do_outcome(
	    platform, vcpu,
	    lapic_mmio_write(lapic, offset, low32(value), now_ns));
	return PLATFORM_MSR_DONE;
}

enum platform_msr platform_msr_write(struct platform *platform, u32 vcpu,
				     u32 msr, u64 value, u64 now_ns)
{
	struct lapic_outcome outcome;

	if (!is_lapic_msr(msr))
		return PLATFORM_MSR_ABSENT;
	outcome = lapic_msr_write(platform->lapics[vcpu], msr, value, now_ns);
	if (outcome.effect == LAPIC_EFFECT_FAULT)
		return PLATFORM_MSR_FAULT;
	platform_do_outcome(platform, vcpu, outcome);
	return PLATFORM_MSR_DONE;
}

/* --- MMIO ----------------------------------------------------------------- */

/*
 * Registers are four bytes at multiples of 16. Reads inside the four give what
 * lies there; the rest, undefined in the manual, reads 0 and drops writes.
 */
static u64 read_lapic(struct lapic *lapic, const struct platform_access *access,
		      u32 offset)
{
	u32 within = offset % 16;

	if (within >= 4)
		return 0;
	return lapic_mmio_read(lapic, offset - within, access->now_ns) >>
	       within * 8;
}

static void write_lapic(struct platform *platform,
			const struct platform_access *access, u32 offset,
			u32 value)
{
	if (offset % 16 || access->bytes != 4)
		return;
	platform_do_outcome(platform, access->vcpu,
			    lapic_mmio_write(platform->lapics[access->vcpu],
					     offset, value, access->now_ns));
}

/* Registers are at multiples of 16; only IOREGSEL may be written as a byte. */
static u64 read_ioapic(struct platform *platform, u32 offset)
{
	u32 within = offset % 16;
	u64 value = ioapic_read(&platform->devices.ioapic, offset - within);

	return within < 4 ? value >> within * 8 : 0;
}

static void write_ioapic(struct platform *platform,
			 const struct platform_access *access, u32 offset,
			 u32 value)
{
	if (offset % 16 || (access->bytes < 4 && offset))
		return;
	ioapic_write(&platform->devices.ioapic, offset, value);
}

static bool is_ioapic(gpa_t address)
{
	return gpa_page(address) == PLATFORM_IOAPIC_BASE >> PAGE_SHIFT;
}

/* With the lock held, for what is not a local APIC. */
static enum platform_mmio read_shared(struct platform *platform,
				      const struct platform_access *access,
				      gpa_t address, u64 *value)
{
	platform_advance(platform, access->now_ns);
	if (is_ioapic(address)) {
		*value = read_ioapic(platform, (u32)gpa_offset(address));
		return PLATFORM_MMIO_DONE;
	}
	if (platform_pci_read(platform, gpa_raw(address), value) ==
	    PLATFORM_MMIO_DONE) {
		platform_settle(platform);
		return PLATFORM_MMIO_DONE;
	}
	*value = ~0ULL;
	platform_note_unclaimed(platform, access, "read from memory",
				gpa_raw(address));
	return PLATFORM_MMIO_ABSENT;
}

static enum platform_mmio write_shared(struct platform *platform,
				       const struct platform_access *access,
				       gpa_t address, u64 value)
{
	platform_advance(platform, access->now_ns);
	if (is_ioapic(address)) {
		write_ioapic(platform, access, (u32)gpa_offset(address),
			     (u32)value);
		platform_settle_ioapic(platform);
		return PLATFORM_MMIO_DONE;
	}
	if (platform_pci_write(platform, gpa_raw(address), access->bytes,
			       value) == PLATFORM_MMIO_DONE) {
		platform_settle(platform);
		return PLATFORM_MMIO_DONE;
	}
	platform_note_unclaimed(platform, access, "write to memory",
				gpa_raw(address));
	return PLATFORM_MMIO_ABSENT;
}

enum platform_mmio platform_mmio_read(struct platform *platform,
				      const struct platform_access *access,
				      gpa_t address, u64 *value)
{
	struct lapic *lapic = platform->lapics[access->vcpu];
	enum platform_mmio result = PLATFORM_MMIO_DONE;

	if (lapic_claims(lapic, address)) {
		*value = read_lapic(lapic, access, (u32)gpa_offset(address));
	} else {
		spin_lock(&platform->lock);
		result = read_shared(platform, access, address, value);
		spin_unlock(&platform->lock);
	}
	*value &= platform_all_ones(access->bytes);
	return result;
}

enum platform_mmio platform_mmio_write(struct platform *platform,
				       const struct platform_access *access,
				       gpa_t address, u64 value)
{
	enum platform_mmio result;

	if (lapic_claims(platform->lapics[access->vcpu], address)) {
		write_lapic(platform, access, (u32)gpa_offset(address),
			    (u32)value);
		return PLATFORM_MMIO_DONE;
	}
	spin_lock(&platform->lock);
	result = write_shared(platform, access, address,
			      value & platform_all_ones(access->bytes));
	spin_unlock(&platform->lock);
	return result;
}

/* --- Time ----------------------------------------------------------------- */

/* What is due, with the lock held. */
static void tick_devices(struct platform *platform, u64 now_ns)
{
	struct platform_devices *devices = &platform->devices;

	if (now_ns < platform->devices_due_ns)
		return;
	platform_advance(platform, now_ns);
	if (pit_take_edge(&devices->pit, devices->now_ns))
		platform_pulse_pit(platform);
	rtc_tick(&devices->rtc, devices->now_ns);
	acpi_pm_tick(&devices->pm, devices->now_ns);
	uart_tick(&devices->com1, devices->now_ns);
	if (devices->console_work)
		platform_run_console(platform);
	platform_settle(platform);
}

/* The peer's news bring no time with them: the devices' state is as before. */
static void answer_call(struct platform *platform)
{
	if (!__atomic_exchange_n(&platform->port_called, 0, __ATOMIC_SEQ_CST))
		return;
	platform_run_console(platform);
	platform_settle(platform);
}

void platform_tick(struct platform *platform, u32 vcpu, u64 now_ns)
{
	lapic_tick(platform->lapics[vcpu], now_ns);
	if (vcpu != 0 ||
	    now_ns < __atomic_load_n(&platform->due_ns, __ATOMIC_RELAXED))
		return;
	spin_lock(&platform->lock);
	answer_call(platform);
	tick_devices(platform, now_ns);
	spin_unlock(&platform->lock);
}

void platform_still(struct platform *platform, u64 now_ns)
{
	for (u32 i = 0; i < platform->lapic_count; i++)
		lapic_tick(platform->lapics[i], now_ns);
	platform_hand_over(platform);
	spin_lock(&platform->lock);
	uart_tick(&platform->devices.com1, CLOCK_NEVER);
	platform_settle(platform);
	tick_devices(platform, now_ns);
	platform->is_still = true;
	spin_unlock(&platform->lock);
	for (u32 i = 0; i < platform->lapic_count; i++)
		lapic_sync(platform->lapics[i]);
}

void platform_go_on(struct platform *platform)
{
	spin_lock(&platform->lock);
	platform->is_still = false;
	spin_unlock(&platform->lock);
}

void platform_restored(struct platform *platform)
{
	spin_lock(&platform->lock);
	pit_restored(&platform->devices.pit);
	platform_settle(platform);
	spin_unlock(&platform->lock);
	/* Its peer may be another one now, or none. */
	if (virtio_console_uses_port(&platform->devices.console))
		platform_call_port(platform);
}

/* --- The world outside ---------------------------------------------------- */

/* With the lock held. */
static u64 take_input(struct platform *platform, enum platform_console console,
		      const u8 *bytes, u64 count)
{
	switch (console) {
	case PLATFORM_COM1:
		return uart_receive(&platform->devices.com1, bytes, count);
	case PLATFORM_HVC0:
		return platform_receive_console(platform, 0, bytes, count);
	case PLATFORM_PORT1:
		return platform_receive_console(platform, 1, bytes, count);
	case PLATFORM_CONSOLE_COUNT:
		break;
	}
	return 0;
}

u64 platform_console_input(struct platform *platform,
			   enum platform_console console, const u8 *bytes,
			   u64 count, u64 now_ns)
{
	u64 taken = 0;

	spin_lock(&platform->lock);
	if (!platform->is_still) {
		platform_advance(platform, now_ns);
		taken = take_input(platform, console, bytes, count);
		platform_settle(platform);
	}
	spin_unlock(&platform->lock);
	return taken;
}

void platform_console_ready(struct platform *platform, u64 now_ns)
{
	spin_lock(&platform->lock);
	platform_advance(platform, now_ns);
	platform_run_console(platform);
	platform_settle(platform);
	spin_unlock(&platform->lock);
}

/* Either the tick sees the call, or what follows it stores due_ns. */
void platform_call_port(struct platform *platform)
{
	__atomic_store_n(&platform->port_called, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&platform->due_ns, 0, __ATOMIC_SEQ_CST);
}

void platform_power_button(struct platform *platform, u64 now_ns)
{
	spin_lock(&platform->lock);
	platform_advance(platform, now_ns);
	acpi_pm_press_power_button(&platform->devices.pm);
	platform_settle(platform);
	spin_unlock(&platform->lock);
}
