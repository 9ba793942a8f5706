/* SPDX-License-Identifier: MIT */
/* See core/settings.h. */
#include "core/settings.h"
#include "lib/check.h"
#include "lib/log.h"
#include "lib/string.h"
#include "loader/cmdline.h"

/* docs/GUESTS.md says what each does. */
static const char *const known[] = {
    "audit",         "bench",       "compress",    "connect",
    "cpu",           "dirty",       "dirty.l2",    "downtime",
    "hyperv",        "input",       "loopback",    "loopback.compare",
    "loopback.seed", "pin",         "record.at",   "record.least",
    "record.loop",   "record.seed", "record.wait", "reset",
    "start",         "stuck",
};

static bool is_known(const char *key)
{
	for (u32 i = 0; i < ARRAY_COUNT(known); i++)
		if (!strcmp(key, known[i]))
			return true;
	return false;
}

const char *setting_text(const struct guest_plan *plan, const char *key)
{
	/* Else settings_check() would say that it is none. */
	CHECK(is_known(key));
	return guest_plan_setting(plan, key);
}

void settings_check(const struct guest_plan *plan)
{
	for (u32 i = 0; i < plan->setting_count; i++)
		if (!is_known(plan->settings[i].key))
			log_warn("guest %s: %s=%s is no setting of a guest; it "
				 "is ignored (docs/GUESTS.md lists them)",
				 plan->name, plan->settings[i].key,
				 plan->settings[i].value);
}

enum err setting_number(const struct guest_plan *plan, const char *key,
			u64 *value)
{
	const struct cmdline_rule rule = {
	    key, CMDLINE_NUMBER, 0, UINT32_MAX, {NULL}};
	const char *text = setting_text(plan, key);
	struct cmdline_word word = {.has_value = true};
	char explanation[128];
	enum err err;

	if (!text)
		return OK;
	word.key = (struct slice){key, (u32)strlen(key)};
	word.value = (struct slice){text, (u32)strlen(text)};
	word.text = word.value;
	err = cmdline_value(&rule, &word, value);
	if (err == OK)
		return OK;
	cmdline_explain(&rule, &word, explanation, sizeof(explanation));
	log_error("guest %s: %s", plan->name, explanation);
	return err;
}

enum err setting_choose(const struct guest_plan *plan,
			const struct setting_choice *choice, bool *is_second)
{
	const char *text = setting_text(plan, choice->key);

	*is_second = text && !strcmp(text, choice->second);
	if (!text || *is_second || !strcmp(text, choice->first))
		return OK;
	log_error("guest %s: %s=%s: it can be %s or %s", plan->name,
		  choice->key, text, choice->first, choice->second);
	return ERR_BAD_FORMAT;
}
