/* SPDX-License-Identifier: MIT */
/*
 * Who answers to what: ports, MMIO and MSRs to devices, device outputs to
 * local APICs and to the host. See devices/platform.h.
 */
#include "devices/platform.h"
#include "lib/check.h"
#include "lib/log.h"
#include "lib/string.h"

/* --- Interrupt messages --------------------------------------------------- */

static void kick(struct platform *platform, u32 vcpu)
{
	platform->config.host->vcpu_kick(platform->config.host_context, vcpu);
}

static void deliver_to(struct platform *platform, u32 vcpu,
		       enum lapic_delivery_mode mode, u8 vector,
		       enum lapic_trigger trigger)
{
	if (lapic_post(platform->lapics[vcpu], mode, vector, trigger) ==
	    LAPIC_KICK_NEEDED)
		kick(platform, vcpu);
}

/* Interrupt messages as they travel between APICs. */
struct message {
	enum lapic_delivery_mode mode;
	enum lapic_trigger trigger;
	enum lapic_destination destination_mode;
	u32 destination;
	u8 vector;
	int excluded; /* a vCPU that the message does not reach, or -1 */
};

static bool is_addressed(const struct platform *platform,
			 const struct message *message, u32 vcpu)
{
	return (int)vcpu != message->excluded &&
	       lapic_is_addressed(platform->lapics[vcpu],
				  message->destination_mode,
				  message->destination);
}

/*
 * The addressed APIC with the lowest task priority takes it; among equals
 * the turn goes round.
 */
static void deliver_lowest(struct platform *platform,
			   const struct message *message)
{
	u32 count = platform->lapic_count;
	u32 first =
	    __atomic_fetch_add(&platform->arbitration, 1, __ATOMIC_RELAXED);
	u32 best_priority = 0x100;
	u32 best = 0;

	for (u32 i = 0; i < count; i++) {
		u32 vcpu = (first + i) % count;
		const struct lapic *lapic = platform->lapics[vcpu];

		if (is_addressed(platform, message, vcpu) &&
		    lapic_is_enabled(lapic) &&
		    lapic_arbitration_priority(lapic) < best_priority) {
			best_priority = lapic_arbitration_priority(lapic);
			best = vcpu;
		}
	}
	if (best_priority < 0x100)
		deliver_to(platform, best, LAPIC_FIXED, message->vector,
			   message->trigger);
}

static void deliver(struct platform *platform, const struct message *message)
{
	if (message->mode == LAPIC_LOWEST_PRIORITY) {
		deliver_lowest(platform, message);
		return;
	}
	for (u32 vcpu = 0; vcpu < platform->lapic_count; vcpu++)
		if (is_addressed(platform, message, vcpu))
			deliver_to(platform, vcpu, message->mode,
				   message->vector, message->trigger);
}

#define MSI_ADDRESS       0xfee00000ULL
#define MSI_ADDRESS_RANGE BITS(63, 20)
#define MSI_DESTINATION   BITS(19, 12)
#define MSI_REDIRECTION   BIT(3)
#define MSI_LOGICAL       BIT(2)

/* With the redirection hint a fixed message goes to one of the addressed. */
void platform_msi(struct platform *platform, u64 address, u32 data)
{
	u32 destination = (u32)bits_get(address, MSI_DESTINATION);
	struct message message = {
	    .mode = (enum lapic_delivery_mode)bits_get(data, ICR_DELIVERY_MODE),
	    .trigger =
		data & ICR_LEVEL ? LAPIC_LEVEL_TRIGGERED : LAPIC_EDGE_TRIGGERED,
	    .destination_mode =
		address & MSI_LOGICAL ? LAPIC_LOGICAL : LAPIC_PHYSICAL,
	    .destination = destination,
	    .vector = (u8)bits_get(data, ICR_VECTOR),
	    .excluded = -1,
	};

	if ((address & MSI_ADDRESS_RANGE) != MSI_ADDRESS)
		return;
	if (message.destination_mode == LAPIC_PHYSICAL && destination == 0xff)
		message.destination = LAPIC_EVERYBODY;
	if (message.mode == LAPIC_FIXED && (address & MSI_REDIRECTION))
		message.mode = LAPIC_LOWEST_PRIORITY;
	deliver(platform, &message);
}

