/* SPDX-License-Identifier: MIT */
/* Checks, the RESULT line and the way out: see result.h. */
#include <stdarg.h>

#include "guests/lib/console.h"
#include "guests/lib/cpu.h"
#include "guests/lib/result.h"
#include "lib/fmt.h"

#define DEBUG_EXIT_PORT     0xf4

/* Bochs has no debug-exit port; it has these two ways to end. */
#define BOCHS_IODEBUG_PORT  0x8a00
#define BOCHS_IODEBUG_STOP  0x8ae0
#define BOCHS_SHUTDOWN_PORT 0x8900

static u32 check_count, failed_count;

static void leave_bochs(u8 code)
{
	static const char shutdown[] = "Shutdown";

	if (code == EXIT_OK) {
		out16(BOCHS_IODEBUG_PORT, BOCHS_IODEBUG_PORT);
		out16(BOCHS_IODEBUG_PORT, BOCHS_IODEBUG_STOP);
	}
	for (const char *at = shutdown; *at; at++)
		out8(BOCHS_SHUTDOWN_PORT, (u8)*at);
}

void guest_exit(u8 code)
{
	console_drain();
	out8(DEBUG_EXIT_PORT, code);
	leave_bochs(code);
	cpu_stop();
}

void check(bool passed, const char *name, const char *format, ...)
{
	char text[200];
	va_list args;

	__atomic_fetch_add(&check_count, 1, __ATOMIC_RELAXED);
	if (passed)
		return;
	__atomic_fetch_add(&failed_count, 1, __ATOMIC_RELAXED);
	va_start(args, format);
	fmt_va(text, sizeof(text), format, args);
	va_end(args);
	print("FAIL %s: %s\n", name, text);
}

u8 result_print(void)
{
	print("RESULT %s %u/%u\n", failed_count ? "FAIL" : "PASS",
	      check_count - failed_count, check_count);
	return failed_count ? EXIT_FAILED : EXIT_OK;
}
