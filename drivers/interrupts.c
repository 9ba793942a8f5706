/* SPDX-License-Identifier: MIT */
/* The 8259 pair and the I/O APICs of the machine itself. */
#include "drivers/interrupts.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/paging.h"
#include "lib/bits.h"
#include "lib/check.h"
#include "mm/phys.h"

#define PIC_MASTER_COMMAND  0x20
#define PIC_MASTER_DATA     0x21
#define PIC_SLAVE_COMMAND   0xa0
#define PIC_SLAVE_DATA      0xa1
#define PIC_ICW1_INIT       0x11
#define PIC_ICW4_8086       0x01
#define PIC_VECTOR_BASE     0x20

#define IOAPIC_MAX          16
#define IOAPIC_SELECT       0x00
#define IOAPIC_WINDOW       0x10
#define IOAPIC_VERSION      0x01
#define IOAPIC_REDIRECT_0   0x10

#define REDIRECT_LOW_ACTIVE BIT(13)
#define REDIRECT_LEVEL      BIT(15)
#define REDIRECT_MASKED     BIT(16)

struct ioapic {
	hpa_t base;
	u32 gsi_base;
	u32 pin_count;
};

static struct ioapic ioapics[IOAPIC_MAX];
static u32 ioapic_count;

void interrupts_silence_pic(void)
{
	/* Initialise first, so that a stray interrupt hits no exception. */
	insn_out8(PIC_MASTER_COMMAND, PIC_ICW1_INIT);
	insn_out8(PIC_SLAVE_COMMAND, PIC_ICW1_INIT);
	insn_out8(PIC_MASTER_DATA, PIC_VECTOR_BASE);
	insn_out8(PIC_SLAVE_DATA, PIC_VECTOR_BASE + 8);
	insn_out8(PIC_MASTER_DATA, BIT(2)); /* the slave is at input 2 */
	insn_out8(PIC_SLAVE_DATA, 2);
	insn_out8(PIC_MASTER_DATA, PIC_ICW4_8086);
	insn_out8(PIC_SLAVE_DATA, PIC_ICW4_8086);
	insn_out8(PIC_MASTER_DATA, 0xff);
	insn_out8(PIC_SLAVE_DATA, 0xff);
}

static u32 ioapic_read(const struct ioapic *ioapic, u32 index)
{
	volatile u32 *registers = phys_ptr(ioapic->base);

	registers[IOAPIC_SELECT / 4] = index;
	return registers[IOAPIC_WINDOW / 4];
}

static void ioapic_write(const struct ioapic *ioapic, u32 index, u32 value)
{
	volatile u32 *registers = phys_ptr(ioapic->base);

	registers[IOAPIC_SELECT / 4] = index;
	registers[IOAPIC_WINDOW / 4] = value;
}

enum err interrupts_add_ioapic(hpa_t base, u32 gsi_base)
{
	struct ioapic *ioapic = &ioapics[ioapic_count];

	if (ioapic_count == IOAPIC_MAX)
		return ERR_NO_MEMORY;
	paging_map_device(base, PAGE_4K);
	ioapic->base = base;
	ioapic->gsi_base = gsi_base;
	ioapic->pin_count =
	    (u32)bits_get(ioapic_read(ioapic, IOAPIC_VERSION), BITS(23, 16)) +
	    1;
	for (u32 pin = 0; pin < ioapic->pin_count; pin++)
		ioapic_write(ioapic, IOAPIC_REDIRECT_0 + 2 * pin,
			     (u32)REDIRECT_MASKED);
	ioapic_count++;
	return OK;
}

enum err interrupts_route(const struct interrupt_route *route)
{
	u64 low = route->vector;

	if (route->polarity == INTERRUPT_ACTIVE_LOW)
		low |= REDIRECT_LOW_ACTIVE;
	if (route->trigger == INTERRUPT_LEVEL)
		low |= REDIRECT_LEVEL;
	for (u32 i = 0; i < ioapic_count; i++) {
		const struct ioapic *ioapic = &ioapics[i];
		u32 pin = route->gsi - ioapic->gsi_base;

		if (route->gsi < ioapic->gsi_base || pin >= ioapic->pin_count)
			continue;
		ioapic_write(ioapic, IOAPIC_REDIRECT_0 + 2 * pin + 1,
			     route->apic_id << 24);
		ioapic_write(ioapic, IOAPIC_REDIRECT_0 + 2 * pin, (u32)low);
		return OK;
	}
	return ERR_NOT_FOUND;
}
