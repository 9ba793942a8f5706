/* SPDX-License-Identifier: MIT */
/*
 * Command lines: words `key=value`, separated by blanks.
 *
 * A double quote begins or ends a stretch in which blanks do not separate.
 * Quotes around a whole word or a whole value are not part of it:
 * name="my guest" has the value `my guest`. There is no escape character.
 *
 * Words are slices of the caller's line, which must live as long as they do.
 */
#ifndef LOADER_CMDLINE_H
#define LOADER_CMDLINE_H

#include "lib/err.h"
#include "lib/types.h"

/* Part of a text; not terminated. Print it with "%.*s", SLICE_ARGS(slice). */
struct slice {
	const char *at;
	u32 length;
};

#define SLICE_ARGS(slice) (int)(slice).length, (slice).at

bool slice_is(struct slice slice, const char *text);

struct cmdline_word {
	struct slice text; /* the whole word, as written */
	struct slice key;  /* up to the first '='; the whole word without one */
	struct slice value; /* after the '='; empty without one */
	bool has_value;     /* there is a '=' */
};

/*
 * Takes the next word off the line and moves `*rest` behind it.
 * ERR_NOT_FOUND   no word is left
 * ERR_BAD_FORMAT  a quote is not closed; the word takes all that is left, and
 *                 is given out so that a message can show it
 */
MUST_CHECK enum err cmdline_next(const char **rest, struct cmdline_word *word);

/* The last word with this key, as later words override earlier ones. */
MUST_CHECK enum err cmdline_find(const char *line, const char *key,
				 struct cmdline_word *word);

/* What a key's value may be. */
enum cmdline_kind {
	CMDLINE_NUMBER, /* 10 or 0x1f, from `minimum` to `maximum` */
	CMDLINE_BYTES,  /* the same with K, M, G or T behind it */
	CMDLINE_CHOICE, /* one of `choices`; the value is its index */
	CMDLINE_TEXT,   /* `minimum` to `maximum` characters */
	CMDLINE_IPV4,   /* 10.0.0.1; the value is 0x0a000001 */
};

#define CMDLINE_CHOICES_MAX 8

struct cmdline_rule {
	const char *key;
	enum cmdline_kind kind;
	u64 minimum, maximum;
	const char *choices[CMDLINE_CHOICES_MAX]; /* NULL: no more */
};

/*
 * The value of `word` under `rule`; for CMDLINE_TEXT its length.
 * ERR_BAD_FORMAT  not a number, not a size, none of the choices, no value
 * ERR_RANGE       a number or length outside the rule's bounds
 */
MUST_CHECK enum err cmdline_value(const struct cmdline_rule *rule,
				  const struct cmdline_word *word, u64 *value);

/*
 * Says into `buffer` which word is wrong and what is allowed:
 *	mem=12Q: wants a size from 1M to 1T, such as 1M
 * For the log line after cmdline_value has failed. Returns the length.
 */
size_t cmdline_explain(const struct cmdline_rule *rule,
		       const struct cmdline_word *word, char *buffer,
		       size_t buffer_bytes);

/* Writes a size as a person would: 64M, 1G, 4097. Returns the length. */
size_t cmdline_print_bytes(u64 bytes, char *buffer, size_t buffer_bytes);

#endif
