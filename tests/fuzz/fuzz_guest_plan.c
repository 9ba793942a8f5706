/* SPDX-License-Identifier: MIT */
/* Module strings: one per line of the input. */
#include "loader/guest_plan.h"
#include "tests/fuzz/fuzz.h"

static struct boot_info boot;
static struct guest_plans plans;

static void fill_modules(const char *text)
{
	boot.module_count = 0;
	while (*text && boot.module_count < BOOT_MODULES_MAX) {
		size_t length = strcspn(text, "\n");
		struct boot_module *module = &boot.modules[boot.module_count++];
		size_t kept = length < sizeof(module->text)
				  ? length
				  : sizeof(module->text) - 1;

		memset(module->text, 0, sizeof(module->text));
		memcpy(module->text, text, kept);
		text += text[length] ? length + 1 : length;
	}
}

static void check_text(const char *text)
{
	const char *from = (const char *)&boot;

	REQUIRE(!*text || (text >= from && text < from + sizeof(boot)));
	REQUIRE(strlen(text) < BOOT_MODULE_TEXT_BYTES);
}

static void check_name(u32 i)
{
	const char *name = plans.guests[i].name;

	REQUIRE(*name && strnlen(name, GUEST_NAME_BYTES) < GUEST_NAME_BYTES);
	for (const char *c = name; *c; c++)
		REQUIRE(*c > ' ' && *c < 0x7f && *c != '/' && *c != '"');
	for (u32 j = 0; j < i; j++)
		REQUIRE(strcmp(plans.guests[j].name, name) != 0);
}

static void check_guest(u32 i, u32 *modules)
{
	const struct guest_plan *plan = &plans.guests[i];

	check_name(i);
	check_text(plan->command_line);
	REQUIRE(plan->memory_bytes >= MIB && plan->memory_bytes <= BIT(40));
	REQUIRE(is_aligned(plan->memory_bytes, PAGE_4K));
	REQUIRE(plan->cpus >= 1 && plan->cpus <= GUEST_CPUS_MAX);
	REQUIRE(plan->nested <= GUEST_NESTED_ON);
	REQUIRE(plan->kernel_module < boot.module_count);
	REQUIRE(plan->attachment_count <= GUEST_ATTACHMENTS_MAX);
	*modules += 1 + plan->attachment_count;
	for (u32 a = 0; a < plan->attachment_count; a++) {
		REQUIRE(plan->attachments[a].module > plan->kernel_module);
		REQUIRE(plan->attachments[a].module < boot.module_count);
		check_text(plan->attachments[a].text);
	}
	REQUIRE(plan->setting_count <= GUEST_SETTINGS_MAX);
	for (u32 s = 0; s < plan->setting_count; s++)
		REQUIRE(guest_plan_setting(plan, plan->settings[s].key) ==
			plan->settings[s].value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	u32 modules = 0;

	fill_modules(text);
	free(text);
	memset(&plans, 0xff, sizeof(plans));
	guest_plan_all(&plans, &boot);
	REQUIRE(plans.guest_count <= GUESTS_MAX);
	for (u32 i = 0; i < plans.guest_count; i++)
		check_guest(i, &modules);
	REQUIRE(modules + plans.refused_count <= boot.module_count);
	return 0;
}
