/* SPDX-License-Identifier: MIT */
/* Umbra's own command line: a table of rules, and one place that applies. */
#include "loader/options.h"
#include "loader/cmdline.h"

/* No machine that Umbra runs on has more; it is a bound, not a promise. */
#define CPUS_MAX 4096

enum option {
	OPTION_CONSOLE,
	OPTION_EXIT,
	OPTION_LOGLEVEL,
	OPTION_CPUS,
	OPTION_LINK,
	OPTION_MITIGATIONS,
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
    [OPTION_LINK] =
	{.key = "link",
	 .kind = CMDLINE_CHOICE,
	 .choices = {[LINK_KIND_NONE] = "none", [LINK_KIND_UART] = "uart"}},
};

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
	case OPTION_LINK:
		options->link = (enum link_kind)value;
		break;
	case OPTION_MITIGATIONS:
		options->mitigations = (enum mitigations)value;
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
	};
	for (u32 i = 0; (err = cmdline_next(&rest, &word)) == OK; i++)
		if (i > 0 || !is_file_name(&word))
			apply(options, &word);
	if (err == ERR_BAD_FORMAT)
		log_error("command line: the quote in %.*s is not closed; "
			  "this is ignored",
			  SLICE_ARGS(word.text));
}
