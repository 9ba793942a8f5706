/* SPDX-License-Identifier: MIT */
/* Memory-type range registers: see mtrr.h. */
#include "devices/mtrr.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "lib/x86.h"

#define CAP_FIXED        BIT(8)
#define CAP_WC           BIT(10)
#define DEF_FIXED_ENABLE BIT(10)
#define DEF_ENABLE       BIT(11)
#define DEF_TYPE         BITS(7, 0)
#define BASE_TYPE        BITS(7, 0)
#define MASK_VALID       BIT(11)

#define TYPE_UC          0
#define TYPE_WB          6
#define TYPES(type)      ((type)*0x0101010101010101ULL)

/* 640K to 768K: video memory. */
#define FIXED_VIDEO      2

/* The hole for devices, 3 to 4 GiB. */
#define DEVICES_BASE     (3 * GIB)
#define DEVICES_BYTES    GIB

/* Where among the values. */
enum {
	DEFAULT,
	FIXED,
	VARIABLE = FIXED + MTRR_FIXED_COUNT,
};
_Static_assert(VARIABLE + 2 * MTRR_VARIABLE_COUNT == MTRR_COUNT, "all of it");

static const u16 fixed_msrs[MTRR_FIXED_COUNT] = {
    0x250,                                                  /* 8 times 64K */
    0x258, 0x259,                                           /* 16K, from 512K */
    0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f, /* 4K, 768K */
};

static u64 address_bits(u32 physical_bits)
{
	return BITS(physical_bits - 1, 12);
}

void mtrr_init(struct mtrr *mtrr, u32 physical_bits)
{
	u64 *fixed = &mtrr->values[FIXED];
	u64 *variable = &mtrr->values[VARIABLE];

	memset(mtrr, 0, sizeof(*mtrr));
	mtrr->values[DEFAULT] = DEF_ENABLE | DEF_FIXED_ENABLE | TYPE_WB;
	for (u32 i = 0; i < MTRR_FIXED_COUNT; i++)
		fixed[i] = TYPES(i == FIXED_VIDEO ? TYPE_UC : TYPE_WB);
	variable[0] = DEVICES_BASE | TYPE_UC;
	variable[1] =
	    (address_bits(physical_bits) & ~(DEVICES_BYTES - 1)) | MASK_VALID;
}

/* Its place among the values, or MTRR_COUNT. */
static u32 index_of(u32 msr)
{
	if (msr == MSR_MTRR_DEF_TYPE)
		return DEFAULT;
	if (msr >= MSR_MTRR_PHYSBASE0 &&
	    msr < MSR_MTRR_PHYSBASE0 + 2 * MTRR_VARIABLE_COUNT)
		return VARIABLE + (msr - MSR_MTRR_PHYSBASE0);
	for (u32 i = 0; i < MTRR_FIXED_COUNT; i++)
		if (fixed_msrs[i] == msr)
			return FIXED + i;
	return MTRR_COUNT;
}

enum mtrr_verdict mtrr_read(const struct mtrr *mtrr, u32 msr, u64 *value)
{
	u32 index = index_of(msr);

	if (msr == MSR_MTRRCAP)
		*value = MTRR_VARIABLE_COUNT | CAP_FIXED | CAP_WC;
	else if (index < MTRR_COUNT)
		*value = mtrr->values[index];
	else
		return MTRR_ABSENT;
	return MTRR_DONE;
}

/* Uncached, write-combining, write-through, write-protected, write-back. */
static bool is_type(u64 type)
{
	return type <= TYPE_WB && type != 2 && type != 3;
}

static bool are_types(u64 value)
{
	for (u32 i = 0; i < 8; i++)
		if (!is_type(value >> (8 * i) & 0xff))
			return false;
	return true;
}

static bool is_valid(u32 physical_bits, u32 index, u64 value)
{
	u64 address = address_bits(physical_bits);

	if (index == DEFAULT)
		return is_type(value & DEF_TYPE) &&
		       !(value & ~(DEF_ENABLE | DEF_FIXED_ENABLE | DEF_TYPE));
	if (index < VARIABLE)
		return are_types(value);
	if ((index - VARIABLE) % 2)
		return !(value & ~(address | MASK_VALID));
	return is_type(value & BASE_TYPE) && !(value & ~(address | BASE_TYPE));
}

enum mtrr_verdict mtrr_write(struct mtrr *mtrr, u32 physical_bits, u32 msr,
			     u64 value)
{
	u32 index = index_of(msr);

	if (msr == MSR_MTRRCAP)
		return MTRR_FAULT;
	if (index == MTRR_COUNT)
		return MTRR_ABSENT;
	if (!is_valid(physical_bits, index, value))
		return MTRR_FAULT;
	mtrr->values[index] = value;
	return MTRR_DONE;
}

bool mtrr_is_valid(const struct mtrr *mtrr, u32 physical_bits)
{
	for (u32 i = 0; i < MTRR_COUNT; i++)
		if (!is_valid(physical_bits, i, mtrr->values[i]))
			return false;
	return true;
}
