/* SPDX-License-Identifier: MIT */
/* loader/guest_plan: module strings in, guests and complaints out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "loader/guest_plan.h"
#include "tests/unit/host_seams.h"

static struct boot_info boot;
static struct guest_plans plans;

static int reset(void **state)
{
	(void)state;
	memset(&boot, 0, sizeof(boot));
	memset(&plans, 0xff, sizeof(plans));
	host_log_count = 0;
	return 0;
}

static void module(const char *text)
{
	struct boot_module *next = &boot.modules[boot.module_count++];

	assert_true(boot.module_count <= BOOT_MODULES_MAX);
	snprintf(next->text, sizeof(next->text), "%s", text);
}

static const struct guest_plan *plan(void)
{
	guest_plan_all(&plans, &boot);
	return &plans.guests[0];
}

static void assert_refused(const char *why)
{
	plan();
	assert_int_equal(plans.guest_count, 0);
	assert_int_equal(plans.refused_count, 1);
	assert_int_equal(host_log_count, 1);
	assert_non_null(strstr(host_last_log, why));
}

static void bare_guest_gets_the_defaults(void **state)
{
	(void)state;
	module("guest");
	assert_string_equal(plan()->name, "guest0");
	assert_int_equal(plans.guest_count, 1);
	assert_int_equal(plan()->memory_bytes, 64 * MIB);
	assert_int_equal(plan()->cpus, 1);
	assert_int_equal(plan()->nested, GUEST_NESTED_ON);
	assert_int_equal(plan()->kernel_module, 0);
	assert_string_equal(plan()->command_line, "");
	assert_int_equal(plan()->attachment_count, 0);
	assert_int_equal(plan()->setting_count, 0);
	assert_int_equal(host_log_count, 0);
}

static void every_key_and_the_command_line_are_taken(void **state)
{
	(void)state;
	module("/x/vmx.flat guest name=l1 mem=1G cpus=4 nested=off gdb=on "
	       "-- vmx.flat  -- mem=1 \"q");
	assert_string_equal(plan()->name, "l1");
	assert_int_equal(plan()->memory_bytes, GIB);
	assert_int_equal(plan()->cpus, 4);
	assert_int_equal(plan()->nested, GUEST_NESTED_OFF);
	assert_string_equal(plan()->command_line, "vmx.flat  -- mem=1 \"q");
	assert_int_equal(plan()->setting_count, 1);
	assert_string_equal(guest_plan_setting(plan(), "gdb"), "on");
	assert_null(guest_plan_setting(plan(), "mem"));
	assert_int_equal(host_log_count, 0);
}

static void modules_belong_to_the_guest_before_them(void **state)
{
	(void)state;
	module("guest name=a");
	module("/m1 module -- one two");
	module("initrd");
	module("guest name=b");
	module("module --");
	plan();
	assert_int_equal(plans.guest_count, 2);
	const struct guest_plan *a = &plans.guests[0];
	const struct guest_plan *b = &plans.guests[1];

	assert_int_equal(a->attachment_count, 2);
	assert_int_equal(a->attachments[0].kind, GUEST_MODULE);
	assert_int_equal(a->attachments[0].module, 1);
	assert_string_equal(a->attachments[0].text, "one two");
	assert_int_equal(a->attachments[1].kind, GUEST_INITRD);
	assert_int_equal(a->attachments[1].module, 2);
	assert_string_equal(a->attachments[1].text, "");
	assert_int_equal(b->kernel_module, 3);
	assert_int_equal(b->attachment_count, 1);
	assert_int_equal(b->attachments[0].module, 4);
	assert_string_equal(b->attachments[0].text, "");
	assert_int_equal(host_log_count, 0);
}

static void without_roles_the_first_is_the_guest(void **state)
{
	(void)state;
	module("kernels/my test.elf a=1 -- b");
	module("data.bin x");
	module("");
	assert_int_equal(plan()->attachment_count, 2);
	assert_int_equal(plans.guest_count, 1);
	assert_string_equal(plan()->name, "my");
	assert_string_equal(plan()->command_line,
			    "kernels/my test.elf a=1 -- b");
	assert_string_equal(plan()->attachments[0].text, "data.bin x");
	assert_string_equal(plan()->attachments[1].text, "");
	assert_int_equal(plan()->memory_bytes, GUEST_MEMORY_DEFAULT);
}

static void names_come_from_files_and_stay_unique(void **state)
{
	(void)state;
	module("/boot/vm.flat guest");
	module("/other/vm.elf guest");
	module("guest name=guest2");
	module("guest");
	module(".hidden guest");
	module("/dir/ guest");
	module("a=b.elf guest");
	plan();
	assert_string_equal(plans.guests[0].name, "vm");
	assert_string_equal(plans.guests[1].name, "guest1");
	assert_string_equal(plans.guests[2].name, "guest2");
	assert_string_equal(plans.guests[3].name, "guest3");
	assert_string_equal(plans.guests[4].name, ".hidden");
	assert_string_equal(plans.guests[5].name, "guest5");
	assert_string_equal(plans.guests[6].name, "a");
	assert_int_equal(host_log_count, 0);
}

static void name_asked_for_wins_over_a_file_name_before_it(void **state)
{
	(void)state;
	module("/vm guest");
	module("guest name=vm");
	plan();
	assert_string_equal(plans.guests[0].name, "guest0");
	assert_string_equal(plans.guests[1].name, "vm");
}

static void long_file_name_is_cut_to_a_name(void **state)
{
	(void)state;
	module("/a/0123456789012345678901234567890123456789 guest");
	assert_string_equal(plan()->name, "0123456789012345678901234567890");
}

static void wrong_values_refuse_the_guest_with_one_line(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
	    {"guest mem=12Q", "mem=12Q: mem wants a size from 1M to 1T"},
	    {"guest mem=1023K", "mem=1023K"},
	    {"guest cpus=0", "cpus=0: cpus wants a number from 1 to 64"},
	    {"guest cpus=65", "cpus=65"},
	    {"guest nested=maybe", "one of off, on"},
	    {"guest name=", "name wants 1 to 31 characters"},
	    {"guest name=01234567890123456789012345678901", "31 characters"},
	    {"guest name=a/b", "a name has letters"},
	    {"guest name", "name wants"},
	    {"guest stray", "stray: wants key=value"},
	    {"guest =x", "=x: wants key=value"},
	    {"guest name=\"a b", "the quote is not closed"},
	    {"guest k1234567890123456789012345678901=1", "at most 31 and 127"},
	};

	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		reset(state);
		module(cases[i].text);
		module("module -- goes with it");
		assert_refused(cases[i].why);
	}
}

static void refused_guest_leaves_the_others_alone(void **state)
{
	(void)state;
	module("guest name=a cpus=2");
	module("guest name=b cpus=x");
	module("module -- of b");
	module("guest name=c");
	module("module -- of c");
	plan();
	assert_int_equal(plans.guest_count, 2);
	assert_int_equal(plans.refused_count, 1);
	assert_string_equal(plans.guests[0].name, "a");
	assert_int_equal(plans.guests[0].attachment_count, 0);
	assert_string_equal(plans.guests[1].name, "c");
	assert_int_equal(plans.guests[1].cpus, 1);
	assert_int_equal(plans.guests[1].attachments[0].module, 4);
	assert_non_null(strstr(host_last_log, "boot module 1"));
	assert_int_equal(host_log_count, 1);
}

static void second_guest_with_a_name_is_refused(void **state)
{
	(void)state;
	module("guest name=a");
	module("guest name=a");
	plan();
	assert_int_equal(plans.guest_count, 1);
	assert_non_null(strstr(host_last_log, "another guest has this name"));
}

static void odd_memory_size_is_rounded_up_with_a_warning(void **state)
{
	(void)state;
	module("guest mem=1048577");
	assert_int_equal(plan()->memory_bytes, MIB + 4096);
	assert_int_equal(host_log_count, 1);
	assert_non_null(strstr(host_last_log, "rounded up"));
}

static void module_without_a_guest_is_left_out(void **state)
{
	(void)state;
	module("module -- nobody's");
	plan();
	assert_int_equal(plans.guest_count, 0);
	assert_int_equal(plans.refused_count, 0);
	assert_non_null(strstr(host_last_log, "no guest before it"));
}

static void words_before_a_modules_dashes_are_warned_about(void **state)
{
	(void)state;
	module("guest");
	module("module odd -- text");
	assert_string_equal(plan()->attachments[0].text, "text");
	assert_int_equal(host_log_count, 1);
	assert_non_null(strstr(host_last_log, "odd"));
}

static void limits_hold_and_are_named(void **state)
{
	(void)state;
	for (int i = 0; i <= GUESTS_MAX; i++)
		module("guest");
	plan();
	assert_int_equal(plans.guest_count, GUESTS_MAX);
	assert_int_equal(plans.refused_count, 1);
	assert_non_null(strstr(host_last_log, "16 guests"));

	reset(state);
	module("guest");
	for (int i = 0; i <= GUEST_ATTACHMENTS_MAX; i++)
		module("module");
	assert_int_equal(plan()->attachment_count, GUEST_ATTACHMENTS_MAX);
	assert_int_equal(host_log_count, 1);
	assert_non_null(strstr(host_last_log, "32 modules"));

	reset(state);
	module("guest k0= k1= k2= k3= k4= k5= k6= k7= k8= k9= ka= kb= kc= kd= "
	       "ke= kf=last kf=again");
	assert_int_equal(plan()->setting_count, GUEST_SETTINGS_MAX);
	assert_string_equal(guest_plan_setting(plan(), "kf"), "again");
	assert_string_equal(guest_plan_setting(plan(), "k0"), "");

	reset(state);
	module("guest k0= k1= k2= k3= k4= k5= k6= k7= k8= k9= ka= kb= kc= kd= "
	       "ke= kf= kg=");
	assert_refused("a guest takes 16 settings");
}

/* Modules of 64 bytes each, so many bytes of them files. */
static u64 fingerprint_of(const char *words, const char *part, u32 file_bytes)
{
	memset(&boot, 0, sizeof(boot));
	module(words);
	module(part);
	for (u32 i = 0; i < boot.module_count; i++) {
		boot.modules[i].base = hpa(64ULL * i);
		boot.modules[i].bytes = file_bytes;
	}
	return guest_plan_fingerprint(plan(), &boot);
}

