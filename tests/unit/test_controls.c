/* SPDX-License-Identifier: MIT */
/* Choosing VMX controls from capability words, real ones and made-up ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/vmx/controls.h"
#include "tests/unit/support.h"

#define RANDOM_TRIES 2000

/* What `struct controls` holds before, to see that nothing was written. */
#define UNTOUCHED    0xa5a5a5a5u

struct choice {
	struct control_capability capabilities[CONTROLS_COUNT];
	struct controls controls;
	const struct control_wish *unmet;
	enum err err;
};

static void choose(struct choice *choice)
{
	for (u32 i = 0; i < CONTROLS_COUNT; i++)
		choice->controls.words[i] = UNTOUCHED;
	choice->unmet = NULL;
	choice->err = controls_choose(choice->capabilities, &choice->controls,
				      &choice->unmet);
}

/* A CPU that insists on nothing and allows everything. */
static void allow_all(struct choice *choice)
{
	for (u32 i = 0; i < CONTROLS_COUNT; i++)
		choice->capabilities[i] = control_capability(BITS(63, 32));
}

static bool is_untouched(const struct controls *controls)
{
	for (u32 i = 0; i < CONTROLS_COUNT; i++)
		if (controls->words[i] != UNTOUCHED)
			return false;
	return true;
}

/* The bits of one word that are wished for with this need. */
static u32 wished(enum control_word word, enum control_need need)
{
	u32 bits = 0;

	for (u32 i = 0; i < control_wish_count; i++)
		if (control_wishes[i].word == word &&
		    control_wishes[i].need == need)
			bits |= (u32)control_wishes[i].bit;
	return bits;
}

static bool is_met(const struct control_wish *wish,
		   const struct control_capability *capabilities)
{
	const struct control_capability *c = &capabilities[wish->word];

	switch (wish->need) {
	case CONTROL_REQUIRED:
		return c->may_be_1 & wish->bit;
	case CONTROL_FORBIDDEN:
		return !(c->must_be_1 & wish->bit);
	case CONTROL_WANTED:
		break;
	}
	return true;
}

static void each_wish_is_one_bit_with_a_name_of_its_own(void **state)
{
	(void)state;
	for (u32 i = 0; i < control_wish_count; i++) {
		const struct control_wish *wish = &control_wishes[i];

		assert_true(wish->word < CONTROLS_COUNT);
		assert_int_equal(bits_count(wish->bit), 1);
		assert_int_equal(wish->bit, low32(wish->bit));
		assert_true(strlen(wish->name) > 0);
		for (u32 j = 0; j < i; j++) {
			const struct control_wish *other = &control_wishes[j];

			assert_string_not_equal(wish->name, other->name);
			assert_false(wish->word == other->word &&
				     wish->bit == other->bit);
		}
	}
}

/* What keeps the machine ours: no table edit may turn these into wishes. */
static void what_isolates_a_guest_is_required(void **state)
{
	static const struct {
		enum control_word word;
		u64 bits;
	} isolating[] = {
	    {CONTROLS_PIN, PIN_EXTERNAL_INTERRUPT | PIN_NMI},
	    {CONTROLS_PRIMARY, PRIMARY_HLT | PRIMARY_MWAIT | PRIMARY_MONITOR |
				   PRIMARY_RDPMC | PRIMARY_MSR_BITMAPS |
				   PRIMARY_SECONDARY},
	    {CONTROLS_SECONDARY, SECONDARY_EPT | SECONDARY_WBINVD},
	    {CONTROLS_EXIT, EXIT_HOST_ADDRESS_SPACE_SIZE | EXIT_LOAD_EFER |
				EXIT_LOAD_PAT | EXIT_SAVE_EFER | EXIT_SAVE_PAT |
				EXIT_SAVE_DEBUG_CONTROLS},
	    {CONTROLS_ENTRY,
	     ENTRY_LOAD_EFER | ENTRY_LOAD_PAT | ENTRY_LOAD_DEBUG_CONTROLS},
	};
	u32 ports = wished(CONTROLS_PRIMARY, CONTROL_REQUIRED) &
		    (u32)(PRIMARY_ALL_IO | PRIMARY_IO_BITMAPS);
	u32 tpr = wished(CONTROLS_PRIMARY, CONTROL_REQUIRED) &
		  (u32)(PRIMARY_CR8_LOAD | PRIMARY_TPR_SHADOW);

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(isolating); i++)
		assert_int_equal(wished(isolating[i].word, CONTROL_REQUIRED) &
				     isolating[i].bits,
				 isolating[i].bits);
	assert_int_not_equal(ports, 0);
	assert_int_not_equal(tpr, 0);
}

