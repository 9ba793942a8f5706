/* SPDX-License-Identifier: MIT */
/*
 * Umbra's own command line.
 *
 *	console=com1|mux            plain text, or multiplexed for a front end
 *	exit=stay|bochs|qemu|acpi   how to leave when all guests have ended
 *	loglevel=error|warn|info|debug
 *	cpus=N                      use at most N CPUs of the machine
 *	mitigations=auto|off        against weaknesses of speculative execution
 *	apicv=auto|on|off           the CPU's help with the guests' APICs
 *	mtf=auto|on|off             the monitor trap flag for guest hypervisors
 *	link=none|uart|net|virtio   what carries a migration to the peer; tcp is
 *	                            another word for net
 *	link.ip=A.B.C.D             net: this machine's address; else made up
 *	link.peer=A.B.C.D           net: the peer's address; else who answers
 *	link.gateway=A.B.C.D        net: if the peer is on another network
 *	link.silence=SECONDS        of the peer, after which it is gone
 *	link.cut=RECORD             on purpose, once: the link is lost instead
 *	                            of the first record of that type (round,
 *	                            prepare, state, seal, ready, commit, running)
 *	linktest=WAY                no guests: bytes over the link, checked; WAY
 *	                            is both, send, receive, bare-send,
 *	                            bare-receive or memory (core/linktest.h)
 *	linktest.bytes=N            how many
 *	receive=off|on              wait for a guest that a peer sends
 *
 * A mistake on the command line never stops the boot: it costs one line in
 * the log, and the default stays.
 */
#ifndef LOADER_OPTIONS_H
#define LOADER_OPTIONS_H

#include "lib/log.h"
#include "lib/types.h"

enum console_mode {
	CONSOLE_COM1, /* a person at a terminal; the default */
	CONSOLE_MUX,  /* a front end; see core's console */
};

/* How Umbra leaves the machine when all guests have ended. */
enum exit_way {
	EXIT_STAY, /* not at all: the monitor's prompt; the default */
	EXIT_BOCHS,
	EXIT_QEMU,
	EXIT_ACPI, /* power off */
};

enum link_kind {
	LINK_KIND_NONE,   /* the default */
	LINK_KIND_UART,   /* COM2 */
	LINK_KIND_NET,    /* UDP over an Intel controller */
	LINK_KIND_VIRTIO, /* virtio-serial, the port "umbra.0" */
};

enum link_cut {
	LINK_CUT_NONE, /* the default */
	LINK_CUT_ROUND,
	LINK_CUT_PREPARE,
	LINK_CUT_STATE,
	LINK_CUT_SEAL,
	LINK_CUT_READY,
	LINK_CUT_COMMIT,
	LINK_CUT_RUNNING,
	LINK_CUTS,
};

struct link_options {
	enum link_kind kind;
	u32 ip, peer, gateway; /* 0: not given */
	u32 silence_seconds;
	enum link_cut cut;
};

enum linktest_way {
	LINKTEST_NONE,
	LINKTEST_BOTH,
	LINKTEST_SEND,
	LINKTEST_RECEIVE,
	LINKTEST_LEND,
	LINKTEST_BARE_SEND,
	LINKTEST_BARE_RECEIVE,
	LINKTEST_MEMORY,
};

struct linktest_options {
	enum linktest_way way;
	u64 bytes;
};

/* Against weaknesses of speculative execution (arch/x86/vmx/mitigation.h). */
enum mitigations {
	MITIGATIONS_AUTO, /* what this CPU needs; the default */
	MITIGATIONS_OFF,
};

/* Whether the CPU virtualizes the guests' APICs (arch/x86/vmx/apicv.h). */
enum virtual_apic {
	VIRTUAL_APIC_AUTO, /* as far as it can and does it right; the default */
	VIRTUAL_APIC_ON,   /* as far as it can */
	VIRTUAL_APIC_OFF,
};

/* Whether guest hypervisors are offered the CPU's monitor trap flag. */
enum monitor_trap {
	MONITOR_TRAP_AUTO, /* if the CPU has one that works; the default */
	MONITOR_TRAP_ON,   /* if it has one */
	MONITOR_TRAP_OFF,
};

#define OPTIONS_CPUS_ALL 0

struct options {
	enum console_mode console;
	enum exit_way exit;
	enum log_level loglevel; /* default LOG_INFO */
	enum mitigations mitigations;
	enum virtual_apic apicv;
	enum monitor_trap mtf;
	u32 cpus; /* OPTIONS_CPUS_ALL, or 1 and more */
	struct link_options link;
	struct linktest_options linktest;
	bool receives;
};

void options_parse(struct options *options, const char *command_line);

#endif
