/* SPDX-License-Identifier: MIT */
/*
 * How interrupts travel: from the devices' lines through PIC and I/O APIC, and
 * as messages (MSI, IPI) between APICs.
 *
 *	COM1 4  RTC 8  SCI 9  PIT 0 ...
 *	   |      |      |      |
 *	   +------+---+--+------+----------+
 *	              |                    |
 *	             PIC               I/O APIC (line 0 at pin 2)
 *	              | INTR               | messages
 *	            LINT0  --> local APICs <-- MSI, IPI
 */
#include "devices/platform_parts.h"
#include "lib/check.h"

/* --- Interrupt messages --------------------------------------------------- */

static void kick(struct platform *platform, u32 vcpu)
{
	platform->config.host->vcpu_kick(platform->config.host_context, vcpu);
}

static void notify(struct platform *platform, u32 vcpu)
{
	platform->config.host->vcpu_notify(platform->config.host_context, vcpu);
}

static void deliver_to(struct platform *platform, u32 vcpu,
		       enum lapic_delivery_mode mode, u8 vector,
		       enum lapic_trigger trigger)
{
	switch (lapic_post(platform->lapics[vcpu], mode, vector, trigger)) {
	case LAPIC_KICK_NEEDED:
		kick(platform, vcpu);
		break;
	case LAPIC_KICK_NOTIFY:
		notify(platform, vcpu);
		break;
	case LAPIC_KICK_NOT_NEEDED:
		break;
	}
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

/* ICR, MSI data and I/O APIC entries have the same bits 15:0. */
static struct message message_of(u64 bits, enum lapic_destination mode,
				 u32 destination)
{
	return (struct message){
	    .mode = (enum lapic_delivery_mode)bits_get(bits, ICR_DELIVERY_MODE),
	    .trigger =
		bits & ICR_LEVEL ? LAPIC_LEVEL_TRIGGERED : LAPIC_EDGE_TRIGGERED,
	    .destination_mode = mode,
	    .destination = destination,
	    .vector = (u8)bits_get(bits, ICR_VECTOR),
	    .excluded = -1,
	};
}

/* From where destinations have eight bits: 0xff is every APIC. */
static struct message message_of_8(u64 bits, enum lapic_destination mode,
				   u64 destination)
{
	return message_of(bits, mode,
			  mode == LAPIC_PHYSICAL && destination == 0xff
			      ? LAPIC_EVERYBODY
			      : (u32)destination);
}

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
	u32 first = __atomic_fetch_add(&platform->devices.arbitration, 1,
				       __ATOMIC_RELAXED);
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
	struct message message = message_of_8(
	    data, address & MSI_LOGICAL ? LAPIC_LOGICAL : LAPIC_PHYSICAL,
	    bits_get(address, MSI_DESTINATION));

