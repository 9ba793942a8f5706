/* SPDX-License-Identifier: MIT */
/* See core/settings.h. */
#include "core/settings.h"
#include "lib/log.h"
#include "lib/string.h"
#include "loader/cmdline.h"

enum err setting_number(const struct guest_plan *plan, const char *key,
			u64 *value)
{
	const struct cmdline_rule rule = {
	    key, CMDLINE_NUMBER, 0, UINT32_MAX, {NULL}};
	const char *text = guest_plan_setting(plan, key);
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
	const char *text = guest_plan_setting(plan, choice->key);

	*is_second = text && !strcmp(text, choice->second);
	if (!text || *is_second || !strcmp(text, choice->first))
		return OK;
	log_error("guest %s: %s=%s: it can be %s or %s", plan->name,
		  choice->key, text, choice->first, choice->second);
	return ERR_BAD_FORMAT;
}
