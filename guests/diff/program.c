/* SPDX-License-Identifier: MIT */
/* A small program from a seed: see diff.h. */
#include "guests/diff/diff.h"

/* In the code page; behind it stand the stubs. */
#define CODE_BYTES 0x800u

enum kind {
	ALONE,  /* bytes that mean the same in every mode */
	MEMORY, /* a memory operand without displacement */
	STRING, /* memory by RSI and RDI */
	PORT,   /* only where every port exits: what a port reads may differ */
	TABLES, /* only where L2 cannot walk L1's memory, which differs */
};

struct piece {
	enum kind kind;
	u8 length;
	u8 bytes[6];
};

/* Registers: RBX, RSI and RDI point into the scratch pages. */
static const struct piece pieces[] = {
    {ALONE, 2, {0x0f, 0xa2}},                    /* cpuid */
    {ALONE, 1, {0xf4}},                          /* hlt */
    {ALONE, 2, {0xf3, 0x90}},                    /* pause */
    {ALONE, 2, {0x0f, 0x09}},                    /* wbinvd */
    {ALONE, 2, {0x0f, 0x08}},                    /* invd */
    {ALONE, 2, {0x0f, 0x31}},                    /* rdtsc */
    {ALONE, 3, {0x0f, 0x01, 0xf9}},              /* rdtscp */
    {ALONE, 2, {0x0f, 0x33}},                    /* rdpmc */
    {ALONE, 3, {0x0f, 0x01, 0xc2}},              /* vmlaunch */
    {ALONE, 3, {0x0f, 0x01, 0xc3}},              /* vmresume */
    {ALONE, 3, {0x0f, 0x01, 0xc4}},              /* vmxoff */
    {ALONE, 3, {0x0f, 0x01, 0xd4}},              /* vmfunc */
    {ALONE, 3, {0x0f, 0x01, 0xc8}},              /* monitor */
    {ALONE, 3, {0x0f, 0x01, 0xc9}},              /* mwait */
    {ALONE, 2, {0x0f, 0x06}},                    /* clts */
    {ALONE, 2, {0x0f, 0x0b}},                    /* ud2 */
    {ALONE, 1, {0xcc}},                          /* int3 */
    {ALONE, 1, {0xf1}},                          /* int1 */
    {ALONE, 2, {0xcd, 0x21}},                    /* int 0x21 */
    {ALONE, 1, {0x9c}},                          /* pushf */
    {ALONE, 1, {0xfa}},                          /* cli */
    {ALONE, 1, {0xfb}},                          /* sti */
    {ALONE, 3, {0x0f, 0x01, 0xe0}},              /* smsw eax */
    {ALONE, 3, {0x0f, 0x01, 0xf1}},              /* lmsw cx */
    {ALONE, 3, {0x0f, 0x00, 0xc1}},              /* sldt ecx */
    {ALONE, 3, {0x0f, 0x00, 0xc9}},              /* str ecx */
    {ALONE, 3, {0x0f, 0x00, 0xd1}},              /* lldt cx */
    {ALONE, 3, {0x0f, 0x00, 0xd9}},              /* ltr cx */
    {ALONE, 2, {0xf7, 0xf1}},                    /* div ecx */
    {ALONE, 3, {0x0f, 0x20, 0xc0}},              /* mov eax, cr0 */
    {ALONE, 3, {0x0f, 0x20, 0xd9}},              /* mov ecx, cr3 */
    {ALONE, 3, {0x0f, 0x20, 0xe0}},              /* mov eax, cr4 */
    {TABLES, 3, {0x0f, 0x22, 0xd9}},             /* mov cr3, ecx */
    {ALONE, 3, {0x0f, 0x21, 0xf0}},              /* mov eax, dr6 */
    {ALONE, 3, {0x0f, 0x23, 0xc0}},              /* mov dr0, eax */
    {ALONE, 2, {0x8e, 0xd9}},                    /* mov ds, cx */
    {ALONE, 2, {0x8e, 0xe1}},                    /* mov fs, cx */
    {ALONE, 2, {0x8e, 0xd1}},                    /* mov ss, cx */
    {ALONE, 1, {0x50}},                          /* push rax */
    {ALONE, 1, {0x58}},                          /* pop rax */
    {ALONE, 2, {0xe6, 0x80}},                    /* out 0x80, al */
    {ALONE, 2, {0x0f, 0x37}},                    /* getsec */
    {ALONE, 3, {0x0f, 0xc7, 0xf0}},              /* rdrand */
    {ALONE, 3, {0x0f, 0xc7, 0xf9}},              /* rdseed */
    {ALONE, 3, {0x0f, 0x78, 0xc1}},              /* vmread ecx, eax */
    {ALONE, 3, {0x0f, 0x79, 0xc1}},              /* vmwrite eax, ecx */
    {PORT, 2, {0xe4, 0x80}},                     /* in al, 0x80 */
    {PORT, 1, {0x6e}},                           /* outsb */
    {PORT, 2, {0xf3, 0x6e}},                     /* rep outsb */
    {PORT, 1, {0x6c}},                           /* insb */
    {STRING, 1, {0xa4}},                         /* movsb */
    {STRING, 1, {0xaa}},                         /* stosb */
    {STRING, 1, {0xac}},                         /* lodsb */
    {MEMORY, 2, {0x88, 0x03}},                   /* mov [rbx], al */
    {MEMORY, 2, {0x8a, 0x06}},                   /* mov al, [rsi] */
    {MEMORY, 2, {0xfe, 0x07}},                   /* inc byte [rdi] */
    {MEMORY, 2, {0x87, 0x03}},                   /* xchg [rbx], eax */
    {MEMORY, 2, {0xff, 0x36}},                   /* push [rsi] */
    {MEMORY, 3, {0x0f, 0x01, 0x3b}},             /* invlpg [rbx] */
    {MEMORY, 3, {0x0f, 0x01, 0x07}},             /* sgdt [rdi] */
    {MEMORY, 3, {0x0f, 0x01, 0x0f}},             /* sidt [rdi] */
    {MEMORY, 3, {0x0f, 0x01, 0x1e}},             /* lidt [rsi] */
    {MEMORY, 4, {0x66, 0x0f, 0xc7, 0x33}},       /* vmclear [rbx] */
    {MEMORY, 3, {0x0f, 0xc7, 0x33}},             /* vmptrld [rbx] */
    {MEMORY, 3, {0x0f, 0xc7, 0x3f}},             /* vmptrst [rdi] */
    {MEMORY, 4, {0xf3, 0x0f, 0xc7, 0x33}},       /* vmxon [rbx] */
    {MEMORY, 5, {0x66, 0x0f, 0x38, 0x80, 0x03}}, /* invept */
    {MEMORY, 5, {0x66, 0x0f, 0x38, 0x81, 0x03}}, /* invvpid */
    {MEMORY, 5, {0x66, 0x0f, 0x38, 0x82, 0x06}}, /* invpcid */
    {MEMORY, 3, {0x0f, 0x78, 0x03}},             /* vmread [rbx], eax */
    {MEMORY, 3, {0x0f, 0x79, 0x06}},             /* vmwrite eax, [rsi] */
};

