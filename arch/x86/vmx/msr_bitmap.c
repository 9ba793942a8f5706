/* SPDX-License-Identifier: MIT */
/* The MSR bitmap of a vCPU. */
#include "arch/x86/vmx/msr_bitmap.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "mm/addr.h"

/* Four bitmaps of 8192 MSRs: reads low and high, writes low and high. */
#define BITMAP_BYTES 1024
#define READ_LOW     0
#define WRITE_LOW    2048
#define HIGH_FIRST   0xc0000000u

/*
 * The TSC is read with the VMCS's offset, EFER and PAT are the VMCS's copies;
 * writes to these three are checked and thus exit.
 */
static const u32 free_to_read[] = {
    MSR_TSC,          MSR_EFER,    MSR_PAT,         MSR_STAR,
    MSR_LSTAR,        MSR_CSTAR,   MSR_FMASK,       MSR_KERNEL_GS_BASE,
    MSR_FS_BASE,      MSR_GS_BASE, MSR_SYSENTER_CS, MSR_SYSENTER_ESP,
    MSR_SYSENTER_EIP,
};

static const u32 free_to_write[] = {
    MSR_STAR,           MSR_LSTAR,        MSR_CSTAR,   MSR_FMASK,
    MSR_KERNEL_GS_BASE, MSR_FS_BASE,      MSR_GS_BASE, MSR_SYSENTER_CS,
    MSR_SYSENTER_ESP,   MSR_SYSENTER_EIP,
};

static void set(u8 *half, u32 msr, enum msr_exits exits)
{
	u8 *bitmap = half + (msr >= HIGH_FIRST ? BITMAP_BYTES : 0);
	u32 bit = msr & 0x1fff;

	if (exits == MSR_PASSES)
		bitmap[bit / 8] &= (u8)~BIT(bit % 8);
	else
		bitmap[bit / 8] |= (u8)BIT(bit % 8);
}

static void set_free(u8 *half, u32 msr)
{
	set(half, msr, MSR_PASSES);
}

void msr_bitmap_init(u8 *bitmap)
{
	memset(bitmap, 0xff, PAGE_4K);
	for (u32 i = 0; i < ARRAY_COUNT(free_to_read); i++)
		set_free(bitmap + READ_LOW, free_to_read[i]);
	for (u32 i = 0; i < ARRAY_COUNT(free_to_write); i++)
		set_free(bitmap + WRITE_LOW, free_to_write[i]);
}

void msr_bitmap_set(u8 *bitmap, u32 msr, enum msr_way way, enum msr_exits exits)
{
	set(bitmap + (way == MSR_READS ? READ_LOW : WRITE_LOW), msr, exits);
}

void msr_bitmap_free(u8 *bitmap, u32 msr)
{
	set_free(bitmap + READ_LOW, msr);
	set_free(bitmap + WRITE_LOW, msr);
}
