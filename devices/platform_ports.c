/* SPDX-License-Identifier: MIT */
/*
 * The port space: which device answers where.
 *
 * Most devices have registers of one byte: a wider access reaches them as the
 * bus cuts it, byte by byte at successive ports. A few see it whole.
 */
#include "devices/platform_parts.h"
#include "lib/check.h"
#include "lib/log.h"
#include "lib/string.h"

#define PIC_MASTER_PORT 0x20
#define PIT_PORT        0x40
#define I8042_DATA      0x60
#define PORT61          0x61
#define I8042_COMMAND   0x64
#define RTC_PORT        0x70
#define POST_PORT       0x80 /* codes go nowhere; also a short delay */
#define PORT92          0x92
#define PIC_SLAVE_PORT  0xa0
#define DEBUG_EXIT_PORT 0xf4
#define COM1_PORT       PLATFORM_COM1_PORT
#define ELCR_PORT       0x4d0
#define PCI_ADDRESS     0xcf8 /* 32 bits at once; else others live there */
#define RESET_PORT      0xcf9
#define PCI_DATA        0xcfc

#define PORT92_RESET    BIT(0)
#define PORT92_A20      BIT(1) /* address line 20 is always on */
#define RESET_CPU       BIT(2) /* resets when it goes from 0 to 1 */
#define RESET_BITS      BITS(3, 1)

/* What a read gives when nobody answers it. */
#define NOBODY          (-1)

/* --- COM1 ----------------------------------------------------------------- */

static u64 print(struct platform *platform, const u8 *bytes, u32 count)
{
	return count ? platform->config.host->console_write(
			   platform->config.host_context, PLATFORM_COM1, bytes,
			   count)
		     : 0;
}

static void set_batch_count(struct platform *platform, u32 count)
{
	__atomic_store_n(&platform->batch_count, count, __ATOMIC_RELAXED);
}

void platform_send_com1(struct platform *platform)
{
	struct uart_state *com1 = &platform->devices.com1;
	u8 bytes[UART_FIFO_BYTES];
	u32 taken =
	    (u32)print(platform, platform->batch, platform->batch_count);
	u32 rest = platform->batch_count - taken;

	memmove(platform->batch, platform->batch + taken, rest);
	set_batch_count(platform, rest);
	if (!rest)
		uart_output_taken(
		    com1, print(platform, bytes, uart_output(com1, bytes)));
}

static bool com1_is_high(const struct platform *platform)
{
	return platform->devices.lines >> PLATFORM_LINE_COM1 & 1;
}

/*
 * Nothing but its line can have changed. One that has been low meanwhile must have
 * been seen low, or its edge is none: a guest that sends a byte for each interrupt
 * would wait for ever.
 */
static NOINLINE void drive_com1(struct platform *platform,
				enum uart_access access)
{
	const struct uart_state *com1 = &platform->devices.com1;
	bool before = com1_is_high(platform);

	if (before && uart_is_back(com1, access))
		platform_pulse_line(platform, PLATFORM_LINE_COM1);
	else if (uart_interrupt(com1) != before)
		platform_set_line(platform, PLATFORM_LINE_COM1,
				  before ? PLATFORM_LOW : PLATFORM_HIGH);
}

static ALWAYS_INLINE void settle_com1(struct platform *platform,
				      enum uart_access access)
{
	if (com1_is_high(platform) || platform->devices.com1.interrupt_enable)
		drive_com1(platform, access);
}

void platform_print_in_panic(struct platform *platform)
{
	u32 count = __atomic_load_n(&platform->batch_count, __ATOMIC_RELAXED);

	if (count <= PLATFORM_COM1_BATCH)
		(void)print(platform, platform->batch, count);
}

void platform_hand_over_batch(struct platform *platform)
{
	spin_lock(&platform->lock);
	platform_send_com1(platform);
	settle_com1(platform, UART_OTHER_ACCESS);
	spin_unlock(&platform->lock);
}