struct code {
	u8 *at, *end;
	bool is_16_bit;
	bool ports_exit;
	bool has_ept;
	bool may_unpage;
};

static void emit(struct code *code, const u8 *bytes, u32 count)
{
	if (code->at + count > code->end)
		return;
	memcpy(code->at, bytes, count);
	code->at += count;
}

/* A whole 32-bit register, in real mode, too. */
static void emit_immediate(struct code *code, u8 opcode, u32 value)
{
	u8 bytes[] = {0x66,
		      opcode,
		      (u8)value,
		      (u8)(value >> 8),
		      (u8)(value >> 16),
		      (u8)(value >> 24)};
	bool is_16 = code->is_16_bit;

	emit(code, bytes + !is_16, sizeof(bytes) - !is_16);
}

static void emit_piece(struct code *code, const struct piece *piece)
{
	static const u8 address_32 = 0x67;

	if ((piece->kind == PORT && !code->ports_exit) ||
	    (piece->kind == TABLES && !code->has_ept))
		return;
	if (piece->kind != ALONE && piece->kind != TABLES && code->is_16_bit)
		emit(code, &address_32, 1);
	emit(code, piece->bytes, piece->length);
}

#define MOV_EAX 0xb8
#define MOV_ECX 0xb9
#define XOR_EAX 0x35

/* MSRs that hold what they are given, EFER to read, and one that is none. */
static void emit_msr(struct code *code, struct diff_random *r)
{
	static const u32 msrs[] = {MSR_SYSENTER_CS, MSR_SYSENTER_ESP,
				   MSR_LSTAR,       MSR_KERNEL_GS_BASE,
				   MSR_PAT,         0x2345};
	static const u8 read[] = {0x0f, 0x32}, write[] = {0x0f, 0x30};
	u32 msr = msrs[diff_below(r, ARRAY_COUNT(msrs))];

	emit_immediate(code, MOV_ECX, msr);
	emit(code, read, sizeof(read));
	if (diff_chance(r, 50))
		emit(code, write, sizeof(write));
}

