/* SPDX-License-Identifier: MIT */
/* A 16550 UART at the address of COM1: see console.h. */
#include <stdarg.h>

#include "guests/lib/console.h"
#include "guests/lib/cpu.h"
#include "lib/fmt.h"
#include "lib/spinlock.h"

#define COM1           0x3f8
#define UART_DATA      (COM1 + 0)
#define UART_IER       (COM1 + 1)
#define UART_FCR       (COM1 + 2)
#define UART_IIR       (COM1 + 2)
#define UART_LCR       (COM1 + 3)
#define UART_MCR       (COM1 + 4)
#define UART_LSR       (COM1 + 5)

#define FCR_ENABLE     0x01
#define FCR_CLEAR      0x06
#define FCR_TRIGGER_14 0xc0
#define IIR_FIFO       0xc0
#define LCR_8N1        0x03
#define LCR_DLAB       0x80
#define MCR_DTR_RTS    0x03
#define LSR_THRE       0x20
#define LSR_TEMT       0x40

#define FIFO_BYTES     16

/* A UART that never gets ready is left alone: the guest goes on silently. */
#define READY_POLLS    10000000u

static struct spinlock lock;
static u32 burst_bytes = 1;
static bool is_dead;

void console_init(void)
{
	out8(UART_IER, 0);
	out8(UART_LCR, LCR_DLAB);
	out8(UART_DATA, 1); /* divisor 1: 115200 baud */
	out8(UART_IER, 0);
	out8(UART_LCR, LCR_8N1);
	out8(UART_MCR, MCR_DTR_RTS);
	out8(UART_FCR, FCR_ENABLE | FCR_CLEAR | FCR_TRIGGER_14);
	if ((in8(UART_IIR) & IIR_FIFO) == IIR_FIFO)
		burst_bytes = FIFO_BYTES;
}

static void wait_for(u8 status)
{
	for (u32 poll = 0; !is_dead; poll++) {
		if (in8(UART_LSR) & status)
			return;
		if (poll == READY_POLLS)
			is_dead = true;
	}
}

/* With THRE set the whole FIFO is free. */
static void put_bytes(const char *text, size_t length)
{
	for (size_t i = 0; i < length && !is_dead; i++) {
		if (i % burst_bytes == 0)
			wait_for(LSR_THRE);
		out8(UART_DATA, (u8)text[i]);
	}
}

/* An interrupt handler may print: it must not meet its own CPU's lock. */
static bool take_lock(void)
{
	u64 rflags;

	__asm__ volatile("pushfq\n\tpopq %0\n\tcli" : "=r"(rflags)::"memory");
	spin_lock(&lock);
	return rflags & (1 << 9);
}

static void release_lock(bool interrupts_were_on)
{
	spin_unlock(&lock);
	if (interrupts_were_on)
		interrupts_on();
}

void console_write(const char *text, size_t length)
{
	bool were_on = take_lock();

	put_bytes(text, length);
	release_lock(were_on);
}

static size_t format_line(char *line, size_t line_bytes, const char *format,
			  va_list args) PRINTF(3, 0);
static size_t format_line(char *line, size_t line_bytes, const char *format,
			  va_list args)
{
	size_t length = fmt_va(line, line_bytes, format, args);

	return length < line_bytes ? length : line_bytes - 1;
}

void print(const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	size_t length = format_line(line, sizeof(line), format, args);
	va_end(args);
	console_write(line, length);
}

void print_emergency(const char *format, ...)
{
	static char text[1001];
	va_list args;

	va_start(args, format);
	size_t length = format_line(text, sizeof(text), format, args);
	va_end(args);
	put_bytes(text, length);
}

void console_drain(void)
{
	wait_for(LSR_TEMT);
}