static u8 read_com1(struct platform *platform, u32 index)
{
	struct platform_devices *devices = &platform->devices;
	u8 value = uart_read(&devices->com1, index);

	if (index == 0) {
		uart_was_read(&devices->com1, devices->now_ns);
		platform_settle_due(platform);
	}
	settle_com1(platform, UART_OTHER_ACCESS);
	return value;
}

static void write_com1(struct platform *platform, u32 index, u8 value)
{
	uart_write(&platform->devices.com1, index, value);
	platform_send_com1(platform);
	settle_com1(platform, index ? UART_OTHER_ACCESS : UART_THR_WRITTEN);
}

/* The same, but what is printed is collected. */
static void write_or_collect_com1(struct platform *platform, u32 index,
				  u8 value)
{
	u32 count = platform->batch_count;

	if (index || count == PLATFORM_COM1_BATCH ||
	    !uart_pass(&platform->devices.com1)) {
		write_com1(platform, index, value);
		return;
	}
	platform->batch[count] = value;
	set_batch_count(platform, count + 1);
	if (count + 1 == PLATFORM_COM1_BATCH)
		platform_send_com1(platform);
	settle_com1(platform, UART_THR_WRITTEN);
}

u8 platform_com1_read(struct platform *platform, u32 index)
{
	u8 value;

	spin_lock(&platform->lock);
	value = read_com1(platform, index);
	spin_unlock(&platform->lock);
	return value;
}

void platform_com1_write(struct platform *platform, u32 index, u8 value)
{
	spin_lock(&platform->lock);
	write_or_collect_com1(platform, index, value);
	spin_unlock(&platform->lock);
}

/* What the guest has printed before comes before. */
static void end(struct platform *platform, enum platform_end how, u32 value)
{
	platform_send_com1(platform);
	settle_com1(platform, UART_OTHER_ACCESS);
	platform->config.host->end(platform->config.host_context, how, value);
}

/* --- Registers of one byte ------------------------------------------------
 *
 * Each settles what it can change, and nothing else: other devices are as they were.
 */

static enum pic_chip pic_chip_of(u16 port)
{
	return port < PIC_SLAVE_PORT ? PIC_MASTER : PIC_SLAVE;
}

static u8 read_pic(struct platform *platform, u16 port)
{
	u8 value =
	    pic_read(&platform->devices.pic, pic_chip_of(port), port & 1);

	platform_settle_pic(platform);
	return value;
}

static void write_pic(struct platform *platform, u16 port, u8 value)
{
	pic_write(&platform->devices.pic, pic_chip_of(port), port & 1, value);
	platform_settle_pic(platform);
}

static enum pic_chip elcr_chip_of(u16 port)
{
	return port == ELCR_PORT ? PIC_MASTER : PIC_SLAVE;
}

static void write_elcr(struct platform *platform, u16 port, u8 value)
{
	pic_write_elcr(&platform->devices.pic, elcr_chip_of(port), value);
	platform_settle_pic(platform);
}

static void write_pit(struct platform *platform, u16 port, u8 value)
{
	struct platform_devices *devices = &platform->devices;

	/* An edge that is due comes before what is written. */
	if (pit_take_edge(&devices->pit, devices->now_ns)) {
		platform_pulse_pit(platform);
		platform_settle_ioapic(platform);
		platform_settle_pic(platform);
	}
	pit_write(&devices->pit, port - PIT_PORT, value, devices->now_ns);
	platform_settle_due(platform);
}

static u8 read_rtc(struct platform *platform, u16 port)
{
	u8 value = rtc_read(&platform->devices.rtc, port - RTC_PORT,
			    platform->devices.now_ns);

	platform_settle(platform);
	return value;
}

static void write_rtc(struct platform *platform, u16 port, u8 value)
{
	rtc_write(&platform->devices.rtc, port - RTC_PORT, value,
		  platform->devices.now_ns);
	platform_settle(platform);
}

