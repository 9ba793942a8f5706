/* SPDX-License-Identifier: MIT */
/* Privilege level 3, and compatibility mode: see user.h, user_enter.asm. */
#include "guests/lib/user.h"
#include "guests/lib/cpu.h"
#include "guests/lib/layout.h"
#include "guests/lib/trap.h"
#include "lib/bits.h"
#include "lib/string.h"

#define ENTRIES      512u
#define PAGE_PRESENT BIT(0)
#define PAGE_USER    BIT(2)
#define PAGE_LARGE   BIT(7)
#define PAGE_ADDRESS BITS(51, 12)
#define STACK_SIZE   4096u
#define CODE_MAX     32u

/* user_enter.asm */
void user_enter(void (*code)(void), u64 stack_top);
u32 user_enter_compatibility(void);
extern u8 user_compatibility_code[CODE_MAX];
extern u64 user_kernel_rsp;
extern const u8 user_returned[];

static u8 kernel_stack[STACK_SIZE] ALIGNED(16);
static u8 user_stack[STACK_SIZE] ALIGNED(16);

/* The guests' page tables have three levels above their large pages. */
static void allow(u64 *table, u32 level)
{
	for (u32 i = 0; i < ENTRIES; i++) {
		if (!(table[i] & PAGE_PRESENT))
			continue;
		table[i] |= PAGE_USER;
		if (level > 1 && !(table[i] & PAGE_LARGE))
			allow((u64 *)(table[i] & PAGE_ADDRESS), level - 1);
	}
}

static void on_breakpoint(struct trap_frame *frame)
{
	frame->rip = (u64)user_returned;
	frame->cs = SELECTOR_CODE64;
	frame->ss = SELECTOR_DATA;
	frame->rsp = user_kernel_rsp;
}

void user_run(void (*code)(void))
{
	static bool allowed;

	if (!allowed) {
		allow((u64 *)(read_cr3() & PAGE_ADDRESS), 4);
		write_cr3(read_cr3());
	}
	allowed = true;
	trap_set_kernel_stack((u64)(kernel_stack + STACK_SIZE));
	trap_handle(VECTOR_BP, on_breakpoint);
	user_enter(code, (u64)(user_stack + STACK_SIZE));
	trap_handle(VECTOR_BP, NULL);
}

u32 user_run_compatibility(const u8 *code, u32 bytes)
{
	memset(user_compatibility_code, 0x90, CODE_MAX);
	memcpy(user_compatibility_code, code, bytes < CODE_MAX ? bytes : 0);
	return user_enter_compatibility();
}
