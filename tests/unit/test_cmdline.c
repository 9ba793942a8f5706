/* SPDX-License-Identifier: MIT */
/* loader/cmdline: words, quotes, values and complaints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/cmdline.h"

#define assert_slice(slice, expected)                                      \
	do {                                                               \
		assert_int_equal((slice).length, strlen(expected));        \
		assert_memory_equal((slice).at, expected, (slice).length); \
	} while (0)

static const struct cmdline_rule number = {
    .key = "n", .kind = CMDLINE_NUMBER, .minimum = 1, .maximum = 64};
static const struct cmdline_rule any_number = {
    .key = "n", .kind = CMDLINE_NUMBER, .minimum = 0, .maximum = ~0ULL};
static const struct cmdline_rule size = {.key = "mem",
					 .kind = CMDLINE_BYTES,
					 .minimum = 1 * MIB,
					 .maximum = 512 * GIB};
static const struct cmdline_rule choice = {
    .key = "exit", .kind = CMDLINE_CHOICE, .choices = {"stay", "qemu"}};
static const struct cmdline_rule text = {
    .key = "name", .kind = CMDLINE_TEXT, .minimum = 1, .maximum = 4};

static struct cmdline_word word_of(const char *line)
{
	struct cmdline_word word;

	assert_int_equal(cmdline_next(&line, &word), OK);
	return word;
}

static enum err value_of(const struct cmdline_rule *rule, const char *line,
			 u64 *value)
{
	struct cmdline_word word = word_of(line);

	return cmdline_value(rule, &word, value);
}

static void words_are_split_at_blanks_outside_quotes(void **state)
{
	const char *rest = "  alpha\t beta=1  gamma=\"x y\" \"delta=p q\"\n";
	struct cmdline_word word;

	(void)state;
	assert_int_equal(cmdline_next(&rest, &word), OK);
	assert_slice(word.key, "alpha");
	assert_false(word.has_value);
	assert_int_equal(word.value.length, 0);
	assert_int_equal(cmdline_next(&rest, &word), OK);
	assert_slice(word.key, "beta");
	assert_slice(word.value, "1");
	assert_int_equal(cmdline_next(&rest, &word), OK);
	assert_slice(word.key, "gamma");
	assert_slice(word.value, "x y");
	assert_slice(word.text, "gamma=\"x y\"");
	assert_int_equal(cmdline_next(&rest, &word), OK);
	assert_slice(word.key, "delta");
	assert_slice(word.value, "p q");
	assert_int_equal(cmdline_next(&rest, &word), ERR_NOT_FOUND);
	assert_int_equal(cmdline_next(&rest, &word), ERR_NOT_FOUND);
}

static void open_quote_takes_the_rest_and_is_an_error(void **state)
{
	const char *rest = "name=\"a b c";
	struct cmdline_word word;

	(void)state;
	assert_int_equal(cmdline_next(&rest, &word), ERR_BAD_FORMAT);
	assert_slice(word.text, "name=\"a b c");
	assert_int_equal(cmdline_next(&rest, &word), ERR_NOT_FOUND);
}

static void value_keeps_further_equal_signs(void **state)
{
	struct cmdline_word word = word_of("root=UUID=7 x");

	(void)state;
	assert_slice(word.key, "root");
	assert_slice(word.value, "UUID=7");
	word = word_of("=5");
	assert_int_equal(word.key.length, 0);
	assert_slice(word.value, "5");
	word = word_of("a=");
	assert_true(word.has_value);
	assert_int_equal(word.value.length, 0);
}

static void find_gives_the_last_word_with_the_key(void **state)
{
	struct cmdline_word word;

	(void)state;
	assert_int_equal(cmdline_find("a=1 ab=2 a=3 b", "a", &word), OK);
	assert_slice(word.value, "3");
	assert_int_equal(cmdline_find("a=1 b", "b", &word), OK);
	assert_false(word.has_value);
	assert_int_equal(cmdline_find("abc=1", "ab", &word), ERR_NOT_FOUND);
	assert_int_equal(cmdline_find("", "ab", &word), ERR_NOT_FOUND);
}

static void numbers_are_decimal_or_hexadecimal(void **state)
{
	u64 value = 0;

	(void)state;
	assert_int_equal(value_of(&number, "n=64", &value), OK);
	assert_int_equal(value, 64);
	assert_int_equal(value_of(&number, "n=0x1F", &value), OK);
	assert_int_equal(value, 31);
	assert_int_equal(
	    value_of(&any_number, "n=18446744073709551615", &value), OK);
	assert_int_equal(value, ~0ULL);
}

static void numbers_that_are_none_leave_the_value_alone(void **state)
{
	static const char *const malformed[] = {
	    "n", "n=", "n=x", "n=0x", "n=-1", "n=1x", "n=1.5", "n=0xg", "n=4K"};
	u64 value = 7;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(malformed); i++)
		assert_int_equal(value_of(&number, malformed[i], &value),
				 ERR_BAD_FORMAT);
	assert_int_equal(value_of(&number, "n=0", &value), ERR_RANGE);
	assert_int_equal(value_of(&number, "n=65", &value), ERR_RANGE);
	assert_int_equal(
	    value_of(&any_number, "n=18446744073709551616", &value), ERR_RANGE);
	assert_int_equal(value_of(&any_number, "n=0x10000000000000000", &value),
			 ERR_RANGE);
	assert_int_equal(value, 7);
}

static void sizes_take_a_unit(void **state)
{
	static const struct {
		const char *word;
		u64 bytes;
	} good[] = {{"mem=1M", MIB},         {"mem=1048576", MIB},
		    {"mem=64m", 64 * MIB},   {"mem=3G", 3 * GIB},
		    {"mem=2048K", 2 * MIB},  {"mem=0x10M", 16 * MIB},
		    {"mem=\"4M\"", 4 * MIB}, {"mem=512G", 512 * GIB}};
	u64 value = 0;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(good); i++) {
		assert_int_equal(value_of(&size, good[i].word, &value), OK);
		assert_int_equal(value, good[i].bytes);
	}
	assert_int_equal(value_of(&size, "mem=1MB", &value), ERR_BAD_FORMAT);
	assert_int_equal(value_of(&size, "mem=M", &value), ERR_BAD_FORMAT);
	assert_int_equal(value_of(&size, "mem=12Q", &value), ERR_BAD_FORMAT);
	assert_int_equal(value_of(&size, "mem=1023K", &value), ERR_RANGE);
	assert_int_equal(value_of(&size, "mem=1T", &value), ERR_RANGE);
	/* 2^44 T would wrap around to a small number. */
	assert_int_equal(value_of(&size, "mem=17592186044416T", &value),
			 ERR_RANGE);
}

