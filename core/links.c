/* SPDX-License-Identifier: MIT */
/* Choosing and opening the link: see core/links.h. */
#include "core/links.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/traps.h"
#include "core/machine.h"
#include "drivers/interrupts.h"
#include "drivers/uart_link.h"
#include "lib/log.h"

#define VECTOR_LINK (VECTOR_FIRST_DEVICE + 1)

static struct uart_link uart;

static void on_uart_interrupt(u32 vector)
{
	(void)vector;
	serial_poll(&uart.serial);
}

static struct link *open_uart(void)
{
	struct interrupt_route route = machine_isa_route(UART_COM2_IRQ);

	if (uart_link_init(&uart, UART_COM2_PORT) != OK) {
		log_error("link=uart: there is no UART at COM2 (port %x)",
			  UART_COM2_PORT);
		return NULL;
	}
	route.vector = VECTOR_LINK;
	route.apic_id = cpus[0].apic_id;
	interrupt_set_handler(VECTOR_LINK, on_uart_interrupt);
	if (interrupts_route(&route) == OK)
		serial_use_interrupts(&uart.serial);
	else
		log_warn("link=uart: no interrupt; the link is polled");
	return &uart.link;
}

struct link *links_open(const struct options *options)
{
	switch (options->link) {
	case LINK_KIND_UART:
		return open_uart();
	case LINK_KIND_NONE:
		break;
	}
	return NULL;
}
