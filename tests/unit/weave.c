/* SPDX-License-Identifier: MIT */
/* The scheduler of tests/unit/weave.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sanitizer/common_interface_defs.h>

#include "lib/check.h"
#include "tests/unit/support.h"
#include "tests/unit/weave.h"

#define STACK_BYTES (256 * KIB)

struct thread {
	void (*body)(void *argument);
	void *argument;
	void *stack_pointer; /* while somebody else runs */
	const void *stack;   /* its lowest byte */
	size_t stack_bytes;
	bool done;
};

static struct thread threads[WEAVE_THREADS];
static u32 thread_count;

static struct thread outside; /* whoever called weave_run */
static struct thread *running;
static struct random chance;
static u64 switch_odds; /* one step in so many goes to somebody else */
static u64 steps_left;

/*
 * Saves what a function must preserve on the stack, leaves the stack there and
 * goes on where the other thread did the same. (swapcontext would make two
 * system calls for signal masks, which is most of a test's time.)
 */
void weave_switch(void **save, void *stack_pointer);
__asm__(".text\n"
	".type weave_switch, @function\n"
	"weave_switch:\n"
	"	push %rbp\n"
	"	push %rbx\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	mov %rsp, (%rdi)\n"
	"	mov %rsi, %rsp\n"
	"	pop %r15\n"
	"	pop %r14\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbx\n"
	"	pop %rbp\n"
	"	ret\n"
	".size weave_switch, . - weave_switch\n");

/* The sanitizer has to know on which stack it is. */
static void go_to(struct thread *next)
{
	struct thread *self = running;
	void *shadow = NULL;

	running = next;
	__sanitizer_start_switch_fiber(self->done ? NULL : &shadow, next->stack,
				       next->stack_bytes);
	weave_switch(&self->stack_pointer, next->stack_pointer);
	__sanitizer_finish_switch_fiber(shadow, NULL, NULL);
}

/* Any thread that has something left to do, NULL if none has. */
static struct thread *choose(void)
{
	u64 start = random_below(&chance, thread_count);

	for (u64 i = 0; i < thread_count; i++) {
		struct thread *thread = &threads[(start + i) % thread_count];

		if (!thread->done)
			return thread;
	}
	return NULL;
}

void weave_step(void)
{
	struct thread *next;

	if (!running || running == &outside)
		return;
	if (steps_left-- == 0) {
		go_to(&outside);
		CHECK(false); /* a thread that is given up never runs again */
	}
	if (random_below(&chance, switch_odds))
		return;
	next = choose();
	if (next != running)
		go_to(next);
}

static void thread_main(void)
{
	struct thread *next;
	const void *stack;
	size_t bytes;

	/* The first thread ever comes from outside, and learns that stack. */
	__sanitizer_finish_switch_fiber(NULL, &stack, &bytes);
	if (!outside.stack) {
		outside.stack = stack;
		outside.stack_bytes = bytes;
	}
	running->body(running->argument);
	running->done = true;
	next = choose();
	go_to(next ? next : &outside);
}

void weave_add(void (*body)(void *argument), void *argument)
{
	CHECK(thread_count < WEAVE_THREADS);
	threads[thread_count++] =
	    (struct thread){.body = body, .argument = argument};
}

/* A stack as weave_switch would have left it, about to enter thread_main. */
static void prepare(struct thread *thread)
{
	u8 *stack = malloc(STACK_BYTES);
	void **top = (void **)(void *)(stack + STACK_BYTES);

	CHECK(stack);
	*--top = NULL; /* where thread_main's caller would be */
	*--top = (void *)thread_main;
	for (u32 saved_registers = 6; saved_registers; saved_registers--)
		*--top = NULL;
	thread->stack_pointer = top;
	thread->stack = stack;
	thread->stack_bytes = STACK_BYTES;
}

void weave_run(u64 seed, u64 limit)
{
	bool all_done = true;

	CHECK(thread_count);
	chance = random_from(seed);
	switch_odds = 1 + random_below(&chance, 8);
	steps_left = limit;
	running = &outside;
	for (u32 i = 0; i < thread_count; i++)
		prepare(&threads[i]);
	go_to(choose());
	running = NULL;
	for (u32 i = 0; i < thread_count; i++) {
		all_done = all_done && threads[i].done;
		free((void *)(uintptr_t)threads[i].stack);
	}
	thread_count = 0;
	if (!all_done)
		fail_msg("seed %lu: the threads wait for each other", seed);
}