/* A control register with one bit turned over. */
static void emit_control_register(struct code *code, struct diff_random *r)
{
	static const u32 cr0_bits[] = {CR0_WP, CR0_AM, CR0_TS, CR0_MP, CR0_EM,
				       CR0_NE, CR0_PG, CR0_CD, CR0_NW};
	static const u32 cr4_bits[] = {CR4_TSD, CR4_DE,  CR4_PSE, CR4_PGE,
				       CR4_PCE, CR4_PAE, CR4_VMXE};
	bool is_cr4 = diff_chance(r, 50);
	u8 number = is_cr4 ? 0xe0 : 0xc0;
	u32 bit = is_cr4 ? cr4_bits[diff_below(r, ARRAY_COUNT(cr4_bits))]
			 : cr0_bits[diff_below(r, ARRAY_COUNT(cr0_bits))];
	u8 read[] = {0x0f, 0x20, number}, write[] = {0x0f, 0x22, number};

	/* Without "unrestricted guest" PG is held, but in Bochs 2.7 it is not. */
	if (!is_cr4 && bit == (u32)CR0_PG && !code->may_unpage)
		bit = CR0_TS;
	emit(code, read, sizeof(read));
	emit_immediate(code, XOR_EAX, bit);
	emit(code, write, sizeof(write));
}

static void emit_selector(struct code *code, struct diff_random *r)
{
	static const u16 selectors[] = {0,    0x08, 0x10, 0x18, 0x20,
					0x30, 0x38, 0x3b, 0x40, 0x1000};

	emit_immediate(code, MOV_ECX,
		       selectors[diff_below(r, ARRAY_COUNT(selectors))]);
}

/* popf: interrupts, alignment, nested task, I/O level, arithmetic. */
static void emit_flags(struct code *code, struct diff_random *r)
{
	static const u8 push_pop[] = {0x50, 0x9d};

	emit_immediate(code, MOV_EAX, (u32)(diff_random(r) & 0x47cd5) | 2u);
	emit(code, push_pop, sizeof(push_pop));
}

static void emit_one(struct code *code, struct diff_random *r)
{
	u32 choice = diff_below(r, 100);

	if (choice < 8)
		emit_msr(code, r);
	else if (choice < 16)
		emit_control_register(code, r);
	else if (choice < 22)
		emit_selector(code, r);
	else if (choice < 25)
		emit_flags(code, r);
	else if (choice < 32)
		emit_immediate(code, diff_chance(r, 50) ? MOV_EAX : MOV_ECX,
			       diff_below(r, 4));
	else
		emit_piece(code, &pieces[diff_below(r, ARRAY_COUNT(pieces))]);
}

static void choose_registers(struct diff_case *c)
{
	struct diff_random *r = &c->random;
	static const u8 pointers[] = {3, 6, 7}; /* RBX, RSI, RDI */

	for (u32 i = 0; i < 16; i++)
		c->l2.registers[i] = diff_random(r);
	c->l2.rcx = diff_below(r, 8);
	for (u32 i = 0; i < ARRAY_COUNT(pointers); i++) {
		u32 offset =
		    DIFF_SCRATCH +
		    diff_below(r, DIFF_SCRATCH_PAGES) * (u32)PAGE_BYTES +
		    diff_below(r, PAGE_BYTES - 16);

		if (diff_chance(r, 15)) /* across a page */
			offset |= 0xffe;
		if (!diff_is_16_bit(c) && diff_chance(r, 5))
			offset += (u32)(2 * MIB); /* not in EPT */
		c->l2.registers[pointers[i]] = diff_address(c, offset);
	}
}

void diff_write_program(struct diff_case *c)
{
	static const u8 vmcall[] = {0x0f, 0x01, 0xc1};
	u8 *start = (u8 *)DIFF_WORLD + DIFF_CODE;
	struct code code = {
	    .at = start,
	    .end = start + CODE_BYTES,
	    .is_16_bit = diff_is_16_bit(c),
	    .ports_exit =
		(c->controls.primary & (PRIMARY_ALL_IO | PRIMARY_IO_BITMAPS)) ==
		PRIMARY_ALL_IO,
	    .has_ept = c->controls.secondary & SECONDARY_EPT,
	    .may_unpage = !diff_is_wide(c) || (c->controls.secondary &
					       SECONDARY_UNRESTRICTED_GUEST),
	};
	u32 count = 3 + diff_below(&c->random, 10);

	choose_registers(c);
	for (u32 i = 0; i < count; i++)
		emit_one(&code, &c->random);
	emit(&code, vmcall, sizeof(vmcall));
}
