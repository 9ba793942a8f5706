/* SPDX-License-Identifier: MIT */
/* loader/options: defaults, every key, and mistakes that cost one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/options.h"
#include "tests/unit/host_seams.h"

static struct options parsed(const char *command_line)
{
	struct options options;

	memset(&options, 0xff, sizeof(options));
	host_log_count = 0;
	options_parse(&options, command_line);
	return options;
}

static void assert_defaults(const struct options *options)
{
	assert_int_equal(options->console, CONSOLE_COM1);
	assert_int_equal(options->exit, EXIT_STAY);
	assert_int_equal(options->loglevel, LOG_INFO);
	assert_int_equal(options->cpus, OPTIONS_CPUS_ALL);
	assert_int_equal(options->mitigations, MITIGATIONS_AUTO);
	assert_int_equal(options->apicv, VIRTUAL_APIC_AUTO);
	assert_int_equal(options->mtf, MONITOR_TRAP_AUTO);
}

static void empty_line_gives_the_defaults(void **state)
{
	struct options options = parsed("");

	(void)state;
	assert_defaults(&options);
	assert_int_equal(host_log_count, 0);
}

static void every_key_is_understood(void **state)
{
	struct options options =
	    parsed("console=mux exit=bochs loglevel=debug cpus=3");

	(void)state;
	assert_int_equal(options.console, CONSOLE_MUX);
	assert_int_equal(options.exit, EXIT_BOCHS);
	assert_int_equal(options.loglevel, LOG_DEBUG);
	assert_int_equal(options.cpus, 3);
	assert_int_equal(host_log_count, 0);
	assert_int_equal(parsed("apicv=off").apicv, VIRTUAL_APIC_OFF);
	assert_int_equal(parsed("apicv=auto").apicv, VIRTUAL_APIC_AUTO);
	assert_int_equal(parsed("apicv=on").apicv, VIRTUAL_APIC_ON);
	assert_int_equal(parsed("mtf=on").mtf, MONITOR_TRAP_ON);
	assert_int_equal(parsed("mtf=off").mtf, MONITOR_TRAP_OFF);
	assert_int_equal(parsed("mtf=auto").mtf, MONITOR_TRAP_AUTO);
	assert_int_equal(parsed("mitigations=off").mitigations,
			 MITIGATIONS_OFF);
	assert_int_equal(parsed("mitigations=auto").mitigations,
			 MITIGATIONS_AUTO);
	assert_int_equal(parsed("exit=acpi").exit, EXIT_ACPI);
	assert_int_equal(parsed("exit=qemu").exit, EXIT_QEMU);
	assert_int_equal(parsed("loglevel=error").loglevel, LOG_ERROR);
	assert_int_equal(parsed("loglevel=warn").loglevel, LOG_WARN);
}

static void link_and_its_test_are_described(void **state)
{
	struct options options =
	    parsed("link=net link.ip=10.0.0.1 link.peer=192.168.255.2 "
		   "link.gateway=10.0.0.254 link.silence=60 link.cut=commit "
		   "linktest=bare-send "
		   "linktest.bytes=3M");

	(void)state;
	assert_int_equal(options.link.kind, LINK_KIND_NET);
	assert_int_equal(options.link.ip, 0x0a000001);
	assert_int_equal(options.link.peer, 0xc0a8ff02);
	assert_int_equal(options.link.gateway, 0x0a0000fe);
	assert_int_equal(options.link.silence_seconds, 60);
	assert_int_equal(options.link.cut, LINK_CUT_COMMIT);
	assert_int_equal(options.linktest.way, LINKTEST_BARE_SEND);
	assert_int_equal(options.linktest.bytes, 3 * MIB);
	assert_int_equal(host_log_count, 0);
	assert_int_equal(parsed("link=tcp").link.kind, LINK_KIND_NET);
	assert_int_equal(parsed("link=uart").link.kind, LINK_KIND_UART);
	assert_int_equal(parsed("").link.kind, LINK_KIND_NONE);
}

static void addresses_have_four_numbers(void **state)
{
	static const char *const bad[] = {
	    "link.ip=10.0.0",     "link.ip=10.0.0.256",
	    "link.ip=10.0.0.1.2", "link.ip=10.0.0.",
	    "link.ip=",           "link.ip=.0.0.1",
	    "link.ip=10,0,0,1",   "link.ip"};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(bad); i++) {
		assert_int_equal(parsed(bad[i]).link.ip, 0);
		assert_int_equal(host_log_count, 1);
	}
	parsed("link.ip=10.0.0");
	assert_string_equal(host_last_log,
			    "command line: link.ip=10.0.0: link.ip wants an "
			    "address such as 10.0.0.1; it is ignored");
}

static void file_name_in_front_is_no_mistake(void **state)
{
	(void)state;
	assert_int_equal(parsed("build/umbra.elf cpus=2").cpus, 2);
	assert_int_equal(host_log_count, 0);
	assert_int_equal(parsed("/home/a=b/umbra.elf cpus=2").cpus, 2);
	assert_int_equal(host_log_count, 0);
	assert_int_equal(parsed("umbra cpus=2").cpus, 2);
	assert_int_equal(host_log_count, 0);
}

static void unknown_key_costs_one_warning(void **state)
{
	struct options options = parsed("console=mux cosole=com1 cpus=2");

	(void)state;
	assert_int_equal(options.console, CONSOLE_MUX);
	assert_int_equal(options.cpus, 2);
	assert_int_equal(host_log_count, 1);
	assert_non_null(strstr(host_last_log, "cosole=com1"));
	parsed("cosole=com1");
	assert_int_equal(host_log_count, 1);
	parsed("cpus=2 stray");
	assert_int_equal(host_log_count, 1);
}

static void bad_value_names_what_is_allowed_and_keeps_default(void **state)
{
	static const struct {
		const char *line, *allowed;
	} cases[] = {{"console=com3", "com1, mux"},
		     {"exit=never", "stay, bochs, qemu, acpi"},
		     {"loglevel", "error, warn, info, debug"},
		     {"cpus=0", "from 1 to"},
		     {"cpus=many", "from 1 to"},
		     {"cpus=\"2 loglevel=debug", "not closed"}};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		struct options options = parsed(cases[i].line);

		assert_defaults(&options);
		assert_int_equal(host_log_count, 1);
		assert_non_null(strstr(host_last_log, cases[i].line));
		assert_non_null(strstr(host_last_log, cases[i].allowed));
	}
}

static void later_word_overrides_and_bad_one_does_not(void **state)
{
	(void)state;
	assert_int_equal(parsed("cpus=2 cpus=4").cpus, 4);
	assert_int_equal(parsed("cpus=2 cpus=x").cpus, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(empty_line_gives_the_defaults),
	    cmocka_unit_test(every_key_is_understood),
	    cmocka_unit_test(link_and_its_test_are_described),
	    cmocka_unit_test(addresses_have_four_numbers),
	    cmocka_unit_test(file_name_in_front_is_no_mistake),
	    cmocka_unit_test(unknown_key_costs_one_warning),
	    cmocka_unit_test(bad_value_names_what_is_allowed_and_keeps_default),
	    cmocka_unit_test(later_word_overrides_and_bad_one_does_not),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
