/* SPDX-License-Identifier: MIT */
/*
 * The VMX controls: their bits, and computing what a VMCS may have.
 *
 * Each control word has bits that the CPU requires to be 1 and bits that it
 * allows to be 1 (SDM vol. 3, "VMX Capability Reporting Facility"). We state
 * what we need, what we would like and what must be off; controls_choose()
 * answers with the word, or names the first need that the CPU does not meet.
 *
 * Pure: the capability MSRs' values come in as numbers.
 */
#ifndef ARCH_X86_VMX_CONTROLS_H
#define ARCH_X86_VMX_CONTROLS_H

#include "lib/bits.h"
#include "lib/err.h"
#include "lib/types.h"
#include "lib/vmx.h"

enum control_need {
	CONTROL_REQUIRED,  /* without it Umbra runs no guest */
	CONTROL_WANTED,    /* used where the CPU has it */
	CONTROL_FORBIDDEN, /* must be 0: a CPU that insists is not supported */
};

struct control_wish {
	enum control_word word;
	enum control_need need;
	u64 bit;
	const char *name; /* in words, as the user is told */
};

/* All wishes of vmcs01; what the start-up lines are printed from. */
extern const struct control_wish control_wishes[];
extern const u32 control_wish_count;

struct controls {
	u32 words[CONTROLS_COUNT];
};

/*
 * Chooses all words. ERR_UNSUPPORTED names the unmet need in *unmet, and
 * writes no control.
 */
MUST_CHECK enum err
controls_choose(const struct control_capability capabilities[CONTROLS_COUNT],
		struct controls *controls, const struct control_wish **unmet);

static inline bool controls_have(const struct controls *controls,
				 enum control_word word, u64 bit)
{
	return (controls->words[word] & bit) != 0;
}

#endif
