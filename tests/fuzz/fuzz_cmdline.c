/* SPDX-License-Identifier: MIT */
/* Command lines: words, values under every kind of rule, Umbra's options. */
#include "loader/cmdline.h"
#include "loader/options.h"
#include "tests/fuzz/fuzz.h"

static const struct cmdline_rule rules[] = {
    {.key = "n", .kind = CMDLINE_NUMBER, .minimum = 1, .maximum = 64},
    {.key = "b", .kind = CMDLINE_BYTES, .minimum = MIB, .maximum = 1ULL << 40},
    {.key = "t", .kind = CMDLINE_TEXT, .minimum = 1, .maximum = 31},
    {.key = "c", .kind = CMDLINE_CHOICE, .choices = {"a", "bc"}},
};

static void check_slice(struct slice slice, struct slice whole)
{
	REQUIRE(slice.at >= whole.at);
	REQUIRE(slice.at + slice.length <= whole.at + whole.length);
}

static void check_values(const struct cmdline_word *word)
{
	char complaint[64];

	for (u32 i = 0; i < ARRAY_COUNT(rules); i++) {
		u64 value = 77;
		enum err err = cmdline_value(&rules[i], word, &value);

		REQUIRE(err == OK || value == 77);
		REQUIRE(
		    err != OK || rules[i].kind == CMDLINE_CHOICE ||
		    (value >= rules[i].minimum && value <= rules[i].maximum));
		REQUIRE(err != OK || rules[i].kind != CMDLINE_CHOICE ||
			value < 2);
		cmdline_explain(&rules[i], word, complaint, sizeof(complaint));
		REQUIRE(strnlen(complaint, sizeof(complaint)) <
			sizeof(complaint));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	const struct slice line = {text, (u32)strlen(text)};
	const char *rest = text;
	struct cmdline_word word;
	struct options options;
	enum err err;

	while ((err = cmdline_next(&rest, &word)) == OK) {
		check_slice(word.text, line);
		check_slice(word.key, word.text);
		check_slice(word.value, word.text);
		REQUIRE(word.text.length > 0);
		check_values(&word);
	}
	REQUIRE(err == ERR_BAD_FORMAT || rest[strspn(rest, " \t\r\n")] == 0);
	if (cmdline_find(text, "n", &word) == OK)
		REQUIRE(slice_is(word.key, "n"));
	options_parse(&options, text);
	REQUIRE(options.console <= CONSOLE_MUX && options.exit <= EXIT_ACPI &&
		options.loglevel <= LOG_DEBUG);
	free(text);
	return 0;
}
