/* SPDX-License-Identifier: MIT */
/* Choosing and opening the link: see core/links.h. */
#include "core/links.h"
#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/traps.h"
#include "arch/x86/cpu/tsc.h"
#include "core/machine.h"
#include "drivers/interrupts.h"
#include "drivers/net_link.h"
#include "drivers/rtc.h"
#include "drivers/uart_link.h"
#include "drivers/virtio_link.h"
#include "lib/log.h"
#include "migrate/link_fault.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"

#define VECTOR_LINK (VECTOR_FIRST_DEVICE + 1)
#define WAIT_NS     20000000 /* so late may a stream notice the time */

static struct uart_link uart;
static struct net_link net;
static struct virtio_link virtio;
static bool has_interrupt;

static void on_uart_interrupt(u32 vector)
{
	(void)vector;
	serial_poll(&uart.serial);
}

/* Another number each time, as far as this machine can tell. */
static u64 entropy(void)
{
	return rtc_seconds() << 32 ^ insn_rdtsc();
}

static u64 silence_ns(const struct link_options *options)
{
	return options->silence_seconds * 1000000000UL;
}

static struct link *open_uart(const struct link_options *options)
{
	struct interrupt_route route = machine_isa_route(UART_COM2_IRQ);
	const struct uart_link_config config = {
	    .port = UART_COM2_PORT,
	    .silence_ns = silence_ns(options),
	    .entropy = entropy(),
	};

	if (uart_link_init(&uart, &config) != OK) {
		log_error("link=uart: there is no UART at COM2 (port %x)",
			  UART_COM2_PORT);
		return NULL;
	}
	route.vector = VECTOR_LINK;
	route.apic_id = cpus[0].apic_id;
	interrupt_set_handler(VECTOR_LINK, on_uart_interrupt);
	has_interrupt = interrupts_route(&route) == OK;
	if (has_interrupt)
		serial_use_interrupts(&uart.serial);
	else
		log_warn("link=uart: no interrupt; the link is polled");
	return &uart.stream.link;
}

static struct link *open_net(const struct link_options *options)
{
	const struct net_link_config config = {
	    .ip = options->ip,
	    .peer = options->peer,
	    .gateway = options->gateway,
	    .silence_ns = silence_ns(options),
	    .entropy = entropy(),
	};
	enum err err = net_link_init(&net, &config);
	const u8 *mac = net.net.mac;
	u32 ip = net.net.ip;

	if (err != OK) {
		log_error("link=net: Intel network controller (8254x or "
			  "82574): %s",
			  err_text(err));
		return NULL;
	}
	log_info("link: %02x:%02x:%02x:%02x:%02x:%02x is %u.%u.%u.%u", mac[0],
		 mac[1], mac[2], mac[3], mac[4], mac[5], ip >> 24,
		 ip >> 16 & 255, ip >> 8 & 255, ip & 255);
	return &net.stream.link;
}

static struct link *open_virtio(void)
{
	enum err err = virtio_link_init(&virtio);

	if (err == OK)
		return &virtio.link;
	log_error("link=virtio: virtio-serial device with more than one port: "
		  "%s",
		  err_text(err));
	return NULL;
}

static struct link *open_device(const struct link_options *options)
{
	switch (options->kind) {
	case LINK_KIND_UART:
		return open_uart(options);
	case LINK_KIND_NET:
		return open_net(options);
	case LINK_KIND_VIRTIO:
		return open_virtio();
	case LINK_KIND_NONE:
		break;
	}
	return NULL;
}

/* link.cut=RECORD: a fault on purpose, for trying out what happens then. */
static struct link *wrap(struct link *inner, enum link_cut cut)
{
	static const enum wire_type types[LINK_CUTS] = {
	    [LINK_CUT_ROUND] = WIRE_ROUND,
	    [LINK_CUT_PREPARE] = WIRE_PREPARE,
	    [LINK_CUT_STATE] = WIRE_STATE,
	    [LINK_CUT_SEAL] = WIRE_SEAL,
	    [LINK_CUT_READY] = WIRE_READY,
	    [LINK_CUT_COMMIT] = WIRE_COMMIT,
	    [LINK_CUT_RUNNING] = WIRE_RUNNING,
	};
	const struct link_fault_plan plan = {.harm = LINK_HARM_CUT_BEFORE,
					     .type = types[cut]};
	struct link_fault *fault;
	hpa_t block;

	if (frame_alloc_zeroed(frame_order_for(sizeof(*fault)), "link.cut",
			       &block) != OK)
		return inner;
	fault = phys_ptr(block);
	link_fault_wrap(fault, inner, &plan);
	log_warn("link %s: link.cut: it will be lost at the first %s that is "
		 "sent",
		 inner->name, wire_type_name(plan.type));
	return &fault->link;
}

struct link *links_open(const struct link_options *options)
{
	struct link *link = open_device(options);

	return link && options->cut != LINK_CUT_NONE ? wrap(link, options->cut)
						     : link;
}

void links_wait(void)
{
	static u64 until;
	u64 now = insn_rdtsc();

	if (!has_interrupt) {
		insn_sti_nop_cli();
		return;
	}
	/* It is armed when it has fired, not for each wait. */
	if (now >= until) {
		until = now + tsc_from_ns(WAIT_NS);
		apic_timer_arm(until);
	}
	do
		insn_sti_hlt_cli();
	while (!uart_link_has_news(&uart) && insn_rdtsc() < until);
}

struct serial *links_serial(void)
{
	return &uart.serial;
}

struct virtio_link *links_virtio(void)
{
	return &virtio;
}
