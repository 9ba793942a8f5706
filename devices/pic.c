/* SPDX-License-Identifier: MIT */
/* See devices/pic.h. */
#include "devices/pic.h"
#include "lib/string.h"

#define CASCADE_INPUT     2
#define SPURIOUS_INPUT    7
#define NO_INPUT          8

#define ICW1              BIT(4)
#define ICW1_IC4          BIT(0)
#define ICW1_SNGL         BIT(1)
#define ICW1_LTIM         BIT(3)
#define ICW2_BASE         BITS(7, 3)
#define ICW4_AEOI         BIT(1)
#define ICW4_SFNM         BIT(4)

#define OCW3              BIT(3)
#define OCW3_READ         BITS(1, 0) /* 2: IRR, 3: ISR */
#define OCW3_POLL         BIT(2)
#define OCW3_SPECIAL_MASK BITS(6, 5) /* 2: off, 3: on */
#define OCW2_INPUT        BITS(2, 0)
#define OCW2_COMMAND      BITS(7, 5)

#define POLL_INTERRUPT    BIT(7)

/* OCW2 commands: rotate, specific, EOI are its bits 7 to 5. */
enum ocw2 {
	ROTATE_IN_AEOI_CLEAR = 0,
	EOI = 1,
	SPECIFIC_EOI = 3,
	ROTATE_IN_AEOI_SET = 4,
	ROTATE_ON_EOI = 5,
	SET_PRIORITY = 6,
	ROTATE_ON_SPECIFIC_EOI = 7,
};

/* Inputs that can be level-triggered: not the timer, keyboard, cascade, RTC. */
static const u8 elcr_mask[] = {[PIC_MASTER] = 0xf8, [PIC_SLAVE] = 0xde};

/* `set` without the inputs in `removed`. */
static u8 without(u8 set, u8 removed)
{
	return (u8)(set & ~removed);
}

static u8 bit_of(u32 input)
{
	return (u8)(1U << input % 8);
}

/* --- Priorities ----------------------------------------------------------- */

/* The input of highest priority in `inputs`, or NO_INPUT. */
static u32 highest(const struct pic_chip_state *chip, u8 inputs)
{
	for (u32 i = 1; i <= 8; i++)
		if (inputs >> ((chip->lowest + i) % 8) & 1)
			return (chip->lowest + i) % 8;
	return NO_INPUT;
}

/* How far an input is from the top: 0 is the highest priority, 8 none. */
static u32 rank(const struct pic_chip_state *chip, u32 input)
{
	return input == NO_INPUT ? 8 : (input - chip->lowest - 1) % 8;
}

/*
 * What in service holds requests back. Special mask mode ignores masked
 * inputs; in special fully nested mode the master ignores its slave, so that
 * higher requests of the same slave come through.
 */
static u8 blocking(const struct pic_chip_state *chip, enum pic_chip which)
{
	u8 service = chip->isr;

	if (chip->special_mask)
		service = without(service, chip->imr);
	if (chip->special_nested && which == PIC_MASTER)
		service = without(service, bit_of(CASCADE_INPUT));
	return service;
}

/* The input that the chip requests service for, or NO_INPUT. */
static u32 request(const struct pic_chip_state *chip, enum pic_chip which,
		   u8 irr)
{
	u8 requests = without(irr, chip->imr);
	u32 input, service;

	if (likely(!requests))
		return NO_INPUT;
	input = highest(chip, requests);
	service = highest(chip, blocking(chip, which));

	return rank(chip, input) < rank(chip, service) ? input : NO_INPUT;
}

static u32 slave_request(const struct pic_state *pic)
{
	const struct pic_chip_state *slave = &pic->chips[PIC_SLAVE];

	return request(slave, PIC_SLAVE, slave->irr);
}

/* The master's input 2 follows the slave's output. */
static u8 master_irr(const struct pic_state *pic)
{
	u8 irr = without(pic->chips[PIC_MASTER].irr, bit_of(CASCADE_INPUT));

	if (slave_request(pic) != NO_INPUT)
		irr |= bit_of(CASCADE_INPUT);
	return irr;
}