static void choice_is_an_index_and_text_a_length(void **state)
{
	u64 value = 9;

	(void)state;
	assert_int_equal(value_of(&choice, "exit=qemu", &value), OK);
	assert_int_equal(value, 1);
	assert_int_equal(value_of(&choice, "exit=qem", &value), ERR_BAD_FORMAT);
	assert_int_equal(value_of(&choice, "exit=", &value), ERR_BAD_FORMAT);
	assert_int_equal(value_of(&text, "name=\"a b\"", &value), OK);
	assert_int_equal(value, 3);
	assert_int_equal(value_of(&text, "name=abcde", &value), ERR_RANGE);
	assert_int_equal(value_of(&text, "name=", &value), ERR_RANGE);
	assert_int_equal(value_of(&text, "name", &value), ERR_BAD_FORMAT);
}

static void complaint_names_the_word_and_what_is_allowed(void **state)
{
	static const struct {
		const struct cmdline_rule *rule;
		const char *line, *complaint;
	} cases[] = {
	    {&number, "n=99", "n=99: n wants a number from 1 to 64"},
	    {&size, "mem=12Q",
	     "mem=12Q: mem wants a size from 1M to 512G, "
	     "in bytes or with K, M, G or T"},
	    {&choice, "exit=now", "exit=now: exit wants one of stay, qemu"},
	    {&text, "name=toolong",
	     "name=toolong: name wants 1 to 4 characters"},
	};
	char buffer[128];

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		struct cmdline_word word = word_of(cases[i].line);

		cmdline_explain(cases[i].rule, &word, buffer, sizeof(buffer));
		assert_string_equal(buffer, cases[i].complaint);
	}
}

static void sizes_print_in_the_largest_exact_unit(void **state)
{
	static const struct {
		u64 bytes;
		const char *expected;
	} cases[] = {{0, "0"},           {4097, "4097"},          {4096, "4K"},
		     {64 * MIB, "64M"},  {1536 * MIB, "1536M"},   {GIB, "1G"},
		     {2048 * GIB, "2T"}, {1ULL << 63, "8388608T"}};
	char buffer[24];

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		cmdline_print_bytes(cases[i].bytes, buffer, sizeof(buffer));
		assert_string_equal(buffer, cases[i].expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(words_are_split_at_blanks_outside_quotes),
	    cmocka_unit_test(open_quote_takes_the_rest_and_is_an_error),
	    cmocka_unit_test(value_keeps_further_equal_signs),
	    cmocka_unit_test(find_gives_the_last_word_with_the_key),
	    cmocka_unit_test(numbers_are_decimal_or_hexadecimal),
	    cmocka_unit_test(numbers_that_are_none_leave_the_value_alone),
	    cmocka_unit_test(sizes_take_a_unit),
	    cmocka_unit_test(choice_is_an_index_and_text_a_length),
	    cmocka_unit_test(complaint_names_the_word_and_what_is_allowed),
	    cmocka_unit_test(sizes_print_in_the_largest_exact_unit),
	};

	return cmocka_run_group_tests_name("cmdline", tests, NULL, NULL);
}
