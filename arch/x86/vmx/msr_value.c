/* SPDX-License-Identifier: MIT */
/* Memory types in MSRs. */
#include "arch/x86/vmx/msr_value.h"
#include "lib/bits.h"

#define TYPE_UC_MINUS     7 /* only in a PAT */
#define MTRR_DEF_SWITCHES BITS(11, 10)
#define MTRR_DEF_TYPE     BITS(7, 0)

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

/* SDM vol. 3, "Memory Type Range Registers (MTRRs)". */
bool msr_value_is_mtrr_def_type(u64 value)
{
	u64 type = bits_get(value, MTRR_DEF_TYPE);

	return !(value & ~(MTRR_DEF_SWITCHES | MTRR_DEF_TYPE)) &&
	       is_pat_type(type) && type != TYPE_UC_MINUS;
}
