/* SPDX-License-Identifier: MIT */
/* Memory types that a guest may write, each number in each place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/vmx/msr_value.h"
#include "lib/x86.h"

/* UC, WC, WT, WP, WB, UC-. */
static bool is_type(u64 number)
{
	return number == 0 || number == 1 || (number >= 4 && number <= 7);
}

static void pat_takes_types_only(void **state)
{
	(void)state;
	for (u32 place = 0; place < 8; place++)
		for (u64 type = 0; type < 256; type++) {
			u64 value = PAT_RESET & ~(0xffULL << (8 * place));

			value |= type << (8 * place);
			assert_int_equal(msr_value_is_pat(value),
					 is_type(type));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pat_takes_types_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