static void willing_cpu_gets_every_wish_and_no_more(void **state)
{
	struct choice choice;

	(void)state;
	allow_all(&choice);
	choose(&choice);
	assert_int_equal(choice.err, OK);
	for (u32 i = 0; i < CONTROLS_COUNT; i++) {
		enum control_word word = (enum control_word)i;

		assert_int_equal(choice.controls.words[i],
				 wished(word, CONTROL_REQUIRED) |
				     wished(word, CONTROL_WANTED));
	}
}

static void each_missing_requirement_is_named(void **state)
{
	struct choice choice;

	(void)state;
	for (u32 i = 0; i < control_wish_count; i++) {
		const struct control_wish *wish = &control_wishes[i];

		if (wish->need != CONTROL_REQUIRED)
			continue;
		allow_all(&choice);
		choice.capabilities[wish->word].may_be_1 &= ~(u32)wish->bit;
		choose(&choice);
		assert_int_equal(choice.err, ERR_UNSUPPORTED);
		assert_ptr_equal(choice.unmet, wish);
		assert_true(is_untouched(&choice.controls));
	}
}

static void each_forbidden_control_that_is_forced_is_named(void **state)
{
	struct choice choice;

	(void)state;
	for (u32 i = 0; i < control_wish_count; i++) {
		const struct control_wish *wish = &control_wishes[i];

		if (wish->need != CONTROL_FORBIDDEN)
			continue;
		allow_all(&choice);
		choice.capabilities[wish->word].must_be_1 |= (u32)wish->bit;
		choose(&choice);
		assert_int_equal(choice.err, ERR_UNSUPPORTED);
		assert_ptr_equal(choice.unmet, wish);
		assert_true(is_untouched(&choice.controls));
	}
}

static void each_wanted_control_may_be_missing(void **state)
{
	struct choice choice;

	(void)state;
	for (u32 i = 0; i < control_wish_count; i++) {
		const struct control_wish *wish = &control_wishes[i];

		if (wish->need != CONTROL_WANTED)
			continue;
		allow_all(&choice);
		choice.capabilities[wish->word].may_be_1 &= ~(u32)wish->bit;
		choose(&choice);
		assert_int_equal(choice.err, OK);
		assert_false(
		    controls_have(&choice.controls, wish->word, wish->bit));
	}
}

/* Bits that nobody names are the CPU's default-1 class, or 0. */
static void bits_the_cpu_insists_on_are_kept(void **state)
{
	struct choice choice;

	(void)state;
	for (u32 i = 0; i < CONTROLS_COUNT; i++)
		for (u32 bit = 0; bit < 32; bit++) {
			u32 forbidden =
			    wished((enum control_word)i, CONTROL_FORBIDDEN);

			if (forbidden >> bit & 1)
				continue;
			allow_all(&choice);
			choice.capabilities[i].must_be_1 = 1u << bit;
			choose(&choice);
			assert_int_equal(choice.err, OK);
			assert_true(choice.controls.words[i] >> bit & 1);
		}
}

/* Mostly willing, so that both outcomes come up often. */
static void make_random(struct choice *choice, struct random *random)
{
	for (u32 i = 0; i < CONTROLS_COUNT; i++) {
		u32 may = ~0u, must = 0;

		for (u64 flaws = random_below(random, 3); flaws; flaws--)
			may &= ~(1u << random_below(random, 32));
		for (u64 flaws = random_below(random, 4); flaws; flaws--)
			must |= 1u << random_below(random, 32);
		choice->capabilities[i].may_be_1 = may | must;
		choice->capabilities[i].must_be_1 = must;
	}
}

