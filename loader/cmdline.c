/* SPDX-License-Identifier: MIT */
/* Words, values and complaints: see loader/cmdline.h. */
#include "loader/cmdline.h"
#include "lib/fmt.h"
#include "lib/string.h"

bool slice_is(struct slice slice, const char *text)
{
	return strlen(text) == slice.length &&
	       memcmp(slice.at, text, slice.length) == 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct slice without_quotes(struct slice slice)
{
	if (slice.length < 2 || slice.at[0] != '"' ||
	    slice.at[slice.length - 1] != '"')
		return slice;
	return (struct slice){slice.at + 1, slice.length - 2};
}

static void split(struct cmdline_word *word)
{
	struct slice whole = without_quotes(word->text);
	u32 key_length = 0;

	while (key_length < whole.length && whole.at[key_length] != '=')
		key_length++;
	word->key = (struct slice){whole.at, key_length};
	word->has_value = key_length < whole.length;
	u32 value_at = key_length + (word->has_value ? 1 : 0);

	word->value = without_quotes(
	    (struct slice){whole.at + value_at, whole.length - value_at});
}

enum err cmdline_next(const char **rest, struct cmdline_word *word)
{
	const char *at = *rest;
	bool quoted = false;

	while (is_blank(*at))
		at++;
	if (!*at)
		return ERR_NOT_FOUND;
	const char *start = at;

	for (; *at && (quoted || !is_blank(*at)); at++)
		if (*at == '"')
			quoted = !quoted;
	word->text = (struct slice){start, (u32)(at - start)};
	split(word);
	*rest = at;
	return quoted ? ERR_BAD_FORMAT : OK;
}

enum err cmdline_find(const char *line, const char *key,
		      struct cmdline_word *word)
{
	enum err found = ERR_NOT_FOUND;
	struct cmdline_word next;

	while (cmdline_next(&line, &next) == OK) {
		if (slice_is(next.key, key)) {
			*word = next;
			found = OK;
		}
	}
	return found;
}

/* --- Values ------------------------------------------------------------- */

/* The digit's value; 16 and more: no digit. */
static u32 digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (u32)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (u32)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (u32)(c - 'A') + 10;
	return 16;
}

/* Takes digits off the front of `*text`. */
static enum err take_number(struct slice *text, u64 *number)
{
	bool hex = text->length > 2 && text->at[0] == '0' &&
		   (text->at[1] == 'x' || text->at[1] == 'X');
	u32 base = hex ? 16 : 10;
	u32 start = hex ? 2 : 0;
	u32 i = start;
	u64 value = 0;

	for (; i < text->length && digit_of(text->at[i]) < base; i++)
		if (__builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, digit_of(text->at[i]),
					   &value))
			return ERR_RANGE;
	if (i == start)
		return ERR_BAD_FORMAT;
	*text = (struct slice){text->at + i, text->length - i};
	*number = value;
	return OK;
}

/* The shift that K, M, G or T stands for, in either case; -1: no unit. */
static int unit_shift(char c)
{
	for (int i = 0; i < 4; i++)
		if (c == "KMGT"[i] || c == "kmgt"[i])
			return 10 * (i + 1);
	return -1;
}

static enum err parse_number(struct slice text, u64 *value)
{
	u64 number;
	enum err err = take_number(&text, &number);

	if (err)
		return err;
	if (text.length)
		return ERR_BAD_FORMAT;
	*value = number;
	return OK;
}

static enum err parse_bytes(struct slice text, u64 *value)
{
	u64 number;
	enum err err = take_number(&text, &number);

	if (err)
		return err;
	int shift = text.length == 1 ? unit_shift(text.at[0]) : 0;

	if (text.length > 1 || shift < 0)
		return ERR_BAD_FORMAT;
	if (number > ~0ULL >> shift)
		return ERR_RANGE;
	*value = number << shift;
	return OK;
}

static enum err parse_choice(const struct cmdline_rule *rule, struct slice text,
			     u64 *value)
{
	for (u32 i = 0; i < CMDLINE_CHOICES_MAX && rule->choices[i]; i++) {
		if (slice_is(text, rule->choices[i])) {
			*value = i;
			return OK;
		}
	}
	return ERR_BAD_FORMAT;
}

