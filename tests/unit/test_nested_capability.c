/* SPDX-License-Identifier: MIT */
/* The VMX that is offered to a guest hypervisor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/nested_host.h"
#include "tests/unit/support.h"

static u64 msr(const struct nested_capability *c, u32 number)
{
	u64 value = 0;

	assert_int_equal(nested_capability_read(c, number, &value), OK);
	return value;
}

static void full_offer_is_known_by_heart(void **state)
{
	static const u64 expected[NESTED_MSR_COUNT] = {
	    0x01d81000554c3101, /* BASIC */
	    0x000000ff00000016, /* pin, primary, exit, entry: default1 */
	    0xfff9fffe0401e172,
	    0x007fefff00036dff,
	    0x0000d3ff000011ff,
	    0x600401e5, /* MISC */
	    0x80000021,
	    0xffffffff, /* CR0 */
	    0x2000,
	    FULL_CR4 | CR4_VMXE, /* CR4 */
	    0x32,                /* the TSC multiplier's index */
	    0x02137fff00000000,  /* secondary */
	    0x00000f0106334141,  /* EPT and VPID */
	    0x000000ff00000016,
	    0xfff9fffe04006172,
	    0x007fefff00036dfb,
	    0x0000d3ff000011fb,
	    1,
	};
	struct nested_capability offer = full_offer();

	(void)state;
	for (u32 i = 0; i < NESTED_MSR_COUNT; i++)
		if (msr(&offer, NESTED_MSR_FIRST + i) != expected[i])
			fail_msg("MSR %#x: %#lx, expected %#lx",
				 NESTED_MSR_FIRST + i,
				 msr(&offer, NESTED_MSR_FIRST + i),
				 expected[i]);
}

/* Nothing that hardware lacks, except what software does alone. */
static void check_subset(u64 seed)
{
	struct random random = random_from(seed);
	struct nested_hardware hardware = full_hardware();
	struct nested_capability offer;
	static const u32 default1[CONTROLS_COUNT] = {0x16, 0x0401e172, 0,
						     0x00036dff, 0x000011ff};
	u64 alone[CONTROLS_COUNT] = {0};

	alone[CONTROLS_SECONDARY] = SECONDARY_VMCS_SHADOWING | SECONDARY_PML;
	for (u32 i = 0; i < CONTROLS_COUNT; i++)
		hardware.words[i].may_be_1 &=
		    (u32)random_next(&random) | hardware.words[i].must_be_1;
	hardware.ept_vpid &= random_next(&random);
	hardware.vmfunc &= random_next(&random);
	hardware.words[CONTROLS_PRIMARY].may_be_1 |=
	    PRIMARY_SECONDARY | PRIMARY_MSR_BITMAPS | PRIMARY_IO_BITMAPS;
	hardware.words[CONTROLS_EXIT].may_be_1 |= EXIT_HOST_ADDRESS_SPACE_SIZE;
	hardware.words[CONTROLS_PIN].may_be_1 |= PIN_PREEMPTION_TIMER;
	hardware.ept_vpid |= EPT_CAP_INVEPT_ALL;
	assert_int_equal(nested_capability_choose(&hardware, &offer), OK);
	for (u32 i = 0; i < CONTROLS_COUNT; i++) {
		u64 offered = offer.words[i].may_be_1 & ~alone[i];

		assert_int_equal(
		    offered & ~default1[i] & ~hardware.words[i].may_be_1, 0);
		assert_int_equal(
		    offer.words[i].must_be_1 & ~offer.words[i].may_be_1, 0);
	}
	assert_int_equal(offer.ept_vpid & ~hardware.ept_vpid, 0);
}

static void offer_never_exceeds_the_cpu(void **state)
{
	(void)state;
	for_seeds(500, check_subset);
}

static void bare_cpu_gets_no_offer(void **state)
{
	static const struct {
		enum control_word word;
		u32 bit;
	} basics[] = {
	    {CONTROLS_PRIMARY, PRIMARY_SECONDARY},
	    {CONTROLS_PRIMARY, PRIMARY_MSR_BITMAPS},
	    {CONTROLS_PRIMARY, PRIMARY_IO_BITMAPS},
	    {CONTROLS_EXIT, EXIT_HOST_ADDRESS_SPACE_SIZE},
	    /* What Umbra needs to run an L2. */
	    {CONTROLS_PIN, PIN_PREEMPTION_TIMER},
	};
	struct nested_hardware one_by_one = full_hardware();
	struct nested_capability none;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(basics); i++) {
		struct nested_hardware hardware = full_hardware();
		struct nested_capability offer;

		hardware.words[basics[i].word].may_be_1 &= ~basics[i].bit;
		assert_int_equal(nested_capability_choose(&hardware, &offer),
				 ERR_UNSUPPORTED);
	}
	one_by_one.ept_vpid &= ~EPT_CAP_INVEPT_ALL;
	assert_int_equal(nested_capability_choose(&one_by_one, &none),
			 ERR_UNSUPPORTED);
}

