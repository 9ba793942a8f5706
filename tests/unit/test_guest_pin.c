/* SPDX-License-Identifier: MIT */
/* pin=: lists that are good, and each way to be bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "loader/guest_pin.h"

static void no_setting_floats(void **state)
{
	struct guest_pins pins;

	(void)state;
	memset(&pins, 0xff, sizeof(pins));
	assert_int_equal(guest_pin_parse(NULL, 4, &pins), OK);
	assert_int_equal(pins.count, 0);
	assert_int_equal(guest_pin_of(&pins, 0), GUEST_PIN_NONE);
	assert_int_equal(guest_pin_of(&pins, 63), GUEST_PIN_NONE);
}

static void list_begins_again_at_its_end(void **state)
{
	struct guest_pins pins;

	(void)state;
	assert_int_equal(guest_pin_parse("3,0,12", 13, &pins), OK);
	assert_int_equal(guest_pin_of(&pins, 0), 3);
	assert_int_equal(guest_pin_of(&pins, 1), 0);
	assert_int_equal(guest_pin_of(&pins, 2), 12);
	assert_int_equal(guest_pin_of(&pins, 3), 3);
	assert_int_equal(guest_pin_of(&pins, 62), 12);
}

static void bad_lists_are_refused_and_change_nothing(void **state)
{
	static const struct {
		const char *text;
		enum err err;
	} bad[] = {
	    {"", ERR_BAD_FORMAT},    {",", ERR_BAD_FORMAT},
	    {"1,", ERR_BAD_FORMAT},  {"1,,2", ERR_BAD_FORMAT},
	    {"1;2", ERR_BAD_FORMAT}, {" 1", ERR_BAD_FORMAT},
	    {"-1", ERR_BAD_FORMAT},  {"1x", ERR_BAD_FORMAT},
	    {"all", ERR_BAD_FORMAT}, {"4", ERR_RANGE},
	    {"0,4", ERR_RANGE},      {"99999999999999999999", ERR_RANGE},
	    {"00001", ERR_RANGE},
	};
	struct guest_pins pins, before;

	(void)state;
	memset(&pins, 0x5a, sizeof(pins));
	before = pins;
	for (u32 i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(guest_pin_parse(bad[i].text, 4, &pins),
				 bad[i].err);
		assert_memory_equal(&pins, &before, sizeof(pins));
	}
}

static void list_has_room_for_every_vcpu_and_no_more(void **state)
{
	char text[2 * GUEST_CPUS_MAX + 2];
	struct guest_pins pins;

	(void)state;
	for (u32 i = 0; i <= GUEST_CPUS_MAX; i++) {
		text[2 * i] = '1';
		text[2 * i + 1] = ',';
	}
	text[2 * GUEST_CPUS_MAX - 1] = '\0';
	assert_int_equal(guest_pin_parse(text, 2, &pins), OK);
	assert_int_equal(pins.count, GUEST_CPUS_MAX);
	text[2 * GUEST_CPUS_MAX - 1] = ',';
	text[2 * GUEST_CPUS_MAX + 1] = '\0';
	assert_int_equal(guest_pin_parse(text, 2, &pins), ERR_RANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_setting_floats),
	    cmocka_unit_test(list_begins_again_at_its_end),
	    cmocka_unit_test(bad_lists_are_refused_and_change_nothing),
	    cmocka_unit_test(list_has_room_for_every_vcpu_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
