/* SPDX-License-Identifier: MIT */
/* See core/backtrace.h. */
#include "core/backtrace.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/descriptors.h"
#include "core/symbols.h"

static bool is_on_stack(const struct cpu *cpu, u64 address)
{
	return address >= cpu->stack_bottom && address + 16 <= cpu->stack_top &&
	       address % 8 == 0;
}

static bool is_on_fault_stacks(const struct cpu *cpu, u64 address)
{
	u64 start = (u64)cpu->fault_stacks;

	/* Guard pages are unmapped: only the upper page of each pair counts. */
	return start && address >= start &&
	       address + 16 <= start + FAULT_STACKS_FRAMES * PAGE_4K &&
	       ((address - start) / PAGE_4K) % 2 == 1 && address % 8 == 0;
}

void backtrace_take(struct backtrace *trace, u64 rip, u64 frame_pointer)
{
	const struct cpu *cpu = cpu_this();

	trace->count = 0;
	while (rip && trace->count < BACKTRACE_MAX) {
		const u64 *frame = (const u64 *)frame_pointer;

		trace->calls[trace->count++] = rip;
		if (!is_on_stack(cpu, frame_pointer) &&
		    !is_on_fault_stacks(cpu, frame_pointer))
			return;
		rip = frame[1] ? frame[1] - 1 : 0;
		frame_pointer = frame[0];
	}
}

void backtrace_say(const struct backtrace *trace, enum log_level level)
{
	for (u32 i = 0; i < trace->count; i++) {
		struct symbol symbol = symbols_find(trace->calls[i]);

		log_line(level, "  %2u  %#lx  %s+%#lx", i, trace->calls[i],
			 symbol.name, symbol.offset);
	}
}
