/* SPDX-License-Identifier: MIT */
/*
 * From module strings to plans. Modules are taken in the loader's order; one
 * that opens a guest is the owner of those that follow it, and when it is
 * refused they go with it.
 */
#include "loader/guest_plan.h"
#include "lib/crc32c.h"
#include "lib/fmt.h"
#include "lib/log.h"
#include "lib/string.h"
#include "loader/cmdline.h"
#include "mm/phys.h"

#define MEMORY_MINIMUM (1 * MIB)
#define MEMORY_MAXIMUM (1ULL << 40)

enum role { ROLE_NONE, ROLE_GUEST, ROLE_MODULE, ROLE_INITRD };

/* A module's string, taken apart up to the words of its role. */
struct entry {
	u32 module;
	enum role role;
	struct slice file_name; /* empty: the loader gives none */
	const char *words;      /* what follows the role */
};

/* The state while the modules are gone through. */
struct planner {
	struct guest_plans *plans;
	/* The guest that takes the next modules; NULL: none, or refused. */
	struct guest_plan *owner;
	bool owner_refused;
	struct slice file_names[GUESTS_MAX]; /* for guests without a name */
};

enum key { KEY_NAME, KEY_MEM, KEY_CPUS, KEY_NESTED, KEY_COUNT };

static const struct cmdline_rule rules[KEY_COUNT] = {
    [KEY_NAME] = {.key = "name",
		  .kind = CMDLINE_TEXT,
		  .minimum = 1,
		  .maximum = GUEST_NAME_BYTES - 1},
    [KEY_MEM] = {.key = "mem",
		 .kind = CMDLINE_BYTES,
		 .minimum = MEMORY_MINIMUM,
		 .maximum = MEMORY_MAXIMUM},
    [KEY_CPUS] = {.key = "cpus",
		  .kind = CMDLINE_NUMBER,
		  .minimum = 1,
		  .maximum = GUEST_CPUS_MAX},
    [KEY_NESTED] =
	{.key = "nested",
	 .kind = CMDLINE_CHOICE,
	 .choices = {[GUEST_NESTED_OFF] = "off", [GUEST_NESTED_ON] = "on"}},
};

/* --- Names -------------------------------------------------------------- */

static bool is_name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

/* Guests up to `count` are looked at. */
static bool name_is_taken(const struct guest_plans *plans, u32 count,
			  const char *name)
{
	for (u32 i = 0; i < count; i++)
		if (strcmp(plans->guests[i].name, name) == 0)
			return true;
	return false;
}

/* "/boot/my kernel.elf" gives "my-kernel"; nothing usable gives "". */
static void name_from_file(struct slice file, char *name)
{
	u32 start = 0, end = file.length, length = 0;

	for (u32 i = 0; i < file.length; i++)
		if (file.at[i] == '/')
			start = i + 1;
	for (u32 i = start + 1; i < file.length; i++)
		if (file.at[i] == '.')
			end = i;
	for (u32 i = start; i < end && length < GUEST_NAME_BYTES - 1; i++)
		name[length++] =
		    is_name_character(file.at[i]) ? file.at[i] : '-';
	name[length] = 0;
}

/* Last of all, so that a name that was asked for never collides with one. */
static void name_the_nameless(struct planner *planner)
{
	struct guest_plans *plans = planner->plans;

	for (u32 i = 0; i < plans->guest_count; i++) {
		struct guest_plan *plan = &plans->guests[i];
		char name[GUEST_NAME_BYTES];

		if (plan->name[0])
			continue;
		name_from_file(planner->file_names[i], name);
		for (u32 n = i;
		     !name[0] || name_is_taken(plans, plans->guest_count, name);
		     n++)
			fmt(name, sizeof(name), "guest%u", n);
		memcpy(plan->name, name, sizeof(name));
	}
}

/* --- A guest's words ---------------------------------------------------- */

