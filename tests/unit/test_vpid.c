/* SPDX-License-Identifier: MIT */
/* Numbers of VPIDs, and what a guest's TLB must not survive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/vmx/vpid.h"
#include "lib/x86.h"

static void nobody_gets_vpid_0(void **state)
{
	(void)state;
	assert_int_equal(vpid_of(0), 1);
	for (u32 count = 0; count < 3 * 65536; count++) {
		assert_int_not_equal(vpid_of(count), 0);
		/* A vCPU and its L2 get one after the other. */
		assert_int_not_equal(vpid_of(count), vpid_of(count + 1));
	}
	assert_int_not_equal(vpid_of(UINT32_MAX), 0);
}

static void paging_off_drops_all(void **state)
{
	(void)state;
	assert_true(vpid_emptied_by_cr0(CR0_PE | CR0_PG, CR0_PE));
	assert_false(vpid_emptied_by_cr0(CR0_PE, CR0_PE | CR0_PG));
	assert_false(vpid_emptied_by_cr0(CR0_PG | CR0_WP, CR0_PG | CR0_TS));
}

/* As the manual lists them: one way, the other, or both. */
static void bits_of_cr4_drop_all(void **state)
{
	static const struct {
		u64 bit;
		bool when_set, when_cleared;
	} rows[] = {
	    {CR4_PGE, true, true},      {CR4_PAE, true, true},
	    {CR4_PCIDE, false, true},   {CR4_SMEP, true, false},
	    {CR4_SMAP, false, false},   {CR4_MCE, false, false},
	    {CR4_VMXE, false, false},   {CR4_OSXSAVE, false, false},
	    {CR4_OSFXSR, false, false},
	};
	const u64 rest = CR4_DE | CR4_OSXMMEXCPT;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(rows); i++) {
		u64 with = rest | rows[i].bit;

		assert_int_equal(vpid_emptied_by_cr4(rest, with),
				 rows[i].when_set);
		assert_int_equal(vpid_emptied_by_cr4(with, rest),
				 rows[i].when_cleared);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nobody_gets_vpid_0),
	    cmocka_unit_test(paging_off_drops_all),
	    cmocka_unit_test(bits_of_cr4_drop_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
