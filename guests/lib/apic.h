/* SPDX-License-Identifier: MIT */
/*
 * The local APIC, in x2APIC mode where there is one, else memory-mapped.
 *
 * Registers have the numbers of x2APIC mode: the MSR is 0x800 + number, the
 * memory address 0xfee00000 + 16 * number. The word `apic=x` on the command
 * line asks for the memory-mapped mode.
 */
#ifndef GUESTS_LIB_APIC_H
#define GUESTS_LIB_APIC_H

#include "lib/types.h"

enum apic_mode {
	APIC_NONE,
	APIC_XAPIC,
	APIC_X2APIC,
};

enum apic_register {
	APIC_ID = 0x02,
	APIC_VERSION = 0x03,
	APIC_TPR = 0x08,
	APIC_EOI = 0x0b,
	APIC_SVR = 0x0f,
	APIC_ESR = 0x28,
	APIC_ICR = 0x30,
	APIC_ICR_HIGH = 0x31, /* not in x2APIC mode */
	APIC_LVT_TIMER = 0x32,
	APIC_LVT_LINT0 = 0x35,
	APIC_LVT_LINT1 = 0x36,
	APIC_LVT_ERROR = 0x37,
	APIC_TIMER_INITIAL = 0x38,
	APIC_TIMER_CURRENT = 0x39,
	APIC_TIMER_DIVIDE = 0x3e,
};

#define APIC_LVT_MASKED         (1u << 16)
#define APIC_TIMER_PERIODIC     (1u << 17)
#define APIC_TIMER_TSC_DEADLINE (2u << 17)
#define APIC_DIVIDE_BY_1        0xbu

/* Switches the APIC of the CPU that calls on, all its sources masked. */
void apic_init_cpu(void);

enum apic_mode apic_mode(void);
const char *apic_mode_text(void);

u32 apic_read(enum apic_register number);
void apic_write(enum apic_register number, u32 value);

u32 apic_id(void);
void apic_end_of_interrupt(void);

void apic_send(u32 apic_id, u8 vector);
void apic_send_nmi(u32 apic_id);

/* To all CPUs but the one that calls. */
void apic_broadcast(u8 vector);
void apic_broadcast_init(void);
void apic_broadcast_sipi(u32 code_address);

#endif