/* ERR_OVERLAP: another guest has the name. */
static enum err set_name(struct planner *planner, struct guest_plan *plan,
			 struct slice text)
{
	char name[GUEST_NAME_BYTES] = {0};

	for (u32 i = 0; i < text.length; i++)
		if (!is_name_character(text.at[i]))
			return ERR_BAD_FORMAT;
	memcpy(name, text.at, text.length);
	if (name_is_taken(planner->plans, planner->plans->guest_count, name))
		return ERR_OVERLAP;
	memcpy(plan->name, name, sizeof(name));
	return OK;
}

static void set_memory(struct guest_plan *plan, u64 bytes)
{
	plan->memory_bytes = align_up(bytes, PAGE_4K);
	if (plan->memory_bytes != bytes)
		log_warn("guest memory of %lu bytes is rounded up to %lu, "
			 "whole pages of 4K",
			 bytes, plan->memory_bytes);
}

/* Returns the setting with this key, or a new one; NULL: no room. */
static struct guest_setting *setting_for(struct guest_plan *plan,
					 struct slice key)
{
	for (u32 i = 0; i < plan->setting_count; i++)
		if (slice_is(key, plan->settings[i].key))
			return &plan->settings[i];
	if (plan->setting_count == GUEST_SETTINGS_MAX)
		return NULL;
	return &plan->settings[plan->setting_count++];
}

static void copy_slice(char *buffer, struct slice slice)
{
	memcpy(buffer, slice.at, slice.length);
	buffer[slice.length] = 0;
}

static enum err keep_setting(struct guest_plan *plan,
			     const struct cmdline_word *word)
{
	if (!word->has_value || word->key.length == 0)
		return ERR_BAD_FORMAT;
	if (word->key.length >= GUEST_SETTING_KEY_BYTES ||
	    word->value.length >= GUEST_SETTING_BYTES)
		return ERR_RANGE;
	struct guest_setting *setting = setting_for(plan, word->key);

	if (!setting)
		return ERR_NO_MEMORY;
	copy_slice(setting->key, word->key);
	copy_slice(setting->value, word->value);
	return OK;
}

static enum err apply_key(struct planner *planner, struct guest_plan *plan,
			  enum key key, const struct cmdline_word *word)
{
	u64 value;
	enum err err = cmdline_value(&rules[key], word, &value);

	if (err)
		return err;
	switch (key) {
	case KEY_NAME:
		return set_name(planner, plan, word->value);
	case KEY_MEM:
		set_memory(plan, value);
		break;
	case KEY_CPUS:
		plan->cpus = (u32)value;
		break;
	case KEY_NESTED:
		plan->nested = (enum guest_nested)value;
		break;
	case KEY_COUNT:
		break;
	}
	return OK;
}

/* Why `word` cannot be, in words; the caller has failed with `err`. */
static void explain(enum err err, enum key key, const struct cmdline_word *word,
		    char *buffer, size_t buffer_bytes)
{
	if (key == KEY_NAME && err == ERR_OVERLAP)
		fmt(buffer, buffer_bytes, "%.*s: another guest has this name",
		    SLICE_ARGS(word->text));
	else if (key == KEY_NAME && err == ERR_BAD_FORMAT && word->has_value)
		fmt(buffer, buffer_bytes,
		    "%.*s: a name has letters, digits, '-', '_' and '.'",
		    SLICE_ARGS(word->text));
	else if (key != KEY_COUNT)
		cmdline_explain(&rules[key], word, buffer, buffer_bytes);
	else if (err == ERR_NO_MEMORY)
		fmt(buffer, buffer_bytes, "%.*s: a guest takes %u settings",
		    SLICE_ARGS(word->text), GUEST_SETTINGS_MAX);
	else
		fmt(buffer, buffer_bytes,
		    "%.*s: wants key=value, with at most %u and %u characters",
		    SLICE_ARGS(word->text), GUEST_SETTING_KEY_BYTES - 1,
		    GUEST_SETTING_BYTES - 1);
}