static void fingerprint_is_of_all_that_a_guest_begins_with(void **state)
{
	static const char words[] = "guest name=a mem=64M cpus=2 -- console=x";
	static const char part[] = "module -- one";
	u64 fingerprint;

	(void)state;
	memset(phys_memory, 7, 128);
	fingerprint = fingerprint_of(words, part, 60);
	assert_int_not_equal(fingerprint, 0);
	assert_true(fingerprint ==
		    fingerprint_of("guest start=reset mem=65536K cpus=2 "
				   "name=other -- console=x",
				   part, 60));
	assert_true(
	    fingerprint !=
	    fingerprint_of("guest mem=64M cpus=2 -- console=y", part, 60));
	assert_true(
	    fingerprint !=
	    fingerprint_of("guest mem=64M cpus=3 -- console=x", part, 60));
	assert_true(
	    fingerprint !=
	    fingerprint_of("guest mem=65M cpus=2 -- console=x", part, 60));
	assert_true(fingerprint != fingerprint_of(words, "module -- two", 60));
	assert_true(fingerprint != fingerprint_of(words, "initrd -- one", 60));
	assert_true(fingerprint != fingerprint_of(words, part, 61));
	phys_memory[59]++;
	assert_true(fingerprint != fingerprint_of(words, part, 60));
	phys_memory[59]--;
	phys_memory[64 + 59]++;
	assert_true(fingerprint != fingerprint_of(words, part, 60));
}