/* What depends on something that is missing is missing too. */
static void dependent_controls_go_together(void **state)
{
	static const struct {
		enum control_word word;
		u32 bit;
		enum control_word gone_word;
		u32 gone;
	} rows[] = {
	    {CONTROLS_SECONDARY, SECONDARY_EPT, CONTROLS_SECONDARY,
	     SECONDARY_UNRESTRICTED_GUEST | SECONDARY_PML | SECONDARY_VMFUNC},
	    {CONTROLS_PRIMARY, PRIMARY_TPR_SHADOW, CONTROLS_SECONDARY,
	     SECONDARY_X2APIC_MODE | SECONDARY_APIC_REGISTERS |
		 SECONDARY_INTERRUPT_DELIVERY},
	    {CONTROLS_SECONDARY, SECONDARY_INTERRUPT_DELIVERY, CONTROLS_PIN,
	     PIN_POSTED_INTERRUPTS},
	    {CONTROLS_PIN, PIN_VIRTUAL_NMIS, CONTROLS_PRIMARY,
	     PRIMARY_NMI_WINDOW},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(rows); i++) {
		struct nested_hardware hardware = full_hardware();
		struct nested_capability full = full_offer();
		struct nested_capability offer;

		assert_int_equal(full.words[rows[i].gone_word].may_be_1 &
				     rows[i].gone,
				 rows[i].gone);
		hardware.words[rows[i].word].may_be_1 &= ~rows[i].bit;
		assert_int_equal(nested_capability_choose(&hardware, &offer),
				 OK);
		assert_int_equal(
		    offer.words[rows[i].gone_word].may_be_1 & rows[i].gone, 0);
	}
}

static void pml_needs_no_pml_but_accessed_and_dirty(void **state)
{
	struct nested_hardware hardware = full_hardware();
	struct nested_capability offer;

	(void)state;
	hardware.words[CONTROLS_SECONDARY].may_be_1 &= ~(u32)SECONDARY_PML;
	assert_int_equal(nested_capability_choose(&hardware, &offer), OK);
	assert_true(nested_capability_allows(&offer, CONTROLS_SECONDARY,
					     SECONDARY_PML));
	hardware.ept_vpid &= ~EPT_CAP_ACCESSED_DIRTY;
	assert_int_equal(nested_capability_choose(&hardware, &offer), OK);
	assert_false(nested_capability_allows(&offer, CONTROLS_SECONDARY,
					      SECONDARY_PML));
}

static void msrs_without_their_feature_do_not_exist(void **state)
{
	struct nested_hardware hardware = full_hardware();
	struct nested_capability offer;
	u64 value;

	(void)state;
	hardware.words[CONTROLS_SECONDARY].may_be_1 &=
	    ~(u32)(SECONDARY_EPT | SECONDARY_VPID);
	assert_int_equal(nested_capability_choose(&hardware, &offer), OK);
	assert_int_equal(
	    nested_capability_read(&offer, MSR_VMX_EPT_VPID_CAP, &value),
	    ERR_NOT_FOUND);
	assert_int_equal(nested_capability_read(&offer, MSR_VMX_VMFUNC, &value),
			 ERR_NOT_FOUND);
	assert_int_equal(nested_capability_read(&offer, 0x47f, &value),
			 ERR_NOT_FOUND);
	assert_int_equal(nested_capability_read(&offer, 0x492, &value),
			 ERR_NOT_FOUND);
}

static void lists_and_targets_are_counted(void **state)
{
	struct nested_capability offer = full_offer();

	(void)state;
	assert_int_equal(nested_capability_cr3_targets(&offer), 4);
	assert_int_equal(nested_capability_msr_limit(&offer), 512);
}

static void check_lack(u64 *feature, u64 bits,
		       const struct nested_capability *here,
		       const struct nested_capability *wanted, u32 expected)
{
	for (u64 left = bits; left; left &= left - 1) {
		u64 bit = left & -left;
		u32 against = 0;

		*feature &= ~bit;
		assert_int_equal(nested_capability_fits(wanted, here, &against),
				 ERR_UNSUPPORTED);
		assert_int_equal(against, expected);
		/* The other way round is no obstacle. */
		assert_int_equal(nested_capability_fits(here, wanted, &against),
				 OK);
		*feature |= bit;
	}
}

