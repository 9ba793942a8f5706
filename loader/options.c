/* SPDX-License-Identifier: MIT */
/* Umbra's own command line: a table of rules, and one place that applies. */
#include "loader/options.h"
#include "loader/cmdline.h"

/* No machine that Umbra runs on has more; it is a bound, not a promise. */
#define CPUS_MAX            4096
/* A day of emulated time may pass in a minute. */
#define SILENCE_SECONDS     10
#define SILENCE_SECONDS_MAX (24UL * 3600)
#define LINKTEST_BYTES      (1 * MIB)
/* Among the words of `link`: the name that people expect. */
#define LINK_WORD_TCP       (LINK_KIND_VIRTIO + 1)

enum option {
	OPTION_CONSOLE,
	OPTION_EXIT,
	OPTION_LOGLEVEL,
	OPTION_CPUS,
	OPTION_LINK,
	OPTION_MITIGATIONS,
	OPTION_APICV,
	OPTION_MTF,
	OPTION_LINK_IP,
	OPTION_LINK_PEER,
	OPTION_LINK_GATEWAY,
	OPTION_LINK_SILENCE,
	OPTION_LINK_CUT,
	OPTION_LINKTEST,
	OPTION_LINKTEST_BYTES,
	OPTION_RECEIVE,
	OPTION_COUNT,
};

static const struct cmdline_rule rules[OPTION_COUNT] = {
    [OPTION_CONSOLE] =
	{.key = "console",
	 .kind = CMDLINE_CHOICE,
	 .choices = {[CONSOLE_COM1] = "com1", [CONSOLE_MUX] = "mux"}},
    [OPTION_EXIT] = {.key = "exit",
		     .kind = CMDLINE_CHOICE,
		     .choices = {[EXIT_STAY] = "stay",
				 [EXIT_BOCHS] = "bochs",
				 [EXIT_QEMU] = "qemu",
				 [EXIT_ACPI] = "acpi"}},
    [OPTION_LOGLEVEL] = {.key = "loglevel",
			 .kind = CMDLINE_CHOICE,
			 .choices = {[LOG_ERROR] = "error",
				     [LOG_WARN] = "warn",
				     [LOG_INFO] = "info",
				     [LOG_DEBUG] = "debug"}},
    [OPTION_CPUS] = {.key = "cpus",
		     .kind = CMDLINE_NUMBER,
		     .minimum = 1,
		     .maximum = CPUS_MAX},
    [OPTION_MITIGATIONS] =
	{.key = "mitigations",
	 .kind = CMDLINE_CHOICE,
	 .choices = {[MITIGATIONS_AUTO] = "auto", [MITIGATIONS_OFF] = "off"}},
    [OPTION_APICV] = {.key = "apicv",
		      .kind = CMDLINE_CHOICE,
		      .choices = {[VIRTUAL_APIC_AUTO] = "auto",
				  [VIRTUAL_APIC_ON] = "on",
				  [VIRTUAL_APIC_OFF] = "off"}},
    [OPTION_MTF] = {.key = "mtf",
		    .kind = CMDLINE_CHOICE,
		    .choices = {[MONITOR_TRAP_AUTO] = "auto",
				[MONITOR_TRAP_ON] = "on",
				[MONITOR_TRAP_OFF] = "off"}},
    [OPTION_LINK] = {.key = "link",
		     .kind = CMDLINE_CHOICE,
		     .choices = {[LINK_KIND_NONE] = "none",
				 [LINK_KIND_UART] = "uart",
				 [LINK_KIND_NET] = "net",
				 [LINK_KIND_VIRTIO] = "virtio",
				 [LINK_WORD_TCP] = "tcp"}},
    [OPTION_LINK_IP] = {.key = "link.ip", .kind = CMDLINE_IPV4},
    [OPTION_LINK_PEER] = {.key = "link.peer", .kind = CMDLINE_IPV4},
    [OPTION_LINK_GATEWAY] = {.key = "link.gateway", .kind = CMDLINE_IPV4},
    [OPTION_LINK_SILENCE] = {.key = "link.silence",
			     .kind = CMDLINE_NUMBER,
			     .minimum = 1,
			     .maximum = SILENCE_SECONDS_MAX},
    [OPTION_LINK_CUT] = {.key = "link.cut",
			 .kind = CMDLINE_CHOICE,
			 .choices = {[LINK_CUT_NONE] = "none",
				     [LINK_CUT_ROUND] = "round",
				     [LINK_CUT_PREPARE] = "prepare",
				     [LINK_CUT_STATE] = "state",
				     [LINK_CUT_SEAL] = "seal",
				     [LINK_CUT_READY] = "ready",
				     [LINK_CUT_COMMIT] = "commit",
				     [LINK_CUT_RUNNING] = "running"}},
    [OPTION_LINKTEST] = {.key = "linktest",
			 .kind = CMDLINE_CHOICE,
			 .choices = {[LINKTEST_NONE] = "none",
				     [LINKTEST_BOTH] = "both",
				     [LINKTEST_SEND] = "send",
				     [LINKTEST_RECEIVE] = "receive",
				     [LINKTEST_LEND] = "lend",
				     [LINKTEST_BARE_SEND] = "bare-send",
				     [LINKTEST_BARE_RECEIVE] = "bare-receive",
				     [LINKTEST_MEMORY] = "memory"}},
    [OPTION_LINKTEST_BYTES] = {.key = "linktest.bytes",
			       .kind = CMDLINE_BYTES,
			       .minimum = 1,
			       .maximum = 1UL << 40},
    [OPTION_RECEIVE] = {.key = "receive",
			.kind = CMDLINE_CHOICE,
			.choices = {"off", "on"}},
};