/* Four decimal numbers below 256, with dots between. */
static enum err parse_ipv4(struct slice text, u64 *value)
{
	u64 address = 0;

	for (u32 i = 0; i < 4; i++) {
		u64 number;

		if (i && (!text.length || text.at[0] != '.'))
			return ERR_BAD_FORMAT;
		if (i)
			text = (struct slice){text.at + 1, text.length - 1};
		if (take_number(&text, &number) != OK || number > 255)
			return ERR_BAD_FORMAT;
		address = address << 8 | number;
	}
	if (text.length)
		return ERR_BAD_FORMAT;
	*value = address;
	return OK;
}

static enum err check_range(const struct cmdline_rule *rule, u64 number,
			    u64 *value)
{
	if (number < rule->minimum || number > rule->maximum)
		return ERR_RANGE;
	*value = number;
	return OK;
}

enum err cmdline_value(const struct cmdline_rule *rule,
		       const struct cmdline_word *word, u64 *value)
{
	u64 number = 0;
	enum err err = OK;

	if (!word->has_value)
		return ERR_BAD_FORMAT;
	switch (rule->kind) {
	case CMDLINE_CHOICE:
		return parse_choice(rule, word->value, value);
	case CMDLINE_TEXT:
		return check_range(rule, word->value.length, value);
	case CMDLINE_IPV4:
		return parse_ipv4(word->value, value);
	case CMDLINE_NUMBER:
		err = parse_number(word->value, &number);
		break;
	case CMDLINE_BYTES:
		err = parse_bytes(word->value, &number);
		break;
	}
	return err ? err : check_range(rule, number, value);
}

/* --- Words for what went wrong ------------------------------------------ */

size_t cmdline_print_bytes(u64 bytes, char *buffer, size_t buffer_bytes)
{
	u32 units = 0;

	while (bytes && bytes % 1024 == 0 && units < 4) {
		bytes /= 1024;
		units++;
	}
	if (units)
		return fmt(buffer, buffer_bytes, "%lu%c", bytes,
			   "KMGT"[units - 1]);
	return fmt(buffer, buffer_bytes, "%lu", bytes);
}

static void list_choices(const struct cmdline_rule *rule, char *buffer,
			 size_t buffer_bytes)
{
	size_t length = 0;

	buffer[0] = 0;
	for (u32 i = 0; i < CMDLINE_CHOICES_MAX && rule->choices[i] &&
			length < buffer_bytes;
	     i++)
		length += fmt(buffer + length, buffer_bytes - length, "%s%s",
			      i ? ", " : "", rule->choices[i]);
}

static void describe(const struct cmdline_rule *rule, char *buffer,
		     size_t buffer_bytes)
{
	char low[24], high[24];

	switch (rule->kind) {
	case CMDLINE_NUMBER:
		fmt(buffer, buffer_bytes, "a number from %lu to %lu",
		    rule->minimum, rule->maximum);
		break;
	case CMDLINE_BYTES:
		cmdline_print_bytes(rule->minimum, low, sizeof(low));
		cmdline_print_bytes(rule->maximum, high, sizeof(high));
		fmt(buffer, buffer_bytes,
		    "a size from %s to %s, in bytes or with K, M, G or T", low,
		    high);
		break;
	case CMDLINE_CHOICE:
		list_choices(rule, buffer, buffer_bytes);
		break;
	case CMDLINE_TEXT:
		fmt(buffer, buffer_bytes, "%lu to %lu characters",
		    rule->minimum, rule->maximum);
		break;
	case CMDLINE_IPV4:
		fmt(buffer, buffer_bytes, "an address such as 10.0.0.1");
		break;
	}
}

size_t cmdline_explain(const struct cmdline_rule *rule,
		       const struct cmdline_word *word, char *buffer,
		       size_t buffer_bytes)
{
	char wanted[128];

	describe(rule, wanted, sizeof(wanted));
	return fmt(buffer, buffer_bytes, "%.*s: %s wants %s%s",
		   SLICE_ARGS(word->text), rule->key,
		   rule->kind == CMDLINE_CHOICE ? "one of " : "", wanted);
}