static void peer_must_have_every_feature(void **state)
{
	struct nested_capability wanted = full_offer();
	struct nested_capability here = wanted;
	u32 against;

	(void)state;
	assert_int_equal(nested_capability_fits(&wanted, &here, &against), OK);
	check_lack(&here.ept_vpid, here.ept_vpid, &here, &wanted,
		   MSR_VMX_EPT_VPID_CAP);
	check_lack(&here.vmfunc, here.vmfunc, &here, &wanted, MSR_VMX_VMFUNC);
	check_lack(&here.cr4_fixed1, here.cr4_fixed1, &here, &wanted,
		   MSR_VMX_CR4_FIXED1);
	check_lack(&here.misc, MISC_HLT | MISC_INJECT_LENGTH_0, &here, &wanted,
		   MSR_VMX_MISC);
	check_lack(&here.basic, BASIC_INS_OUTS, &here, &wanted, MSR_VMX_BASIC);
}

static void peer_must_have_every_control(void **state)
{
	static const u32 msrs[CONTROLS_COUNT] = {0x48d, 0x48e, 0x48b, 0x48f,
						 0x490};
	struct nested_capability wanted = full_offer();
	u32 against = 0;

	(void)state;
	for (u32 i = 0; i < CONTROLS_COUNT; i++)
		for (u32 bit = 0; bit < 32; bit++) {
			struct nested_capability here = wanted;

			here.words[i].may_be_1 &= ~(1u << bit);
			if (here.words[i].may_be_1 == wanted.words[i].may_be_1)
				continue;
			assert_int_equal(
			    nested_capability_fits(&wanted, &here, &against),
			    ERR_UNSUPPORTED);
			assert_int_equal(against, msrs[i]);
		}
	for (u32 i = 0; i < CONTROLS_COUNT; i++) {
		struct nested_capability here = wanted;

		here.words[i].must_be_1 |= BIT(31);
		assert_int_equal(
		    nested_capability_fits(&wanted, &here, &against),
		    ERR_UNSUPPORTED);
	}
}

static void peer_must_count_alike(void **state)
{
	struct nested_capability wanted = full_offer();
	struct nested_capability here = wanted;
	u32 against = 0;

	(void)state;
	here.basic ^= 1; /* another revision */
	assert_int_equal(nested_capability_fits(&wanted, &here, &against),
			 ERR_UNSUPPORTED);
	assert_int_equal(against, MSR_VMX_BASIC);
	here = wanted;
	here.misc ^= 1; /* another rate of the preemption timer */
	assert_int_equal(nested_capability_fits(&wanted, &here, &against),
			 ERR_UNSUPPORTED);
	assert_int_equal(against, MSR_VMX_MISC);
	here = wanted;
	here.cr0_fixed0 ^= CR0_NE;
	assert_int_equal(nested_capability_fits(&wanted, &here, &against),
			 ERR_UNSUPPORTED);
	assert_int_equal(against, MSR_VMX_CR0_FIXED0);
}

static void feature_control_locks(void **state)
{
	u64 value = 0;

	(void)state;
	for (u32 bit = 0; bit < 64; bit++)
		if (bit != 0 && bit != 2)
			assert_int_equal(
			    nested_feature_control_write(&value, BIT(bit)),
			    ERR_STATE);
	assert_int_equal(value, 0);
	assert_int_equal(nested_feature_control_write(&value, 4), OK);
	assert_int_equal(nested_feature_control_write(&value, 5), OK);
	assert_int_equal(value, NESTED_FEATURE_CONTROL_RESET);
	assert_int_equal(nested_feature_control_write(&value, 5), ERR_STATE);
	assert_int_equal(nested_feature_control_write(&value, 0), ERR_STATE);
	assert_int_equal(value, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(full_offer_is_known_by_heart),
	    cmocka_unit_test(offer_never_exceeds_the_cpu),
	    cmocka_unit_test(bare_cpu_gets_no_offer),
	    cmocka_unit_test(dependent_controls_go_together),
	    cmocka_unit_test(pml_needs_no_pml_but_accessed_and_dirty),
	    cmocka_unit_test(msrs_without_their_feature_do_not_exist),
	    cmocka_unit_test(lists_and_targets_are_counted),
	    cmocka_unit_test(peer_must_have_every_feature),
	    cmocka_unit_test(peer_must_have_every_control),
	    cmocka_unit_test(peer_must_count_alike),
	    cmocka_unit_test(feature_control_locks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
