/* SPDX-License-Identifier: MIT */
/*
 * What a VM looks like from outside, and whether another machine can carry
 * it: the payload of a VM record.
 *
 * A guest has seen its CPU's features and may use any of them at any moment,
 * so the destination must offer all of them. What is missing is said in the
 * names that a user knows from /proc/cpuinfo.
 */
#ifndef MIGRATE_SHAPE_H
#define MIGRATE_SHAPE_H

#include "migrate/wire.h"
#include "mm/guest_mem.h"

#define SHAPE_NAME_BYTES 32

enum cpu_word {
	CPU_1_EDX,
	CPU_1_ECX,
	CPU_7_EBX,
	CPU_7_ECX,
	CPU_7_EDX,
	CPU_D1_EAX,
	CPU_80000001_EDX,
	CPU_80000001_ECX,
	CPU_WORDS,
};

/* Source: what the guest was shown. Destination: what guests can be shown. */
struct cpu_model {
	char vendor[12]; /* CPUID leaf 0, no terminator */
	char brand[48];  /* for people; not compared */
	u32 physical_bits;
	u64 xcr0; /* state components */
	u32 features[CPU_WORDS];
};

struct shape_slot {
	gpa_t base;
	u64 bytes;
	enum guest_slot_kind kind;
};

struct vm_shape {
	char name[SHAPE_NAME_BYTES]; /* terminated */
	u32 cpu_count;
	u64 tsc_hz; /* of the guest */
	struct cpu_model cpu;
	u32 slot_count;
	struct shape_slot slots[GUEST_MEM_SLOTS];
};

/* The name and slots of that memory; the rest is the caller's to fill in. */
void shape_take_memory(struct vm_shape *shape, const struct guest_mem *mem);
bool shape_is_of(const struct vm_shape *shape, const struct guest_mem *mem);

void shape_put(struct wire_writer *writer, const struct vm_shape *shape);

/*
 * ERR_BAD_FORMAT, with words: cut off, or no memory map that a VM can have.
 */
MUST_CHECK enum err shape_get(struct wire_reader *reader,
			      struct vm_shape *shape, char *why, u32 why_bytes);

/* ERR_UNSUPPORTED, with words: this machine lacks something. */
MUST_CHECK enum err cpu_model_fits(const struct cpu_model *guest,
				   const struct cpu_model *host, char *why,
				   u32 why_bytes);

#endif
