/* SPDX-License-Identifier: MIT */
/*
 * A ticket lock: fair, small, for short critical sections.
 *
 * The holder may not block, run a guest, or take the same lock again. Umbra
 * runs with interrupts off except when idle, so a lock needs no IRQ variant;
 * NMI and fault handlers take no locks.
 */
#ifndef LIB_SPINLOCK_H
#define LIB_SPINLOCK_H

#include "lib/types.h"

struct spinlock {
	u32 next;  /* the ticket that the next taker draws */
	u32 owner; /* the ticket that is being served */
};

static inline void spin_lock(struct spinlock *lock)
{
	u32 ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE) != ticket)
		__builtin_ia32_pause();
}

static inline void spin_unlock(struct spinlock *lock)
{
	u32 ticket = __atomic_load_n(&lock->owner, __ATOMIC_RELAXED);

	__atomic_store_n(&lock->owner, ticket + 1, __ATOMIC_RELEASE);
}

#endif