static int read_byte(struct platform *platform, u16 port)
{
	struct platform_devices *devices = &platform->devices;
	u64 now_ns = devices->now_ns;

	switch (port) {
	case COM1_PORT ... COM1_PORT + UART_PORTS - 1:
		return read_com1(platform, port - COM1_PORT);
	case PIC_MASTER_PORT ... PIC_MASTER_PORT + 1:
	case PIC_SLAVE_PORT ... PIC_SLAVE_PORT + 1:
		return read_pic(platform, port);
	case ELCR_PORT ... ELCR_PORT + 1:
		return pic_read_elcr(&devices->pic, elcr_chip_of(port));
	case PIT_PORT ... PIT_PORT + 3:
		return pit_read(&devices->pit, port - PIT_PORT, now_ns);
	case PORT61:
		return pit_read_port61(&devices->pit, now_ns);
	case RTC_PORT ... RTC_PORT + 1:
		return read_rtc(platform, port);
	case I8042_DATA:
		return i8042_read_data(&devices->i8042);
	case I8042_COMMAND:
		return i8042_read_status(&devices->i8042);
	case PORT92:
		return devices->port92 | PORT92_A20;
	case RESET_PORT:
		return devices->reset_control;
	default:
		return NOBODY;
	}
}

static void write_i8042(struct platform *platform, u16 port, u8 value)
{
	struct i8042_state *i8042 = &platform->devices.i8042;
	enum i8042_effect effect = port == I8042_COMMAND
				       ? i8042_write_command(i8042, value)
				       : i8042_write_data(i8042, value);

	if (effect == I8042_RESET_MACHINE)
		end(platform, PLATFORM_RESET, 0);
}

static void write_port92(struct platform *platform, u8 value)
{
	u8 before = platform->devices.port92;

	platform->devices.port92 = value;
	if (value & ~before & PORT92_RESET)
		end(platform, PLATFORM_RESET, 0);
}

static void write_reset_control(struct platform *platform, u8 value)
{
	u8 before = platform->devices.reset_control;

	platform->devices.reset_control = value & RESET_BITS;
	if (value & ~before & RESET_CPU)
		end(platform, PLATFORM_RESET, 0);
}

enum answer { ANSWERED, NOT_ANSWERED };

static enum answer write_byte(struct platform *platform, u16 port, u8 value)
{
	switch (port) {
	case COM1_PORT ... COM1_PORT + UART_PORTS - 1:
		write_com1(platform, port - COM1_PORT, value);
		return ANSWERED;
	case PIC_MASTER_PORT ... PIC_MASTER_PORT + 1:
	case PIC_SLAVE_PORT ... PIC_SLAVE_PORT + 1:
		write_pic(platform, port, value);
		return ANSWERED;
	case ELCR_PORT ... ELCR_PORT + 1:
		write_elcr(platform, port, value);
		return ANSWERED;
	case PIT_PORT ... PIT_PORT + 3:
		write_pit(platform, port, value);
		return ANSWERED;
	case PORT61:
		pit_write_port61(&platform->devices.pit, value,
				 platform->devices.now_ns);
		return ANSWERED;
	case RTC_PORT ... RTC_PORT + 1:
		write_rtc(platform, port, value);
		return ANSWERED;
	case I8042_DATA:
	case I8042_COMMAND:
		write_i8042(platform, port, value);
		return ANSWERED;
	case PORT92:
		write_port92(platform, value);
		return ANSWERED;
	case RESET_PORT:
		write_reset_control(platform, value);
		return ANSWERED;
	default:
		return NOT_ANSWERED;
	}
}

/* --- Registers that see an access whole ----------------------------------- */

static bool is_whole(struct platform *platform, u16 port, u32 bytes)
{
	switch (port) {
	case PCI_ADDRESS:
		return bytes == 4;
	case PCI_DATA ... PCI_DATA + 3:
	case DEBUG_EXIT_PORT ... DEBUG_EXIT_PORT + 3:
	case PLATFORM_PM_PORT ... PLATFORM_PM_PORT + ACPI_PM_PORTS - 1:
		return true;
	default:
		return platform_pci_claims_port(platform, port);
	}
}