	if ((address & MSI_ADDRESS_RANGE) != MSI_ADDRESS)
		return;
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
	struct message message =
	    message_of(icr & ~ICR_LEVEL,
		       icr & ICR_LOGICAL ? LAPIC_LOGICAL : LAPIC_PHYSICAL,
		       (u32)bits_get(icr, ICR_DESTINATION));

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

/* --- I/O APIC ------------------------------------------------------------- */

static struct message message_of_entry(u64 entry)
{
	return message_of_8(
	    entry, entry & ICR_LOGICAL ? LAPIC_LOGICAL : LAPIC_PHYSICAL,
	    bits_get(entry, IOAPIC_DESTINATION));
}

static void send_entry(struct platform *platform, u64 entry)
{
	struct message message = message_of_entry(entry);

	deliver(platform, &message);
}

/* Has this edge-triggered message arrived, and has not been accepted yet? */
static bool entry_waits(const struct platform *platform, u64 entry)
{
	struct message message = message_of_entry(entry);

	for (u32 vcpu = 0; vcpu < platform->lapic_count; vcpu++)
		if (is_addressed(platform, &message, vcpu) &&
		    !lapic_is_requested(platform->lapics[vcpu], message.vector))
			return false;
	return message.mode == LAPIC_FIXED;
}

void platform_settle_ioapic(struct platform *platform)
{
	u64 entry;

	while (ioapic_next(&platform->devices.ioapic, &entry) == IOAPIC_MESSAGE)
		send_entry(platform, entry);
}

/* --- PIC ------------------------------------------------------------------ */

/*
 * INTR reaches LINT0 of every local APIC. Where that is ExtINT, or where the
 * APIC is off, the CPU looks at the level by itself (platform_extint_pending).
 */
static void raise_lint0(struct platform *platform)
{
	for (u32 i = 0; i < platform->lapic_count; i++)
		if (lapic_accepts_extint(platform->lapics[i]) ||
		    lapic_lint(platform->lapics[i], 0) != LAPIC_KICK_NOT_NEEDED)
			kick(platform, i);
}

void platform_settle_pic(struct platform *platform)
{
	u32 level = pic_interrupt(&platform->devices.pic);

	if (level == platform->pic_interrupt)
		return;
	__atomic_store_n(&platform->pic_interrupt, level, __ATOMIC_SEQ_CST);
	if (level)
		raise_lint0(platform);
}

/* --- Lines ---------------------------------------------------------------- */

static u32 lines_of(const struct platform_devices *devices)
{
	u32 lines = 0;

	if (uart_interrupt(&devices->com1))
		lines |= 1U << PLATFORM_LINE_COM1;
	if (rtc_interrupt(&devices->rtc))
		lines |= 1U << PLATFORM_LINE_RTC;
	if (acpi_pm_interrupt(&devices->pm))
		lines |= 1U << PLATFORM_LINE_SCI;
	return lines | platform_pci_lines(devices);
}

static void drive(struct platform_devices *devices, u32 line,
		  enum platform_level level)
{
	devices->lines &= ~(1U << line);
	devices->lines |= (u32)level << line;
	pic_set_line(&devices->pic, line,
		     level == PLATFORM_HIGH ? PIC_HIGH : PIC_LOW);
	ioapic_set_line(&devices->ioapic, line,
			level == PLATFORM_HIGH ? IOAPIC_ASSERTED : IOAPIC_LOW);
}

static void drive_lines(struct platform_devices *devices)
{
	u32 lines = lines_of(devices);
	u32 changed = lines ^ devices->lines;

	for (; changed; changed &= changed - 1) {
		u32 line = (u32)__builtin_ctz(changed);

		drive(devices, line, (enum platform_level)(lines >> line & 1));
	}
}

void platform_set_line(struct platform *platform, enum platform_line line,
		       enum platform_level level)
{
	drive(&platform->devices, line, level);
	platform_settle_ioapic(platform);
	platform_settle_pic(platform);
}

/*
 * Would another edge be one with the last? A kernel that fills the FIFO in its
 * handler makes one with each byte.
 */
static bool edge_waits(const struct platform *platform, u32 line)
{
	u64 entry = platform->devices.ioapic.entries[line];

	return pic_is_requested(&platform->devices.pic, line) &&
	       ((entry & (IOAPIC_MASKED | IOAPIC_LEVEL)) ||
		entry_waits(platform, entry));
}

void platform_pulse_line(struct platform *platform, enum platform_line line)
{
	if (edge_waits(platform, line))
		return;
	platform_set_line(platform, line, PLATFORM_LOW);
	platform_set_line(platform, line, PLATFORM_HIGH);
}

void platform_pulse_pit(struct platform *platform)
{
	struct platform_devices *devices = &platform->devices;

	pic_set_line(&devices->pic, PLATFORM_LINE_PIT, PIC_LOW);
	pic_set_line(&devices->pic, PLATFORM_LINE_PIT, PIC_HIGH);
	ioapic_set_line(&devices->ioapic, PLATFORM_PIT_PIN, IOAPIC_LOW);
	ioapic_set_line(&devices->ioapic, PLATFORM_PIT_PIN, IOAPIC_ASSERTED);
}

static u64 earlier(u64 a, u64 b)
{
	return a < b ? a : b;
}

/* vCPU 0 watches over the shared devices: tell it when they moved nearer. */
void platform_settle_due(struct platform *platform)
{
	const struct platform_devices *devices = &platform->devices;
	u64 due = earlier(pit_next_edge_ns(&devices->pit),
			  earlier(rtc_next_event_ns(&devices->rtc),
				  acpi_pm_next_event_ns(&devices->pm)));

	due = earlier(due, uart_next_event_ns(&devices->com1));
	u64 before = platform->devices_due_ns;
	bool is_called;

	if (devices->console_work)
		due = devices->now_ns;
	platform->devices_due_ns = due;
	__atomic_store_n(&platform->due_ns, due, __ATOMIC_SEQ_CST);
	/*
	 * That may have hidden a call (platform_call_port) from a vCPU that has
	 * looked just then, and sleeps again.
	 */
	is_called = __atomic_load_n(&platform->port_called, __ATOMIC_SEQ_CST);
	if (is_called)
		__atomic_store_n(&platform->due_ns, 0, __ATOMIC_SEQ_CST);
	if ((is_called || due < before) && platform->lapic_count)
		kick(platform, 0);
}

void platform_settle(struct platform *platform)
{
	drive_lines(&platform->devices);
	platform_settle_ioapic(platform);
	platform_pci_send_messages(platform);
	platform_settle_pic(platform);
	platform_settle_due(platform);
}

/* --- Local APICs ---------------------------------------------------------- */

void platform_do_outcome(struct platform *platform, u32 vcpu,
			 struct lapic_outcome outcome)
{
	switch (outcome.effect) {
	case LAPIC_EFFECT_IPI:
		send_ipi(platform, vcpu, outcome.icr);
		break;
	case LAPIC_EFFECT_EOI:
		spin_lock(&platform->lock);
		ioapic_eoi(&platform->devices.ioapic, outcome.vector);
		platform_settle_ioapic(platform);
		spin_unlock(&platform->lock);
		break;
	case LAPIC_EFFECT_NONE:
	case LAPIC_EFFECT_FAULT:
		break;
	}
}

void platform_virtual_eoi(struct platform *platform, u32 vcpu, u8 vector)
{
	platform_do_outcome(
	    platform, vcpu,
	    lapic_on_virtual_eoi(platform->lapics[vcpu], vector));
}

void platform_apic_written(struct platform *platform, u32 vcpu, u32 offset,
			   u64 now_ns)
{
	platform_do_outcome(
	    platform, vcpu,
	    lapic_written(platform->lapics[vcpu], offset, now_ns));
}

bool platform_extint_pending(const struct platform *platform, u32 vcpu)
{
	return __atomic_load_n(&platform->pic_interrupt, __ATOMIC_RELAXED) &&
	       lapic_accepts_extint(platform->lapics[vcpu]);
}

enum platform_interrupt platform_interrupt_pending(struct platform *platform,
						   u32 vcpu)
{
	struct lapic *lapic = platform->lapics[vcpu];

	lapic_sync(lapic);
	if (unlikely(platform_extint_pending(platform, vcpu)))
		return PLATFORM_INTERRUPT_EXTINT;
	return lapic_pending_vector(lapic) == LAPIC_NO_VECTOR
		   ? PLATFORM_INTERRUPT_NONE
		   : PLATFORM_INTERRUPT_LAPIC;
}

u8 platform_interrupt_take(struct platform *platform, u32 vcpu,
			   enum platform_interrupt from)
{
	struct lapic *lapic = platform->lapics[vcpu];
	int pending;
	u8 vector;

	if (from == PLATFORM_INTERRUPT_LAPIC) {
		pending = lapic_pending_vector(lapic);
		CHECK(pending != LAPIC_NO_VECTOR);
		lapic_accept(lapic, (u8)pending);
		return (u8)pending;
	}
	spin_lock(&platform->lock);
	vector = pic_acknowledge(&platform->devices.pic);
	platform_settle(platform);
	spin_unlock(&platform->lock);
	return vector;
}