enum shorthand { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };

/*
 * SDM Vol. 3, "Valid Combinations for the Pentium 4 and Intel Xeon
 * Processors' Local xAPIC Interrupt Command Register": only fixed interrupts
 * go to oneself by shorthand, and IPIs are never level-triggered.
 */
static void send_ipi(struct platform *platform, u32 vcpu, u64 icr)
{
	enum shorthand shorthand = (enum shorthand)bits_get(icr, ICR_SHORTHAND);
	struct message message = {
	    .mode = (enum lapic_delivery_mode)bits_get(icr, ICR_DELIVERY_MODE),
	    .trigger = LAPIC_EDGE_TRIGGERED,
	    .destination_mode =
		icr & ICR_LOGICAL ? LAPIC_LOGICAL : LAPIC_PHYSICAL,
	    .destination = (u32)bits_get(icr, ICR_DESTINATION),
	    .vector = (u8)bits_get(icr, ICR_VECTOR),
	    .excluded = -1,
	};

	if ((shorthand == TO_SELF || shorthand == TO_ALL) &&
	    message.mode != LAPIC_FIXED)
		return;
	if (shorthand == TO_SELF) {
		deliver_to(platform, vcpu, LAPIC_FIXED, message.vector,
			   LAPIC_EDGE_TRIGGERED);
		return;
	}
	if (shorthand != TO_DESTINATION)
		message.destination = LAPIC_EVERYBODY;
	if (shorthand == TO_OTHERS)
		message.excluded = (int)vcpu;
	deliver(platform, &message);
}

/* --- Setting up ----------------------------------------------------------- */