static enum err apply_word(struct planner *planner, struct guest_plan *plan,
			   const struct cmdline_word *word, char *complaint,
			   size_t complaint_bytes)
{
	u32 key = 0;

	while (key < KEY_COUNT && !slice_is(word->key, rules[key].key))
		key++;
	enum err err = key < KEY_COUNT
			   ? apply_key(planner, plan, (enum key)key, word)
			   : keep_setting(plan, word);

	if (err)
		explain(err, (enum key)key, word, complaint, complaint_bytes);
	return err;
}

/* The rest of a line, behind a "--" and the blank that ends it. */
static const char *behind_dashes(const char *rest)
{
	return *rest ? rest + 1 : rest;
}

static enum err apply_words(struct planner *planner, struct guest_plan *plan,
			    const char *words, char *complaint,
			    size_t complaint_bytes)
{
	struct cmdline_word word;
	enum err err;

	while ((err = cmdline_next(&words, &word)) == OK) {
		if (slice_is(word.text, "--")) {
			plan->command_line = behind_dashes(words);
			return OK;
		}
		err = apply_word(planner, plan, &word, complaint,
				 complaint_bytes);
		if (err)
			return err;
	}
	if (err == ERR_NOT_FOUND)
		return OK;
	fmt(complaint, complaint_bytes, "%.*s: the quote is not closed",
	    SLICE_ARGS(word.text));
	return err;
}

/* --- Modules ------------------------------------------------------------ */

static enum role role_of(struct slice word)
{
	if (slice_is(word, "guest"))
		return ROLE_GUEST;
	if (slice_is(word, "module"))
		return ROLE_MODULE;
	if (slice_is(word, "initrd"))
		return ROLE_INITRD;
	return ROLE_NONE;
}

/* Finds the role among the first two words. */
static struct entry take_apart(const struct boot_info *boot, u32 module)
{
	const char *text = boot->modules[module].text;
	struct entry entry = {.module = module, .words = text};
	const char *rest = text;
	struct cmdline_word word;

	for (u32 i = 0; i < 2 && cmdline_next(&rest, &word) == OK; i++) {
		entry.role = role_of(word.text);
		if (entry.role != ROLE_NONE) {
			entry.words = rest;
			return entry;
		}
		if (i == 0)
			entry.file_name = word.key;
	}
	return entry;
}

static void refuse(struct planner *planner, u32 module, const char *why)
{
	log_error("the guest of boot module %u is not started: %s", module,
		  why);
	planner->owner = NULL;
	planner->owner_refused = true;
	planner->plans->refused_count++;
}

static void open_guest(struct planner *planner, const struct entry *entry)
{
	struct guest_plans *plans = planner->plans;
	char complaint[256];

	if (plans->guest_count == GUESTS_MAX) {
		fmt(complaint, sizeof(complaint), "Umbra takes %u guests",
		    GUESTS_MAX);
		refuse(planner, entry->module, complaint);
		return;
	}
	struct guest_plan *plan = &plans->guests[plans->guest_count];

	memset(plan, 0, sizeof(*plan));
	plan->memory_bytes = GUEST_MEMORY_DEFAULT;
	plan->cpus = 1;
	plan->nested = GUEST_NESTED_ON;
	plan->kernel_module = entry->module;
	plan->command_line = "";
	if (entry->role == ROLE_NONE) {
		plan->command_line = entry->words;
	} else if (apply_words(planner, plan, entry->words, complaint,
			       sizeof(complaint))) {
		refuse(planner, entry->module, complaint);
		return;
	}
	planner->file_names[plans->guest_count++] = entry->file_name;
	planner->owner = plan;
	planner->owner_refused = false;
}