static u32 master_request(const struct pic_state *pic)
{
	return request(&pic->chips[PIC_MASTER], PIC_MASTER, master_irr(pic));
}

bool pic_interrupt(const struct pic_state *pic)
{
	return master_request(pic) != NO_INPUT;
}

bool pic_is_requested(const struct pic_state *pic, u32 input)
{
	return pic->chips[input / 8 % 2].irr & bit_of(input);
}

/* --- Lines ---------------------------------------------------------------- */

static u8 level_inputs(const struct pic_chip_state *chip)
{
	return chip->level_all ? 0xff : chip->elcr;
}

void pic_set_line(struct pic_state *pic, u32 input, enum pic_line line)
{
	struct pic_chip_state *chip = &pic->chips[input / 8 % 2];
	u8 bit = bit_of(input);

	if (input >= 16 || input == CASCADE_INPUT)
		return;
	if (line == PIC_HIGH) {
		if (!(chip->lines & bit) || (level_inputs(chip) & bit))
			chip->irr |= bit;
		chip->lines |= bit;
	} else {
		if (level_inputs(chip) & bit)
			chip->irr = without(chip->irr, bit);
		chip->lines = without(chip->lines, bit);
	}
}

/* --- Acknowledge ---------------------------------------------------------- */

static void serve(struct pic_chip_state *chip, u32 input)
{
	u8 bit = bit_of(input);

	if (!(level_inputs(chip) & bit))
		chip->irr = without(chip->irr, bit);
	if (!chip->auto_eoi)
		chip->isr |= bit;
	else if (chip->auto_rotate)
		chip->lowest = (u8)input;
}

static u8 acknowledge_slave(struct pic_state *pic)
{
	struct pic_chip_state *slave = &pic->chips[PIC_SLAVE];
	u32 input = slave_request(pic);

	if (input == NO_INPUT)
		input = SPURIOUS_INPUT;
	else
		serve(slave, input);
	return (u8)(slave->base + input);
}

u8 pic_acknowledge(struct pic_state *pic)
{
	struct pic_chip_state *master = &pic->chips[PIC_MASTER];
	u32 input = master_request(pic);

	if (input == NO_INPUT)
		return (u8)(master->base + SPURIOUS_INPUT);
	serve(master, input);
	if (input == CASCADE_INPUT)
		return acknowledge_slave(pic);
	return (u8)(master->base + input);
}

/* A poll is an acknowledge by the chip that is read, without the other. */
static u8 poll(struct pic_state *pic, enum pic_chip which)
{
	struct pic_chip_state *chip = &pic->chips[which];
	u32 input =
	    which == PIC_MASTER ? master_request(pic) : slave_request(pic);

	chip->poll = 0;
	if (input == NO_INPUT)
		return 0;
	serve(chip, input);
	return (u8)(POLL_INTERRUPT | input);
}

/* --- Registers ------------------------------------------------------------ */

/* Edges have to come again; what is level-triggered is seen at once. */
static void initialise(struct pic_chip_state *chip, u8 icw1)
{
	chip->level_all = icw1 & ICW1_LTIM ? 1 : 0;
	chip->irr = chip->lines & level_inputs(chip);
	chip->imr = 0;
	chip->isr = 0;
	chip->lowest = 7;
	chip->auto_eoi = 0;
	chip->auto_rotate = 0;
	chip->special_mask = 0;
	chip->special_nested = 0;
	chip->read_isr = 0;
	chip->poll = 0;
	chip->single = icw1 & ICW1_SNGL ? 1 : 0;
	chip->wants_icw4 = icw1 & ICW1_IC4 ? 1 : 0;
	chip->expects = 2;
}