static u32 read_whole(struct platform *platform, u16 port, u32 bytes)
{
	switch (port) {
	case DEBUG_EXIT_PORT ... DEBUG_EXIT_PORT + 3:
		return 0;
	case PLATFORM_PM_PORT ... PLATFORM_PM_PORT + ACPI_PM_PORTS - 1:
		return acpi_pm_read(&platform->devices.pm,
				    port - PLATFORM_PM_PORT,
				    platform->devices.now_ns);
	case PCI_ADDRESS:
		return platform_pci_address(platform);
	case PCI_DATA ... PCI_DATA + 3:
		return platform_pci_config_read(platform, port - PCI_DATA,
						bytes);
	default:
		return ~0U;
	}
}

static void write_whole(struct platform *platform,
			const struct platform_access *access, u16 port,
			u32 value)
{
	switch (port) {
	case DEBUG_EXIT_PORT ... DEBUG_EXIT_PORT + 3:
		end(platform, PLATFORM_EXIT_CODE, value);
		break;
	case PLATFORM_PM_PORT ... PLATFORM_PM_PORT + ACPI_PM_PORTS - 1:
		if (acpi_pm_write(&platform->devices.pm,
				  port - PLATFORM_PM_PORT, access->bytes,
				  value) == ACPI_PM_POWER_OFF)
			end(platform, PLATFORM_POWER_OFF, 0);
		break;
	case PCI_ADDRESS:
		platform_pci_set_address(platform, value);
		break;
	case PCI_DATA ... PCI_DATA + 3:
		platform_pci_config_write(platform, port - PCI_DATA,
					  access->bytes, value);
		break;
	default:
		platform_pci_notify(platform);
		break;
	}
}

/* --- Dispatch ------------------------------------------------------------- */

/* One line per second of guest time at most, however much a guest tries. */
void platform_note_unclaimed(struct platform *platform,
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

static u32 read_bytes(struct platform *platform,
		      const struct platform_access *access, u16 port)
{
	u32 value = 0;
	u32 absent = 0;

	for (u32 i = 0; i < access->bytes; i++) {
		int byte = read_byte(platform, (u16)(port + i));

		absent += byte == NOBODY;
		value |= ((u32)byte & 0xff) << i * 8;
	}
	if (absent == access->bytes)
		platform_note_unclaimed(platform, access, "read from port",
					port);
	return value;
}

static void write_bytes(struct platform *platform,
			const struct platform_access *access, u16 port,
			u32 value)
{
	u32 absent = 0;

	for (u32 i = 0; i < access->bytes; i++)
		absent += write_byte(platform, (u16)(port + i),
				     (u8)(value >> i * 8)) == NOT_ANSWERED;
	if (absent == access->bytes)
		platform_note_unclaimed(platform, access, "write to port",
					port);
}

u32 platform_port_read(struct platform *platform,
		       const struct platform_access *access, u16 port)
{
	u32 ones = (u32)platform_all_ones(access->bytes);
	u32 value;

	CHECK(access->bytes == 1 || access->bytes == 2 || access->bytes == 4);
	if (port == POST_PORT)
		return ones;
	spin_lock(&platform->lock);
	platform_advance(platform, access->now_ns);
	if (is_whole(platform, port, access->bytes)) {
		value = read_whole(platform, port, access->bytes);
		platform_settle(platform);
	} else {
		value = read_bytes(platform, access, port);
	}
	spin_unlock(&platform->lock);
	return value & ones;
}

void platform_port_write(struct platform *platform,
			 const struct platform_access *access, u16 port,
			 u32 value)
{
	CHECK(access->bytes == 1 || access->bytes == 2 || access->bytes == 4);
	value &= (u32)platform_all_ones(access->bytes);
	if (port == POST_PORT)
		return;
	spin_lock(&platform->lock);
	platform_advance(platform, access->now_ns);
	if (is_whole(platform, port, access->bytes)) {
		write_whole(platform, access, port, value);
		platform_settle(platform);
	} else {
		write_bytes(platform, access, port, value);
	}
	spin_unlock(&platform->lock);
}
