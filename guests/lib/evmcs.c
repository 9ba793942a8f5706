/* SPDX-License-Identifier: MIT */
/* An L2 by an enlightened VMCS: see evmcs.h. */
#include "guests/lib/evmcs.h"
#include "guests/lib/pages.h"

#define LEAF_FIRST           0x40000000u
#define LEAF_INTERFACE       0x40000001u
#define LEAF_RECOMMENDATIONS 0x40000004u
#define LEAF_NESTED          0x4000000au
#define INTERFACE            0x31237648u /* "Hv#1" */
#define RECOMMENDS_EVMCS     BIT(14)
#define VERSION              1u
#define MSR_VP_ASSIST        0x40000073u
#define ENABLE               1u
#define ASSIST_ENLIGHTENED   40u /* u8 */
#define ASSIST_EVMCS         48u
#define SEGMENTS             8u /* ES, CS, SS, DS, FS, GS, LDTR, TR */
#define TABLE_REGISTERS      2u /* GDTR, IDTR */

/* A field of a VMCS, and where it is in the page. */
struct place {
	u32 field, at, bytes;
};

static const struct place places[] = {
    {VMCS_HOST_ES_SELECTOR, 0x8, 2},   {VMCS_HOST_CS_SELECTOR, 0xa, 2},
    {VMCS_HOST_SS_SELECTOR, 0xc, 2},   {VMCS_HOST_DS_SELECTOR, 0xe, 2},
    {VMCS_HOST_FS_SELECTOR, 0x10, 2},  {VMCS_HOST_GS_SELECTOR, 0x12, 2},
    {VMCS_HOST_TR_SELECTOR, 0x14, 2},  {VMCS_HOST_PAT, 0x18, 8},
    {VMCS_HOST_EFER, 0x20, 8},         {VMCS_HOST_CR0, 0x28, 8},
    {VMCS_HOST_CR3, 0x30, 8},          {VMCS_HOST_CR4, 0x38, 8},
    {VMCS_HOST_RIP, 0x50, 8},          {VMCS_PIN_CONTROLS, 0x5c, 4},
    {VMCS_EXIT_CONTROLS, 0x60, 4},     {VMCS_SECONDARY_CONTROLS, 0x64, 4},
    {VMCS_LINK_POINTER, 0x1a0, 8},     {VMCS_GUEST_DEBUGCTL, 0x1a8, 8},
    {VMCS_GUEST_PAT, 0x1b0, 8},        {VMCS_GUEST_EFER, 0x1b8, 8},
    {VMCS_GUEST_CR0, 0x220, 8},        {VMCS_GUEST_CR3, 0x228, 8},
    {VMCS_GUEST_CR4, 0x230, 8},        {VMCS_GUEST_DR7, 0x238, 8},
    {VMCS_HOST_FS_BASE, 0x240, 8},     {VMCS_HOST_GS_BASE, 0x248, 8},
    {VMCS_HOST_TR_BASE, 0x250, 8},     {VMCS_HOST_GDTR_BASE, 0x258, 8},
    {VMCS_HOST_IDTR_BASE, 0x260, 8},   {VMCS_HOST_RSP, 0x268, 8},
    {VMCS_EPT_POINTER, 0x270, 8},      {VMCS_VPID, 0x278, 2},
    {VMCS_GUEST_RSP, 0x300, 8},        {VMCS_GUEST_RFLAGS, 0x308, 8},
    {VMCS_PRIMARY_CONTROLS, 0x314, 4}, {VMCS_ENTRY_CONTROLS, 0x31c, 4},
    {VMCS_GUEST_RIP, 0x330, 8},
};

static volatile u8 *assist;

bool evmcs_is_there(void)
{
	return cpuid(1, 0).ecx & BIT(31) &&
	       cpuid(LEAF_FIRST, 0).eax >= LEAF_NESTED &&
	       cpuid(LEAF_INTERFACE, 0).eax == INTERFACE &&
	       (cpuid(LEAF_RECOMMENDATIONS, 0).eax & RECOMMENDS_EVMCS) &&
	       (cpuid(LEAF_NESTED, 0).eax & 0xff) <= VERSION &&
	       (cpuid(LEAF_NESTED, 0).eax >> 8 & 0xff) >= VERSION;
}

static void copy(volatile u8 *evmcs, struct place place)
{
	u64 value = vmread((enum vmcs_field)place.field);

	for (u32 i = 0; i < place.bytes; i++)
		evmcs[place.at + i] = (u8)(value >> 8 * i);
}

static void copy_segments(volatile u8 *evmcs)
{
	for (u32 i = 0; i < SEGMENTS; i++) {
		copy(evmcs, (struct place){VMCS_GUEST_ES_SELECTOR + 2 * i,
					   0x80 + 2 * i, 2});
		copy(evmcs, (struct place){VMCS_GUEST_ES_ACCESS_RIGHTS + 2 * i,
					   0xb8 + 4 * i, 4});
	}
	for (u32 i = 0; i < SEGMENTS + TABLE_REGISTERS; i++) {
		copy(evmcs, (struct place){VMCS_GUEST_ES_LIMIT + 2 * i,
					   0x90 + 4 * i, 4});
		copy(evmcs, (struct place){VMCS_GUEST_ES_BASE + 2 * i,
					   0xd8 + 8 * i, 8});
	}
}

void evmcs_announce(u64 address)
{
	evmcs_put64(assist, ASSIST_EVMCS, address);
}

volatile u8 *evmcs_use(struct l2 *l2)
{
	volatile u8 *evmcs = (volatile u8 *)pages_take(1);

	assist = (volatile u8 *)pages_take(1);
	*(volatile u32 *)evmcs = VERSION;
	for (u32 i = 0; i < ARRAY_COUNT(places); i++)
		copy(evmcs, places[i]);
	copy_segments(evmcs);
	l2_clear(l2);
	l2->evmcs = (u64)evmcs;
	evmcs_announce(l2->evmcs);
	assist[ASSIST_ENLIGHTENED] = 1;
	return wrmsr_try(MSR_VP_ASSIST, (u64)assist | ENABLE) == NO_FAULT
		   ? evmcs
		   : NULL;
}
