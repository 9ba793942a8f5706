/* SPDX-License-Identifier: MIT */
/* Ways to fault; each comes back only where the machine lets it pass. */
#include "core/crash.h"
#include "arch/x86/cpu/insn.h"
#include "core/main.h"
#include "lib/check.h"
#include "lib/log.h"
#include "lib/string.h"

#define OPCODE_RET 0xc3

/* Volatile: the compiler must not see what becomes of these. */
static const volatile u8 *volatile nowhere;
static volatile u32 depth_wanted = UINT32_MAX;

static void read_null(void)
{
	(void)*nowhere;
}

static void fail_check(void)
{
	CHECK(nowhere);
}

/* Frames smaller than a page: none can step over the guard. */
NOINLINE static u32 recurse(u32 depth) /* NOLINT(misc-no-recursion) */
{
	volatile u8 frame[256];

	frame[0] = (u8)depth;
	if (depth < depth_wanted)
		depth = recurse(depth + 1);
	return depth + frame[0];
}

static void overflow_stack(void)
{
	(void)recurse(0);
}

static void write_code(void)
{
	*(volatile u8 *)(u64)boot_main = OPCODE_RET;
}

static void run_data(void)
{
	static volatile u8 code = OPCODE_RET;

	((void (*)(void))(u64)&code)();
}

static void check_machine(void)
{
	insn_int_machine_check();
}

struct way {
	const char *name;
	void (*go)(void);
};

static const struct way ways[] = {
    {"null", read_null},  {"check", fail_check}, {"stack", overflow_stack},
    {"code", write_code}, {"data", run_data},    {"mc", check_machine},
};

void crash(const char *how)
{
	if (!*how)
		how = ways[0].name;
	for (u32 i = 0; i < ARRAY_COUNT(ways); i++)
		if (!strcmp(how, ways[i].name)) {
			ways[i].go();
			log_error("crash %s: this machine let it pass", how);
			return;
		}
	log_info("crash null, check, stack, code, data or mc");
}
