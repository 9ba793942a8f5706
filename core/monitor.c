/* SPDX-License-Identifier: MIT */
/* The monitor: a line editor and a table of commands. */
#include "core/monitor.h"
#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/vmx/vm.h"
#include "core/console.h"
#include "core/crash.h"
#include "core/guests.h"
#include "core/machine.h"
#include "core/migration.h"
#include "core/nmi.h"
#include "lib/log.h"
#include "lib/string.h"
#include "loader/guest_plan.h"
#include "mm/frame_alloc.h"

#define LINE_BYTES 128
#define DELETE     0x7f

static char line[LINE_BYTES];
static size_t line_length;
static const char *argument; /* what follows the command's name */

static void print(const char *text)
{
	console_write(CONSOLE_UMBRA, (const u8 *)text, strlen(text));
}

static void on_help(void);

static void on_cpus(void)
{
	for (u32 i = 0; i < cpu_count; i++)
		log_info("CPU %u: APIC id %u, %s, NMIs: %u", i, cpus[i].apic_id,
			 cpus[i].online ? "running" : "off", cpus[i].nmi_count);
}

static void on_memory(void)
{
	struct frame_stats stats;

	frame_stats(&stats);
	log_info("%lu of %lu MiB free, largest block %lu MiB",
		 stats.free_bytes / MIB, stats.total_bytes / MIB,
		 stats.largest_bytes / MIB);
}

static const char *state_of(const struct vm *vm)
{
	if (vm_has_ended(vm))
		return "ended";
	if (vm_is_paused(vm))
		return "stopped for its migration (\"status\" says more)";
	return vm->state == VM_STARTING ? "not started" : "running";
}

static void on_guests(void)
{
	const struct vm *vm;

	for (u32 i = 0; (vm = guests_find(i)); i++) {
		log_info("guest %u, %s: %lu MiB, %s", i, vm->name,
			 (vm->memory.bytes + MIB / 2) / MIB, state_of(vm));
		guests_log_exits(vm, LOG_INFO);
	}
	if (!guests_find(0))
		log_info("no guest has been started");
}

static size_t word_length(const char *text)
{
	size_t length = 0;

	while (text[length] && text[length] != ' ')
		length++;
	return length;
}

static void on_power_off(void)
{
	log_info("powering off");
	if (machine_exit_way() != EXIT_STAY)
		machine_leave(0); /* in the way that a front end sees */
	machine_power_off();
}

static void on_reboot(void)
{
	log_info("resetting the machine");
	machine_reset();
}

static void on_crash(void)
{
	crash(argument);
}

/* The first word of the argument as a decimal number; `end`: none below it. */
static u32 number_below(u32 end)
{
	size_t length = word_length(argument);
	u32 number = 0;

	for (size_t i = 0; i < length; i++) {
		if (argument[i] < '0' || argument[i] > '9')
			return end;
		number = number * 10 + (u32)(argument[i] - '0');
		if (number >= end)
			return end;
	}
	return length ? number : end;
}

/* The guest that the argument names or counts; the first one without. */
static struct vm *find_guest(void)
{
	struct vm *vm;
	size_t length = word_length(argument);
	u32 number = number_below(GUESTS_MAX);

	for (u32 i = 0; (vm = guests_find(i)); i++)
		if (!length || i == number ||
		    (strlen(vm->name) == length &&
		     !memcmp(vm->name, argument, length)))
			return vm;
	return NULL;
}

static const char *behind_blanks(const char *text)
{
	while (*text == ' ')
		text++;
	return text;
}

static void on_migrate(void)
{
	migration_send(find_guest(),
		       behind_blanks(argument + word_length(argument)));
}

static void on_destroy(void)
{
	migration_decide(MIGRATION_DESTROY);
}

static void on_resume(void)
{
	migration_decide(MIGRATION_RESUME);
}

static void on_nmi(void)
{
	nmi_ask(number_below(cpu_count));
}

static void on_start(void)
{
	const struct vm *vm = find_guest();

	guests_run(vm ? vm->index : GUESTS_MAX);
}

struct command {
	const char *name;
	const char *help;
	void (*run)(void);
};

static const struct command commands[] = {
    {"help", "this list", on_help},
    {"cpus", "the machine's CPUs", on_cpus},
    {"memory", "the machine's memory", on_memory},
    {"guests", "the guests and their VM exits", on_guests},
    {"start", "let a guest run that was loaded with start=no", on_start},
    {"migrate", "GUEST [downtime=300ms] [audit=off|sent|full]: to the peer",
     on_migrate},
    {"cancel", "call the migration off; the guest stays here",
     migration_cancel},
    {"status", "the link and the migration", migration_say_status},
    {"destroy", "after a hand-over without an answer: it runs there",
     on_destroy},
    {"resume", "the same, but it does not, and never will", on_resume},
    {"poweroff", "switch the machine off", on_power_off},
    {"reboot", "reset the machine", on_reboot},
    {"nmi", "CPU: interrupts it, wherever it is, and says where that was",
     on_nmi},
    {"crash", "fault on purpose, to see what that looks like", on_crash},
};

static void on_help(void)
{
	for (u32 i = 0; i < ARRAY_COUNT(commands); i++)
		log_info("%-10s %s", commands[i].name, commands[i].help);
}

/* Is the first word that command? */
static bool is_command(const char *text, const char *name)
{
	size_t length = word_length(text);

	return strlen(name) == length && !memcmp(name, text, length);
}

static void run_line(void)
{
	const char *text = behind_blanks(line);

	while (line_length && line[line_length - 1] == ' ')
		line[--line_length] = 0;
	argument = behind_blanks(text + word_length(text));
	for (u32 i = 0; i < ARRAY_COUNT(commands); i++)
		if (is_command(text, commands[i].name)) {
			commands[i].run();
			return;
		}
	if (*text)
		log_info("\"%.*s\" is no command; \"help\" lists them",
			 (int)word_length(text), text);
}

void monitor_prompt(void)
{
	console_set_plain_input(CONSOLE_UMBRA);
	print("umbra> ");
}

static void end_line(void)
{
	print("\n");
	line[line_length] = 0;
	run_line();
	line_length = 0;
	print("umbra> ");
}

void monitor_input(u8 byte)
{
	const char echo[2] = {(char)byte, 0};

	if (byte == '\r' || byte == '\n') {
		end_line();
	} else if ((byte == '\b' || byte == DELETE) && line_length) {
		line_length--;
		print("\b \b");
	} else if (byte >= ' ' && byte < DELETE &&
		   line_length < LINE_BYTES - 1) {
		line[line_length++] = (char)byte;
		print(echo);
	}
}
