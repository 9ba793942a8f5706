/* SPDX-License-Identifier: MIT */
/*
 * What the manual says about VMX, as experiments that a guest carries out: see
 * guests/l1vmx.c. Each file of this folder is a part, a list of cases.
 *
 * Expectations come from the manual alone. Where Bochs 2.7 is known to
 * differ a case says so with a word for the defect, which the table in
 * docs/TESTING.md explains. In Bochs itself a difference is then printed and no
 * failure; elsewhere, and so under Umbra, it is one.
 */
#ifndef GUESTS_VMX_SUITE_H
#define GUESTS_VMX_SUITE_H

#include "guests/lib/ept12.h"
#include "guests/lib/guest.h"
#include "guests/lib/l2.h"
#include "guests/lib/pages.h"
#include "guests/lib/user.h"
#include "lib/fmt.h"
#include "lib/x86.h"

/* The parts. */
void suite_instructions(void);
void suite_entry(void);
void suite_exits(void);
void suite_ept(void);
void suite_events(void);
void suite_state(void);
void suite_step(void);
void suite_posted(void);
void suite_order(void);
void suite_apic(void);
void suite_init(void);

/* From here on, what is expected belongs to this case. */
void suite_case(const char *name);

/* This case's outcome in Bochs itself is spoilt by a known defect. */
void suite_defect(const char *word);

/*
 * The same of what the CPU alone can tell, so that it is wrong under Umbra,
 * too: the word `bochs` on the command line says that Bochs is below.
 */
void suite_defect_below(const char *word);

/* Counts a check of the present case. */
void suite_expect(u64 found, u64 wanted, const char *what);

/* A fact that is no number. */
void suite_true(bool fact, const char *what);

/* Does this run in Bochs with nothing between? */
bool suite_in_bochs(void);

/*
 * The L2 that all cases share, made anew: a VMCS that is clear, with `controls`
 * and EPT that maps all memory (if there is EPT, and `controls` has none). It
 * is current.
 */
extern struct l2 suite_l2;
void suite_make_l2(const struct l2_controls *controls, void (*program)(void));

/* Enters, and expects that exit; false: it was another. */
bool suite_run(u32 reason);

/* Goes on behind the exit until L2 has ended, which it must do at once. */
void suite_finish(void);

/* EPT of all memory in 2M pages, for cases that change nothing in it. */
extern struct ept12 suite_ept12;

/* The VM-instruction error, after VMX_FAIL_VALID. */
void suite_expect_error(u32 did, enum vmx_error error);

#endif
