/* SPDX-License-Identifier: MIT */
/*
 * The two 8259A interrupt controllers of a PC (Intel 8259A data sheet), slave
 * at input 2 of the master, with the ELCR registers that make inputs
 * level-triggered one by one.
 */
#ifndef DEVICES_PIC_H
#define DEVICES_PIC_H

#include "lib/bits.h"
#include "lib/types.h"

enum pic_chip { PIC_MASTER, PIC_SLAVE };

/* Register and bit names are the data sheet's. */
struct pic_chip_state {
	u8 irr;
	u8 imr;
	u8 isr;
	u8 lines;      /* inputs as they are now */
	u8 elcr;       /* inputs that are level-triggered */
	u8 level_all;  /* ICW1 LTIM: all inputs are */
	u8 base;       /* ICW2: vector of input 0 */
	u8 expects;    /* the ICW that comes next at the odd port, or 0 */
	u8 wants_icw4; /* ICW1 IC4 */
	u8 single;     /* ICW1 SNGL */
	u8 lowest;     /* the input that has the lowest priority */
	u8 auto_eoi;
	u8 auto_rotate;
	u8 special_mask;
	u8 special_nested;
	u8 read_isr; /* OCW3: the even port reads ISR, else IRR */
	u8 poll;     /* OCW3: the next read is a poll */
};

struct pic_state {
	struct pic_chip_state chips[2];
};

/* As a PC's firmware leaves them: vectors 8 and 70H, everything masked. */
void pic_reset(struct pic_state *pic);

/* `port` is 0 or 1: the even or the odd one of the chip. */
u8 pic_read(struct pic_state *pic, enum pic_chip which, u32 port);
void pic_write(struct pic_state *pic, enum pic_chip which, u32 port, u8 value);

u8 pic_read_elcr(const struct pic_state *pic, enum pic_chip which);
void pic_write_elcr(struct pic_state *pic, enum pic_chip which, u8 value);

enum pic_line { PIC_LOW, PIC_HIGH };

/* Inputs 0 to 15; 2 is the slave's and cannot be set. */
void pic_set_line(struct pic_state *pic, u32 input, enum pic_line line);

/* Has this input asked for service that it has not got yet, masked or not? */
bool pic_is_requested(const struct pic_state *pic, u32 input);

/* The INTR output of the master. */
bool pic_interrupt(const struct pic_state *pic);

/*
 * The CPU acknowledges: the vector, now in service. When the request has gone
 * meanwhile, input 7 answers for it, as in the data sheet.
 */
u8 pic_acknowledge(struct pic_state *pic);

#endif
