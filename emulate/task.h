/* SPDX-License-Identifier: MIT */
/*
 * Hardware task switches, which no VM does by itself: each exits (SDM volume 3,
 * "Task Switching").
 *
 *	old TSS <-- registers             registers <-- new TSS
 *	GDT: busy flags, link             then the descriptors of its selectors
 *
 * Up to the point where registers are saved an exception is one of the old
 * task, and nothing has changed. From there on it is one of the new task, which
 * is what the registers hold; segments that are not loaded by then are
 * unusable.
 *
 * The CPU has checked privileges before its exit. What is in memory is looked
 * at again: another CPU may have changed it.
 */
#ifndef EMULATE_TASK_H
#define EMULATE_TASK_H

#include "emulate/emulate.h"

/* As in the exit qualification. */
enum task_source { TASK_CALL, TASK_IRET, TASK_JUMP, TASK_GATE };

struct task_cpu {
	struct emulate_cpu core;
	struct emulate_segment ldtr, tr;
	u64 gdt_base;
	u32 gdt_limit;
	u64 cr3, dr7;
};

/* An event that goes through a task gate. */
struct task_event {
	bool is_external; /* not an instruction's */
	bool has_error_code;
	u32 error_code;
};

struct task_switch {
	/* Its translate is for system accesses until `become` is called, and
	 * answers no ERR_BUSY: a switch cannot begin again. */
	const struct emulate_bus *bus;
	void *context;
	/*
	 * The new task's CR3 is in force: ERR_RANGE, #GP, because its PDPTEs
	 * are wrong. Called also where it stays.
	 */
	enum err (*load_cr3)(void *context, u64 cr3);
	/* From now on accesses are those of this privilege level. */
	void (*become)(void *context, u8 cpl);

	struct task_cpu cpu;
	enum task_source source;
	u16 selector;
	u32 return_rip; /* where the old task goes on */
	struct task_event event;

	struct emulate_fault fault; /* with EMULATE_FAULT */
	bool is_new;                /* the registers are the new task's */
	bool debug_trap;            /* its T flag: #DB before it begins */
};

/* EMULATE_DONE, EMULATE_FAULT or EMULATE_STOPPED. */
MUST_CHECK enum emulate_result task_switch(struct task_switch *t);

#endif
