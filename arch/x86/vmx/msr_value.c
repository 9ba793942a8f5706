/* SPDX-License-Identifier: MIT */
/* Memory types in MSRs. */
#include "arch/x86/vmx/msr_value.h"
#include "lib/bits.h"

#define TYPE_UC_MINUS 7

/* SDM vol. 3, "Page Attribute Table (PAT)": 0, 1 and 4 to 7 are types. */
static bool is_pat_type(u64 type)
{
	return type <= TYPE_UC_MINUS && type != 2 && type != 3;
}

bool msr_value_is_pat(u64 value)
{
	for (u32 i = 0; i < 8; i++)
		if (!is_pat_type(value >> (8 * i) & 0xff))
			return false;
	return true;
}