static bool is_clock(u64 hz)
{
	return hz >= 1 && hz <= CLOCK_HZ_MAX;
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
	uart_reset(&platform->com1);
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

/* --- Ports ---------------------------------------------------------------- */

/* All ones in as many bytes as are asked for. */
static u64 all_ones(u32 bytes)
{
	return bytes >= 8 ? ~0ULL : BIT(bytes * 8) - 1;
}

static u32 read_com1(struct platform *platform,
		     UNUSED const struct platform_access *access, u16 offset)
{
	return uart_read(&platform->com1, offset);
}

static void write_com1(struct platform *platform,
		       UNUSED const struct platform_access *access, u16 offset,
		       u32 value)
{
	u8 byte = (u8)value;

	if (uart_write(&platform->com1, offset, byte) == UART_SENT_BYTE)
		platform->config.host->console_write(
		    platform->config.host_context, PLATFORM_COM1, &byte, 1);
}

/* POST codes, and the port whose slowness old software uses as a delay. */
static u32 read_post(UNUSED struct platform *platform,
		     UNUSED const struct platform_access *access,
		     UNUSED u16 offset)
{
	return ~0U;
}

static void write_post(UNUSED struct platform *platform,
		       UNUSED const struct platform_access *access,
		       UNUSED u16 offset, UNUSED u32 value)
{
}

static u32 read_debug_exit(UNUSED struct platform *platform,
			   UNUSED const struct platform_access *access,
			   UNUSED u16 offset)
{
	return 0;
}

static void write_debug_exit(struct platform *platform,
			     UNUSED const struct platform_access *access,
			     UNUSED u16 offset, u32 value)
{
	platform->config.host->end(platform->config.host_context,
				   PLATFORM_EXIT_CODE, value);
}

/*
 * A device's ports. One that is BYTEWIDE sees a wider access as the bus cuts
 * it: byte by byte, at successive ports.
 */
enum port_width { BYTEWIDE, ANY_WIDTH };

struct port_range {
	u16 first, last;
	enum port_width width;
	u32 (*read)(struct platform *platform,
		    const struct platform_access *access, u16 offset);
	void (*write)(struct platform *platform,
		      const struct platform_access *access, u16 offset,
		      u32 value);
};

static const struct port_range port_ranges[] = {
    {0x3f8, 0x3ff, BYTEWIDE, read_com1, write_com1},
    {0x80, 0x80, ANY_WIDTH, read_post, write_post},
    {0xf4, 0xf7, ANY_WIDTH, read_debug_exit, write_debug_exit},
};

/* The range that answers an access of this width at this port, or NULL. */
static const struct port_range *find_port(u16 port, u32 bytes)
{
	for (u32 i = 0; i < ARRAY_COUNT(port_ranges); i++) {
		const struct port_range *range = &port_ranges[i];

		if (port >= range->first && port <= range->last)
			return range->width == ANY_WIDTH || bytes == 1 ? range
								       : NULL;
	}
	return NULL;
}

/* One line per second of guest time at most, however much a guest tries. */
static void note_unclaimed(struct platform *platform,
			   const struct platform_access *access,
			   const char *what, u64 address)
{
	platform->unclaimed_count++;
	if (access->now_ns < platform->unclaimed_quiet_until_ns)
		return;
	platform->unclaimed_quiet_until_ns = access->now_ns + NS_PER_S;
	log_debug("guest: %s 0x%lx, vCPU %u: no device there (%lu so far)",
		  what, address, access->vcpu, platform->unclaimed_count);
}

static u32 read_port(struct platform *platform,
		     const struct platform_access *access, u16 port)
{
	const struct port_range *range = find_port(port, access->bytes);

	if (range)
		return range->read(platform, access,
				   (u16)(port - range->first));
	note_unclaimed(platform, access, "read from port", port);
	return ~0U;
}

static void write_port(struct platform *platform,
		       const struct platform_access *access, u16 port,
		       u32 value)
{
	const struct port_range *range = find_port(port, access->bytes);

	if (range)
		range->write(platform, access, (u16)(port - range->first),
			     value);
	else
		note_unclaimed(platform, access, "write to port", port);
}

/* Does the bus deliver the access whole, or byte by byte? */
static bool is_whole(const struct platform_access *access, u16 port)
{
	return access->bytes == 1 || find_port(port, access->bytes);
}

u32 platform_port_read(struct platform *platform,
		       const struct platform_access *access, u16 port)
{
	struct platform_access byte = *access;
	u32 value = 0;

	CHECK(access->bytes == 1 || access->bytes == 2 || access->bytes == 4);
	spin_lock(&platform->lock);
	byte.bytes = 1;
	if (is_whole(access, port))
		value = read_port(platform, access, port);
	else
		for (u32 i = 0; i < access->bytes; i++)
			value |=
			    (read_port(platform, &byte, (u16)(port + i)) & 0xff)
			    << i * 8;
	spin_unlock(&platform->lock);
	return value & (u32)all_ones(access->bytes);
}

void platform_port_write(struct platform *platform,
			 const struct platform_access *access, u16 port,
			 u32 value)
{
	struct platform_access byte = *access;

	CHECK(access->bytes == 1 || access->bytes == 2 || access->bytes == 4);
	spin_lock(&platform->lock);
	byte.bytes = 1;
	value &= (u32)all_ones(access->bytes);
	if (is_whole(access, port))
		write_port(platform, access, port, value);
	else
		for (u32 i = 0; i < access->bytes; i++)
			write_port(platform, &byte, (u16)(port + i),
				   value >> i * 8 & 0xff);
	spin_unlock(&platform->lock);
}

/* --- Local APIC accesses -------------------------------------------------- */

static void do_outcome(struct platform *platform, u32 vcpu,
		       struct lapic_outcome outcome)
{
	if (outcome.effect == LAPIC_EFFECT_IPI)
		send_ipi(platform, vcpu, outcome.icr);
}

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
	do_outcome(platform, access->vcpu,
		   lapic_mmio_write(platform->lapics[access->vcpu], offset,
				    value, access->now_ns));
}

enum platform_msr platform_msr_read(struct platform *platform, u32 vcpu,
				    u32 msr, u64 *value, u64 now_ns)
{
	if (msr != MSR_IA32_APIC_BASE && msr != MSR_IA32_TSC_DEADLINE &&
	    (msr < MSR_X2APIC_FIRST || msr > MSR_X2APIC_LAST))
		return PLATFORM_MSR_ABSENT;
	return lapic_msr_read(platform->lapics[vcpu], msr, now_ns, value) ==
		       LAPIC_EFFECT_NONE
		   ? PLATFORM_MSR_DONE
		   : PLATFORM_MSR_FAULT;
}