static enum link_kind link_of_word(u64 value)
{
	return value == LINK_WORD_TCP ? LINK_KIND_NET : (enum link_kind)value;
}

static void set_link_option(struct options *options, enum option option,
			    u64 value)
{
	struct link_options *link = &options->link;

	if (option == OPTION_LINK)
		link->kind = link_of_word(value);
	else if (option == OPTION_LINK_IP)
		link->ip = (u32)value;
	else if (option == OPTION_LINK_PEER)
		link->peer = (u32)value;
	else if (option == OPTION_LINK_GATEWAY)
		link->gateway = (u32)value;
	else if (option == OPTION_LINK_SILENCE)
		link->silence_seconds = (u32)value;
	else
		link->cut = (enum link_cut)value;
}

static void set_option(struct options *options, enum option option, u64 value)
{
	switch (option) {
	case OPTION_CONSOLE:
		options->console = (enum console_mode)value;
		break;
	case OPTION_EXIT:
		options->exit = (enum exit_way)value;
		break;
	case OPTION_LOGLEVEL:
		options->loglevel = (enum log_level)value;
		break;
	case OPTION_CPUS:
		options->cpus = (u32)value;
		break;
	case OPTION_MITIGATIONS:
		options->mitigations = (enum mitigations)value;
		break;
	case OPTION_APICV:
		options->apicv = (enum virtual_apic)value;
		break;
	case OPTION_MTF:
		options->mtf = (enum monitor_trap)value;
		break;
	case OPTION_RECEIVE:
		options->receives = value;
		break;
	case OPTION_LINK:
	case OPTION_LINK_IP:
	case OPTION_LINK_PEER:
	case OPTION_LINK_GATEWAY:
	case OPTION_LINK_SILENCE:
	case OPTION_LINK_CUT:
		set_link_option(options, option, value);
		break;
	case OPTION_LINKTEST:
		options->linktest.way = (enum linktest_way)value;
		break;
	case OPTION_LINKTEST_BYTES:
		options->linktest.bytes = value;
		break;
	case OPTION_COUNT:
		break;
	}
}

static enum option option_of(const struct cmdline_word *word)
{
	u32 i = 0;

	while (i < OPTION_COUNT && !slice_is(word->key, rules[i].key))
		i++;
	return (enum option)i;
}

static void apply(struct options *options, const struct cmdline_word *word)
{
	enum option option = option_of(word);
	char complaint[256];
	u64 value;

	if (option == OPTION_COUNT) {
		log_warn("command line: %.*s is not an option of Umbra; "
			 "it is ignored",
			 SLICE_ARGS(word->text));
	} else if (cmdline_value(&rules[option], word, &value)) {
		cmdline_explain(&rules[option], word, complaint,
				sizeof(complaint));
		log_error("command line: %s; it is ignored", complaint);
	} else {
		set_option(options, option, value);
	}
}

/* Some loaders put the image's file name first, and others do not. */
static bool is_file_name(const struct cmdline_word *word)
{
	if (option_of(word) != OPTION_COUNT)
		return false;
	for (u32 i = 0; i < word->text.length; i++)
		if (word->text.at[i] == '/')
			return true;
	return !word->has_value;
}

void options_parse(struct options *options, const char *command_line)
{
	const char *rest = command_line;
	struct cmdline_word word;
	enum err err;

	*options = (struct options){
	    .console = CONSOLE_COM1,
	    .exit = EXIT_STAY,
	    .loglevel = LOG_INFO,
	    .mitigations = MITIGATIONS_AUTO,
	    .cpus = OPTIONS_CPUS_ALL,
	    .link = {.silence_seconds = SILENCE_SECONDS},
	    .linktest = {.bytes = LINKTEST_BYTES},
	};
	for (u32 i = 0; (err = cmdline_next(&rest, &word)) == OK; i++)
		if (i > 0 || !is_file_name(&word))
			apply(options, &word);
	if (err == ERR_BAD_FORMAT)
		log_error("command line: the quote in %.*s is not closed; "
			  "this is ignored",
			  SLICE_ARGS(word.text));
}
