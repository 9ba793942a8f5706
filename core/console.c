/* SPDX-License-Identifier: MIT */
/* The serial console and its multiplexing. */
#include "core/console.h"
#include "core/guests.h"
#include "core/monitor.h"
#include "core/sched.h"
#include "drivers/serial.h"
#include "lib/fmt.h"
#include "lib/spinlock.h"
#include "lib/string.h"

#define RS            0x1e
#define RS_RECORD     '!'
#define RS_CHANNEL_0  '@'
#define CHANNELS      32 /* '@' to '_' */
#define RECORD_BYTES  256
#define INPUT_AT_ONCE 64
#define NO_CHANNEL    UINT32_MAX

static struct serial serial;
static struct spinlock lock;
static enum console_mode mode = CONSOLE_COM1;

static u32 output_channel = NO_CHANNEL; /* who wrote last */
static bool at_line_start = true;       /* of the plain terminal */
static u32 plain_input = CONSOLE_UMBRA;

/* The input decoder's state; used by console_poll_input() only. */
static u32 input_channel = CONSOLE_UMBRA;
static bool input_after_rs;

void console_init(void)
{
	/* Without a UART there is nobody to tell. */
	(void)serial_init(&serial, UART_COM1_PORT);
}

void console_set_mode(enum console_mode new_mode)
{
	spin_lock(&lock);
	mode = new_mode;
	output_channel = NO_CHANNEL;
	spin_unlock(&lock);
}

void console_use_interrupts(void)
{
	serial_use_interrupts(&serial);
}

static void put(const u8 *bytes, size_t count)
{
	serial_write(&serial, bytes, count);
}

static void select_channel(u32 channel)
{
	u8 select[2] = {RS, (u8)(RS_CHANNEL_0 + channel)};

	if (channel == output_channel)
		return;
	if (mode == CONSOLE_MUX)
		put(select, sizeof(select));
	else if (!at_line_start)
		put((const u8 *)"\r\n", 2);
	output_channel = channel;
}

static void write_mux(const u8 *bytes, size_t count)
{
	size_t start = 0;

	for (size_t i = 0; i < count; i++) {
		if (bytes[i] != RS)
			continue;
		put(bytes + start, i + 1 - start);
		start = i; /* the RS goes out once more with what follows */
	}
	put(bytes + start, count - start);
}

/* Umbra's own lines end in LF; a terminal wants CR LF. */
static void write_plain(u32 channel, const u8 *bytes, size_t count)
{
	size_t start = 0;

	for (size_t i = 0; channel == CONSOLE_UMBRA && i < count; i++) {
		if (bytes[i] != '\n')
			continue;
		put(bytes + start, i - start);
		put((const u8 *)"\r", 1);
		start = i;
	}
	put(bytes + start, count - start);
	if (count)
		at_line_start = bytes[count - 1] == '\n';
}

void console_write(u32 channel, const u8 *bytes, size_t count)
{
	spin_lock(&lock);
	select_channel(channel);
	if (mode == CONSOLE_MUX)
		write_mux(bytes, count);
	else
		write_plain(channel, bytes, count);
	spin_unlock(&lock);
}

void console_record(const char *format, ...)
{
	char text[RECORD_BYTES] = {RS, RS_RECORD};
	va_list args;
	size_t length;

	va_start(args, format);
	length = fmt_va(text + 2, sizeof(text) - 3, format, args);
	va_end(args);
	if (length > sizeof(text) - 4)
		length = sizeof(text) - 4;
	text[2 + length] = '\n';
	spin_lock(&lock);
	if (mode == CONSOLE_MUX)
		put((const u8 *)text, length + 3);
	spin_unlock(&lock);
}

static void deliver_input(u32 channel, u8 byte)
{
	if (channel == CONSOLE_UMBRA)
		monitor_input(byte);
	else
		guests_console_input(channel - 1, &byte, 1);
}

/* A person is shown that the monitor listens. */
static void select_input(u32 channel)
{
	if (mode == CONSOLE_MUX)
		input_channel = channel;
	else if (channel == CONSOLE_UMBRA)
		monitor_prompt();
	else
		plain_input = channel;
}

static void decode_input(u8 byte)
{
	if (!input_after_rs && byte == RS) {
		input_after_rs = true;
		return;
	}
	if (!input_after_rs || byte == RS)
		deliver_input(mode == CONSOLE_MUX ? input_channel : plain_input,
			      byte);
	else if (byte >= RS_CHANNEL_0 && byte < RS_CHANNEL_0 + CHANNELS)
		select_input(byte - RS_CHANNEL_0);
	input_after_rs = false;
}

void console_poll_input(void)
{
	u8 bytes[INPUT_AT_ONCE];
	size_t count;

	if (!serial.interrupts)
		serial_poll(&serial);
	count = serial_read(&serial, bytes, sizeof(bytes));
	for (size_t i = 0; i < count; i++)
		decode_input(bytes[i]);
}

void console_set_plain_input(u32 channel)
{
	plain_input = channel;
}

void console_interrupt(u32 vector)
{
	(void)vector;
	serial_poll(&serial);
	/* What was typed is for the loop of the CPU that we interrupted. */
	if (serial_has_input(&serial))
		sched_poke_this_cpu();
}

bool console_has_interrupt(void)
{
	return serial.interrupts;
}

void console_flush(void)
{
	serial_flush(&serial);
}

void console_break_locks(void)
{
	__atomic_store_n(&lock.owner,
			 __atomic_load_n(&lock.next, __ATOMIC_RELAXED),
			 __ATOMIC_RELEASE);
	serial_break_lock(&serial);
}