/* The fingerprint that a peer tells may be anybody's. */
static void plan_of_a_guest_that_came_has_its_cpus(void **state)
{
	u64 fingerprint;

	(void)state;
	module("guest name=a mem=64M cpus=2");
	module("guest name=b mem=64M cpus=2 -- b");
	plan();
	assert_int_equal(plans.guest_count, 2);
	fingerprint = guest_plan_fingerprint(&plans.guests[1], &boot);
	assert_ptr_equal(guest_plan_find(&plans, &boot, fingerprint, 2),
			 &plans.guests[1]);
	assert_null(guest_plan_find(&plans, &boot, fingerprint, 1));
	assert_null(guest_plan_find(&plans, &boot, fingerprint, 3));
	assert_null(guest_plan_find(&plans, &boot, fingerprint + 1, 2));
	assert_null(guest_plan_find(&plans, &boot, 0, 2));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, reset)
	const struct CMUnitTest tests[] = {
	    TEST(bare_guest_gets_the_defaults),
	    TEST(every_key_and_the_command_line_are_taken),
	    TEST(modules_belong_to_the_guest_before_them),
	    TEST(without_roles_the_first_is_the_guest),
	    TEST(names_come_from_files_and_stay_unique),
	    TEST(name_asked_for_wins_over_a_file_name_before_it),
	    TEST(long_file_name_is_cut_to_a_name),
	    TEST(wrong_values_refuse_the_guest_with_one_line),
	    TEST(refused_guest_leaves_the_others_alone),
	    TEST(second_guest_with_a_name_is_refused),
	    TEST(odd_memory_size_is_rounded_up_with_a_warning),
	    TEST(module_without_a_guest_is_left_out),
	    TEST(words_before_a_modules_dashes_are_warned_about),
	    TEST(limits_hold_and_are_named),
	    TEST(fingerprint_is_of_all_that_a_guest_begins_with),
	    TEST(plan_of_a_guest_that_came_has_its_cpus),
	};

	return cmocka_run_group_tests_name("guest_plan", tests, NULL, NULL);
}
