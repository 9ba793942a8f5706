/* SPDX-License-Identifier: MIT */
/* A guest's settings as values; what is wrong with one has been said. */
#ifndef CORE_SETTINGS_H
#define CORE_SETTINGS_H

#include "lib/err.h"
#include "loader/guest_plan.h"

/* As it was written; NULL when the guest does not have it. `key` is one that a
 * guest can have (docs/GUESTS.md). */
const char *setting_text(const struct guest_plan *plan, const char *key);

/* Unchanged when the guest does not have the setting. */
MUST_CHECK enum err setting_number(const struct guest_plan *plan,
				   const char *key, u64 *value);

/* One of two words; without the setting it is the first. */
struct setting_choice {
	const char *key, *first, *second;
};

MUST_CHECK enum err setting_choose(const struct guest_plan *plan,
				   const struct setting_choice *choice,
				   bool *is_second);

/* Says which settings are none that a guest can have: they change nothing. */
void settings_check(const struct guest_plan *plan);

#endif
