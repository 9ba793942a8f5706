/* SPDX-License-Identifier: MIT */
/*
 * Doing an instruction's work in software, for a guest that touches a device.
 *
 * The caller fills struct emulate_cpu from the vCPU, calls emulate_step, and
 * on EMULATE_DONE and EMULATE_CONTINUE writes the registers back. Nothing of
 * the guest is touched except through struct emulate_bus.
 *
 * An instruction happens wholly or not at all: segments and page tables of
 * every operand are checked, for writing too, before anything is read or
 * written, and registers change only at the end. A repeated string operation
 * is a row of such instructions; each iteration is complete before the next
 * begins, so that between any two of them the vCPU may be interrupted, moved
 * to another machine, or find a page missing.
 *
 * Left to the caller, as after any instruction that Umbra completes for a
 * guest: the trap that RFLAGS.TF asks for or a breakpoint in `met`, and the
 * end of the STI and MOV-SS shadow. Not checked here because the CPU has done
 * so before its exit: I/O permissions of INS and OUTS.
 */
#ifndef EMULATE_EMULATE_H
#define EMULATE_EMULATE_H

#include "emulate/alu.h"
#include "emulate/breakpoint.h"
#include "emulate/decode.h"
#include "lib/err.h"
#include "mm/addr.h"

/* Access rights as in the VMCS (SDM volume 3, "Format of Access Rights"). */
struct emulate_segment {
	u64 base;
	u32 limit; /* in bytes, of the last one */
	u32 access_rights;
	u16 selector;
};

#define SEGMENT_TYPE        BITS(3, 0)
#define SEGMENT_WRITABLE    BIT(1) /* data; for code: readable */
#define SEGMENT_EXPAND_DOWN BIT(2) /* data */
#define SEGMENT_CODE        BIT(3)
#define SEGMENT_LONG        BIT(13)
#define SEGMENT_BIG         BIT(14) /* the D/B flag */
#define SEGMENT_UNUSABLE    BIT(16)

struct emulate_cpu {
	u64 gpr[GPR_COUNT];
	u64 rip;
	u64 rflags;
	u64 cr0;
	u64 efer;
	u8 cpl;
	/* Bits of those that the bus is asked for at their first use; of CS and
	 * SS the access rights are there all the same. */
	u8 segments_unread;
	struct emulate_segment segments[SEGMENT_COUNT];
};

enum emulate_access {
	EMULATE_READ,
	EMULATE_WRITE, /* also of what is read first and then written */
	EMULATE_FETCH,
};

/* An exception for the guest; in real mode none has an error code. */
struct emulate_fault {
	u8 vector;
	bool has_error_code;
	u32 error_code;
	u64 address; /* CR2, for #PF only */
};

enum emulate_result {
	EMULATE_DONE,        /* RIP is behind the instruction */
	EMULATE_CONTINUE,    /* some iterations are done: step again */
	EMULATE_FAULT,       /* inject `fault`; iterations so far are done */
	EMULATE_AGAIN,       /* another CPU was faster: step again */
	EMULATE_UNSUPPORTED, /* the form is not known: stop the guest */
	EMULATE_STOPPED,     /* the bus has refused, and knows why */
};

/*
 * What the instruction reaches of the machine. One call is for 1 to 8 bytes
 * in one page; a device sees one call per access unless its register crosses
 * a page. ERR_BUSY ends the step with EMULATE_AGAIN, other
 * trouble with EMULATE_STOPPED.
 */
struct emulate_bus {
	/*
	 * The guest's paging (mm/guest_walk.h), with accessed and dirty flags
	 * as `access` asks. ERR_RANGE: #PF, with its error code.
	 */
	enum err (*translate)(void *context, gva_t address,
			      enum emulate_access access, gpa_t *result,
			      u32 *error_code);
	enum err (*read)(void *context, gpa_t address, void *to, u32 bytes);
	enum err (*write)(void *context, gpa_t address, const void *from,
			  u32 bytes);
	/*
	 * For locked instructions on naturally aligned operands of up to 8
	 * bytes: writes only if memory still holds `expected`, else ERR_BUSY.
	 * On a device it is a plain write.
	 */
	enum err (*swap)(void *context, gpa_t address, u64 expected, u64 value,
			 u32 bytes);
	enum err (*port_in)(void *context, u16 port, u32 *value, u32 bytes);
	enum err (*port_out)(void *context, u16 port, u32 value, u32 bytes);
	/* The 16 bytes of XMM0 to XMM15; what lies above them stays. */
	void (*read_vector)(void *context, u32 number, void *to);
	void (*write_vector)(void *context, u32 number, const void *from);
	/* One of cpu.segments_unread. */
	void (*read_segment)(void *context, u32 number,
			     struct emulate_segment *segment);
};

/*
 * What was decoded before, so that it is not decoded again: the same bytes are
 * the same instruction in code of the same size. They are fetched each time.
 */
struct known_instruction {
	struct instruction instruction; /* of no length: none */
	enum code_size code_size;
};

#define KNOWN_INSTRUCTIONS 16

struct emulation {
	const struct emulate_bus *bus;
	void *context;
	struct emulate_cpu cpu;
	struct known_instruction *known; /* so many, zeroes at first; or NULL */
	const struct breakpoints *breakpoints; /* NULL: none is enabled */
	u64 met; /* of them, as in DR6; with EMULATE_DONE and _CONTINUE */
	struct instruction instruction; /* of the last step, for messages */
	struct emulate_fault fault;     /* with EMULATE_FAULT */
};

/* Iterations per step that keep a step short, a few microseconds. */
#define EMULATE_ITERATIONS 64

/*
 * Fetches, decodes and executes the instruction at RIP, at most `iterations`
 * (at least 1) of it if it is repeated; none behind one that has met a
 * breakpoint.
 */
MUST_CHECK enum emulate_result emulate_step(struct emulation *e,
					    u32 iterations);

/* The size of code that CS, CR0 and EFER give. */
enum code_size emulate_code_size(const struct emulate_cpu *cpu);

/* By number; read, if it has not been. */
const struct emulate_segment *emulate_segment(struct emulation *e, u32 number);

#endif