static void check_words(const struct choice *choice)
{
	for (u32 i = 0; i < CONTROLS_COUNT; i++) {
		const struct control_capability *c = &choice->capabilities[i];
		enum control_word word = (enum control_word)i;
		u32 required = wished(word, CONTROL_REQUIRED);
		u32 wanted = wished(word, CONTROL_WANTED);

		assert_int_equal(choice->controls.words[i],
				 c->must_be_1 | required |
				     (wanted & c->may_be_1));
		assert_int_equal(choice->controls.words[i] &
				     wished(word, CONTROL_FORBIDDEN),
				 0);
		/* The CPU accepts it. */
		assert_int_equal(choice->controls.words[i] & ~c->may_be_1, 0);
	}
}

static void check_random_cpus(u64 seed)
{
	struct random random = random_from(seed);
	u32 refused = 0;

	for (u32 try = 0; try < RANDOM_TRIES; try++) {
		struct choice choice;

		make_random(&choice, &random);
		choose(&choice);
		if (choice.err == OK) {
			check_words(&choice);
			continue;
		}
		refused++;
		assert_int_equal(choice.err, ERR_UNSUPPORTED);
		assert_true(is_untouched(&choice.controls));
		assert_false(is_met(choice.unmet, choice.capabilities));
		/* The first one, so that what is said is always the same. */
		for (const struct control_wish *wish = control_wishes;
		     wish != choice.unmet; wish++)
			assert_true(is_met(wish, choice.capabilities));
	}
	assert_in_range(refused, 1, RANDOM_TRIES - 1);
}

static void random_cpus_get_what_they_allow_or_a_reason(void **state)
{
	(void)state;
	for_seeds(5, check_random_cpus);
}

/* The words of CPUs as emulated by Bochs 2.7. */
static void emulated_cpus_are_served(void **state)
{
	static const u32 secondary[] = {0x02977fff, 0x02177fff, 0x00057fff,
					0x00047fff};
	struct choice choice = {
	    .capabilities = {
		[CONTROLS_PIN] = {0x00000016, 0x0000007f},
		[CONTROLS_PRIMARY] = {0x04006172, 0xf7f9fffe},
		[CONTROLS_EXIT] = {0x00036dfb, 0x007fffff},
		[CONTROLS_ENTRY] = {0x000011fb, 0x0000ffff},
	    }};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(secondary); i++) {
		choice.capabilities[CONTROLS_SECONDARY].may_be_1 = secondary[i];
		choose(&choice);
		assert_int_equal(choice.err, OK);
		check_words(&choice);
	}
}

/* Before the TRUE capability MSRs CR3 and INVLPG exits could not be off. */
static void cpu_without_true_msrs_is_refused_by_name(void **state)
{
	struct choice choice;

	(void)state;
	allow_all(&choice);
	choice.capabilities[CONTROLS_PRIMARY].must_be_1 = 0x0401e172;
	choose(&choice);
	assert_int_equal(choice.err, ERR_UNSUPPORTED);
	assert_int_equal(choice.unmet->need, CONTROL_FORBIDDEN);
	assert_int_equal(choice.unmet->bit & 0x0401e172, choice.unmet->bit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_wish_is_one_bit_with_a_name_of_its_own),
	    cmocka_unit_test(what_isolates_a_guest_is_required),
	    cmocka_unit_test(willing_cpu_gets_every_wish_and_no_more),
	    cmocka_unit_test(each_missing_requirement_is_named),
	    cmocka_unit_test(each_forbidden_control_that_is_forced_is_named),
	    cmocka_unit_test(each_wanted_control_may_be_missing),
	    cmocka_unit_test(bits_the_cpu_insists_on_are_kept),
	    cmocka_unit_test(random_cpus_get_what_they_allow_or_a_reason),
	    cmocka_unit_test(emulated_cpus_are_served),
	    cmocka_unit_test(cpu_without_true_msrs_is_refused_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