/* The text behind "--"; other words have no meaning for a module. */
static const char *attachment_text(const struct entry *entry)
{
	const char *rest = entry->words;
	struct cmdline_word word;

	if (entry->role == ROLE_NONE)
		return entry->words;
	while (cmdline_next(&rest, &word) == OK) {
		if (slice_is(word.text, "--"))
			return behind_dashes(rest);
		log_warn("boot module %u: %.*s is ignored; its text stands "
			 "behind \"--\"",
			 entry->module, SLICE_ARGS(word.text));
	}
	return "";
}

static void attach(struct planner *planner, const struct entry *entry)
{
	struct guest_plan *owner = planner->owner;

	if (planner->owner_refused)
		return; /* the line that refused its guest stands for it too */
	if (!owner) {
		log_error("boot module %u has no guest before it; it is left "
			  "out",
			  entry->module);
		return;
	}
	if (owner->attachment_count == GUEST_ATTACHMENTS_MAX) {
		log_error("boot module %u is left out: a guest takes %u "
			  "modules",
			  entry->module, GUEST_ATTACHMENTS_MAX);
		return;
	}
	owner->attachments[owner->attachment_count++] =
	    (struct guest_attachment){
		.kind =
		    entry->role == ROLE_INITRD ? GUEST_INITRD : GUEST_MODULE,
		.module = entry->module,
		.text = attachment_text(entry),
	    };
}

void guest_plan_all(struct guest_plans *plans, const struct boot_info *boot)
{
	struct planner planner = {.plans = plans};

	plans->guest_count = 0;
	plans->refused_count = 0;
	for (u32 i = 0; i < boot->module_count; i++) {
		struct entry entry = take_apart(boot, i);
		bool opens = entry.role == ROLE_GUEST ||
			     (entry.role == ROLE_NONE && !planner.owner &&
			      !planner.owner_refused);

		if (opens)
			open_guest(&planner, &entry);
		else
			attach(&planner, &entry);
	}
	name_the_nameless(&planner);
}

const char *guest_plan_setting(const struct guest_plan *plan, const char *key)
{
	for (u32 i = 0; i < plan->setting_count; i++)
		if (strcmp(plan->settings[i].key, key) == 0)
			return plan->settings[i].value;
	return NULL;
}

/* --- The fingerprint ---------------------------------------------------- */

static u32 add_number(u32 crc, u64 number)
{
	return crc32c(crc, &number, sizeof(number));
}

/* With its end, so that nothing can pass from one text to the next. */
static u32 add_text(u32 crc, const char *text)
{
	return crc32c(crc, text, strlen(text) + 1);
}

static u32 add_file(u32 crc, const struct boot_module *file)
{
	crc = add_number(crc, file->bytes);
	return crc32c(crc, phys_ptr(file->base), file->bytes);
}

u64 guest_plan_fingerprint(const struct guest_plan *plan,
			   const struct boot_info *boot)
{
	u32 crc = add_number(0, plan->memory_bytes);
	u64 bytes = boot->modules[plan->kernel_module].bytes;

	crc = add_number(crc, plan->cpus);
	crc = add_text(crc, plan->command_line);
	crc = add_file(crc, &boot->modules[plan->kernel_module]);
	for (u32 i = 0; i < plan->attachment_count; i++) {
		const struct guest_attachment *part = &plan->attachments[i];

		crc = add_number(crc, part->kind);
		crc = add_text(crc, part->text);
		crc = add_file(crc, &boot->modules[part->module]);
		bytes += boot->modules[part->module].bytes;
	}
	return BIT(63) | (bytes & BITS(30, 0)) << 32 | crc;
}

const struct guest_plan *guest_plan_find(const struct guest_plans *all,
					 const struct boot_info *boot,
					 u64 fingerprint, u32 cpus)
{
	for (u32 i = 0; fingerprint && i < all->guest_count; i++) {
		const struct guest_plan *plan = &all->guests[i];

		/* It takes reading the files: the last thing to look at. */
		if (plan->cpus == cpus &&
		    guest_plan_fingerprint(plan, boot) == fingerprint)
			return plan;
	}
	return NULL;
}