enum platform_msr platform_msr_write(struct platform *platform, u32 vcpu,
				     u32 msr, u64 value, u64 now_ns)
{
	struct lapic_outcome outcome;

	if (msr != MSR_IA32_APIC_BASE && msr != MSR_IA32_TSC_DEADLINE &&
	    (msr < MSR_X2APIC_FIRST || msr > MSR_X2APIC_LAST))
		return PLATFORM_MSR_ABSENT;
	outcome = lapic_msr_write(platform->lapics[vcpu], msr, value, now_ns);
	if (outcome.effect == LAPIC_EFFECT_FAULT)
		return PLATFORM_MSR_FAULT;
	do_outcome(platform, vcpu, outcome);
	return PLATFORM_MSR_DONE;
}

void platform_virtual_eoi(struct platform *platform, u32 vcpu, u8 vector,
			  u64 now_ns)
{
	(void)now_ns;
	do_outcome(platform, vcpu,
		   lapic_on_virtual_eoi(platform->lapics[vcpu], vector));
}

/* --- MMIO ----------------------------------------------------------------- */

enum platform_mmio platform_mmio_read(struct platform *platform,
				      const struct platform_access *access,
				      gpa_t address, u64 *value)
{
	struct lapic *lapic = platform->lapics[access->vcpu];
	u64 mask = all_ones(access->bytes);

	if (lapic_claims(lapic, address)) {
		*value =
		    read_lapic(lapic, access, (u32)gpa_offset(address)) & mask;
		return PLATFORM_MMIO_DONE;
	}
	spin_lock(&platform->lock);
	note_unclaimed(platform, access, "read from memory", gpa_raw(address));
	spin_unlock(&platform->lock);
	*value = mask;
	return PLATFORM_MMIO_ABSENT;
}

enum platform_mmio platform_mmio_write(struct platform *platform,
				       const struct platform_access *access,
				       gpa_t address, u64 value)
{
	if (lapic_claims(platform->lapics[access->vcpu], address)) {
		write_lapic(platform, access, (u32)gpa_offset(address),
			    (u32)value);
		return PLATFORM_MMIO_DONE;
	}
	spin_lock(&platform->lock);
	note_unclaimed(platform, access, "write to memory", gpa_raw(address));
	spin_unlock(&platform->lock);
	return PLATFORM_MMIO_ABSENT;
}

/* --- Interrupts ----------------------------------------------------------- */

enum platform_interrupt platform_interrupt_pending(struct platform *platform,
						   u32 vcpu)
{
	struct lapic *lapic = platform->lapics[vcpu];

	lapic_sync(lapic);
	return lapic_pending_vector(lapic) == LAPIC_NO_VECTOR
		   ? PLATFORM_INTERRUPT_NONE
		   : PLATFORM_INTERRUPT_LAPIC;
}

u8 platform_interrupt_take(struct platform *platform, u32 vcpu)
{
	struct lapic *lapic = platform->lapics[vcpu];
	int vector = lapic_pending_vector(lapic);

	CHECK(vector != LAPIC_NO_VECTOR);
	lapic_accept(lapic, (u8)vector);
	return (u8)vector;
}

/* --- Time ----------------------------------------------------------------- */

u64 platform_next_event_ns(struct platform *platform, u32 vcpu, u64 now_ns)
{
	(void)now_ns;
	return platform->lapics[vcpu]->timer_due_ns;
}

void platform_tick(struct platform *platform, u32 vcpu, u64 now_ns)
{
	lapic_tick(platform->lapics[vcpu], now_ns);
}

/* --- Console input -------------------------------------------------------- */

u64 platform_console_input(struct platform *platform,
			   enum platform_console console, const u8 *bytes,
			   u64 count, u64 now_ns)
{
	u64 taken = 0;

	(void)now_ns;
	spin_lock(&platform->lock);
	if (console == PLATFORM_COM1)
		taken = uart_receive(&platform->com1, bytes, count);
	spin_unlock(&platform->lock);
	return taken;
}