static void write_icw(struct pic_chip_state *chip, u8 value)
{
	switch (chip->expects) {
	case 2:
		chip->base = value & ICW2_BASE;
		chip->expects = chip->single ? chip->wants_icw4 * 4 : 3;
		break;
	case 3: /* where the slave is: wired, not chosen */
		chip->expects = chip->wants_icw4 * 4;
		break;
	default:
		chip->auto_eoi = value & ICW4_AEOI ? 1 : 0;
		chip->special_nested = value & ICW4_SFNM ? 1 : 0;
		chip->expects = 0;
		break;
	}
}

/* Ends what has the highest priority in service; returns it. */
static u32 end_highest(struct pic_chip_state *chip)
{
	u32 input = highest(chip, chip->isr);

	if (input != NO_INPUT)
		chip->isr = without(chip->isr, bit_of(input));
	return input;
}

static void write_ocw2(struct pic_chip_state *chip, u8 value)
{
	u8 input = value & OCW2_INPUT;
	u32 ended;

	switch ((enum ocw2)bits_get(value, OCW2_COMMAND)) {
	case ROTATE_IN_AEOI_CLEAR:
	case ROTATE_IN_AEOI_SET:
		chip->auto_rotate =
		    bits_get(value, OCW2_COMMAND) == ROTATE_IN_AEOI_SET;
		break;
	case EOI:
		end_highest(chip);
		break;
	case ROTATE_ON_EOI:
		ended = end_highest(chip);
		if (ended != NO_INPUT)
			chip->lowest = (u8)ended;
		break;
	case SPECIFIC_EOI:
		chip->isr = without(chip->isr, bit_of(input));
		break;
	case ROTATE_ON_SPECIFIC_EOI:
		chip->isr = without(chip->isr, bit_of(input));
		chip->lowest = input;
		break;
	case SET_PRIORITY:
		chip->lowest = input;
		break;
	default: /* 2 is no operation */
		break;
	}
}

static void write_ocw3(struct pic_chip_state *chip, u8 value)
{
	u64 read = bits_get(value, OCW3_READ);
	u64 mask = bits_get(value, OCW3_SPECIAL_MASK);

	if (value & OCW3_POLL)
		chip->poll = 1;
	if (read >= 2)
		chip->read_isr = read == 3;
	if (mask >= 2)
		chip->special_mask = mask == 3;
}

u8 pic_read(struct pic_state *pic, enum pic_chip which, u32 port)
{
	const struct pic_chip_state *chip = &pic->chips[which];

	if (chip->poll)
		return poll(pic, which);
	if (port)
		return chip->imr;
	if (chip->read_isr)
		return chip->isr;
	return which == PIC_MASTER ? master_irr(pic) : chip->irr;
}

void pic_write(struct pic_state *pic, enum pic_chip which, u32 port, u8 value)
{
	struct pic_chip_state *chip = &pic->chips[which];

	if (port && chip->expects)
		write_icw(chip, value);
	else if (port)
		chip->imr = value;
	else if (value & ICW1)
		initialise(chip, value);
	else if (value & OCW3)
		write_ocw3(chip, value);
	else
		write_ocw2(chip, value);
}

u8 pic_read_elcr(const struct pic_state *pic, enum pic_chip which)
{
	return pic->chips[which].elcr;
}

/* An input that becomes level-triggered requests what its line says. */
void pic_write_elcr(struct pic_state *pic, enum pic_chip which, u8 value)
{
	struct pic_chip_state *chip = &pic->chips[which];
	u8 changed = chip->elcr;

	chip->elcr = value & elcr_mask[which];
	changed ^= chip->elcr;
	chip->irr = without(chip->irr, changed);
	chip->irr |= chip->lines & changed & level_inputs(chip);
}

void pic_reset(struct pic_state *pic)
{
	memset(pic, 0, sizeof(*pic));
	pic->chips[PIC_MASTER].base = 0x08;
	pic->chips[PIC_SLAVE].base = 0x70;
	for (u32 i = 0; i < 2; i++) {
		pic->chips[i].imr = 0xff;
		pic->chips[i].lowest = 7;
	}
}
