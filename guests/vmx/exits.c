/* SPDX-License-Identifier: MIT */
/*
 * Exits that instructions cause, and everything that they say: reason,
 * qualification, length, instruction information; and when there is none.
 * SDM vol. 3, "Information for VM Exits Due to Instruction Execution",
 * "Architectural State Before a VM Exit".
 */
#include "guests/vmx/suite.h"

/* An L2 program: `before`, then the instruction that is looked at. */
/* NOLINTBEGIN(bugprone-macro-parentheses): parts of assembly, initializers */
#define PROGRAM(name, before, instruction)                             \
	extern const u8 name[], name##_at[], name##_end[];             \
	__asm__(".pushsection .text\n" #name ":\n\t" before "\n" #name \
		"_at:\n\t" instruction "\n" #name "_end:\n\tret\n.popsection")
#define OF(name)          .start = name, .at = name##_at, .end = name##_end
/* NOLINTEND(bugprone-macro-parentheses) */

/* Fields of the instruction information. */
#define INFO_REGISTER1(n) ((u32)(n) << 3)
#define INFO_ADDRESS_64   (2u << 7)
#define INFO_ADDRESS_32   (1u << 7)
#define INFO_IS_REGISTER  (1u << 10)
#define INFO_SEGMENT(n)   ((u32)(n) << 15)
#define INFO_DS           INFO_SEGMENT(3)
#define INFO_SS           INFO_SEGMENT(2)
#define INFO_ES           INFO_SEGMENT(0)
#define INFO_FS           INFO_SEGMENT(4)
#define INFO_SCALE(n)     ((u32)(n))
#define INFO_INDEX(n)     ((u32)(n) << 18)
#define INFO_NO_INDEX     (1u << 22)
#define INFO_BASE(n)      ((u32)(n) << 23)
#define INFO_NO_BASE      (1u << 27)
#define INFO_REGISTER2(n) ((u32)(n) << 28)
#define INFO_TABLE(n)     ((u32)(n) << 28) /* which instruction it is */

/* What is defined where memory is addressed by a base alone. */
#define MASK_BASE         0x0fc38780u
#define MASK_INDEX        0x0ffc8783u
#define MASK_REGISTER2    0xf0000000u
#define MASK_TABLE        0x30000000u

#define RCX               1u
#define RDX               2u
#define RBX               3u
#define RSI               6u
#define R9                9u
#define R12               12u

struct exit_case {
	const char *name;
	const u8 *start, *at, *end;
	u32 reason; /* EXIT_VMCALL: there is no exit */
	struct l2_controls controls;
	u64 qualification;
	u32 info, info_mask;
	const u8 *linear; /* NULL: it is not defined */
	void (*prepare)(void);
	const char *defect;
};

/* --- Instructions that need no operand ------------------------------------ */

PROGRAM(do_cpuid, "xor %eax, %eax", "cpuid");
PROGRAM(do_cpuid_prefixed, "xor %eax, %eax", ".byte 0x48, 0x0f, 0xa2");
PROGRAM(do_hlt, "", "hlt");
PROGRAM(do_invd, "", "invd");
PROGRAM(do_wbinvd, "", "wbinvd");
PROGRAM(do_pause, "", "pause");
PROGRAM(do_rdtsc, "", "rdtsc");
PROGRAM(do_rdtscp, "", "rdtscp");
PROGRAM(do_rdpmc, "xor %ecx, %ecx", "rdpmc");
PROGRAM(do_monitor, "mov $0x100000, %eax\n\txor %ecx, %ecx\n\txor %edx, %edx",
	"monitor");
PROGRAM(do_mwait, "xor %eax, %eax\n\txor %ecx, %ecx", "mwait");
PROGRAM(do_xsetbv, "xor %ecx, %ecx\n\txor %edx, %edx\n\tmov $1, %eax",
	"xsetbv");
PROGRAM(do_vmcall, "mov $0x1234, %eax", "vmcall");
PROGRAM(do_rdmsr, "mov $0x174, %ecx", "rdmsr");
PROGRAM(do_wrmsr, "mov $0x174, %ecx\n\txor %eax, %eax\n\txor %edx, %edx",
	"wrmsr");
PROGRAM(do_rdmsr_high, "mov $0xc0000082, %ecx", "rdmsr");
PROGRAM(do_wrmsr_high,
	"mov $0xc0000082, %ecx\n\txor %eax, %eax\n\t"
	"xor %edx, %edx",
	"wrmsr");
PROGRAM(do_rdmsr_outside, "mov $0x2000, %ecx", "rdmsr");

static const struct exit_case bare_cases[] = {
    {"cpuid", OF(do_cpuid), EXIT_CPUID},
    {"cpuid_with_rex", OF(do_cpuid_prefixed), EXIT_CPUID},
    {"hlt", OF(do_hlt), EXIT_HLT, {.primary = PRIMARY_HLT}},
    {"invd", OF(do_invd), EXIT_INVD},
    {"wbinvd", OF(do_wbinvd), EXIT_WBINVD, {.secondary = SECONDARY_WBINVD}},
    {"wbinvd_alone", OF(do_wbinvd), EXIT_VMCALL},
    {"pause", OF(do_pause), EXIT_PAUSE, {.primary = PRIMARY_PAUSE}},
    {"pause_alone", OF(do_pause), EXIT_VMCALL},
    {"rdtsc", OF(do_rdtsc), EXIT_RDTSC, {.primary = PRIMARY_RDTSC}},
    {"rdtsc_alone", OF(do_rdtsc), EXIT_VMCALL},
    {"rdtscp",
     OF(do_rdtscp),
     EXIT_RDTSCP,
     {.primary = PRIMARY_RDTSC, .secondary = SECONDARY_RDTSCP}},
    {"rdpmc", OF(do_rdpmc), EXIT_RDPMC, {.primary = PRIMARY_RDPMC}},
    {"monitor", OF(do_monitor), EXIT_MONITOR, {.primary = PRIMARY_MONITOR}},
    {"mwait", OF(do_mwait), EXIT_MWAIT, {.primary = PRIMARY_MWAIT}},
    {"vmcall", OF(do_vmcall), EXIT_VMCALL},
};

/* --- Control and debug registers ------------------------------------------ */

PROGRAM(to_cr0, "mov %cr0, %rbx\n\txor $0x10000, %rbx", "mov %rbx, %cr0");
PROGRAM(to_cr0_same, "mov %cr0, %rbx", "mov %rbx, %cr0");
PROGRAM(do_clts, "", "clts");
PROGRAM(do_lmsw, "mov $0x31, %ecx", "lmsw %cx");
PROGRAM(do_lmsw_memory, "mov $vmx_exits_status, %ebx", "lmsw (%rbx)");
PROGRAM(to_cr3, "mov %cr3, %r12", "mov %r12, %cr3");
PROGRAM(from_cr3, "", "mov %cr3, %r9");
PROGRAM(to_cr4, "mov %cr4, %rdx\n\txor $4, %rdx", "mov %rdx, %cr4");
PROGRAM(from_cr4, "", "mov %cr4, %rdx");
PROGRAM(to_cr8, "xor %esi, %esi", "mov %rsi, %cr8");
PROGRAM(from_cr8, "", "mov %cr8, %rcx");
PROGRAM(to_dr7, "mov $0x400, %ebx", "mov %rbx, %dr7");
PROGRAM(to_dr0, "xor %r9d, %r9d", "mov %r9, %dr0");
PROGRAM(from_dr6, "", "mov %dr6, %rdx");

extern u8 vmx_exits_status[2];
u8 vmx_exits_status[2] = {0x31, 0xff};

#define CR_LMSW_MEMORY                  BIT(6)
#define CR_QUALIFICATION(cr, type, gpr) ((cr) | (type) << 4 | (u64)(gpr) << 8)
#define DR_QUALIFICATION(dr, from, gpr) ((dr) | (from) << 4 | (u64)(gpr) << 8)
enum cr_access { TO_CR, FROM_CR, CR_CLTS, CR_LMSW };

static void mask_cr0_wp_ts(void)
{
	vmwrite(VMCS_CR0_MASK, CR0_WP | CR0_TS);
	vmwrite(VMCS_CR0_SHADOW, vmread(VMCS_GUEST_CR0) | CR0_TS);
}

static void mask_cr4_tsd(void)
{
	vmwrite(VMCS_CR4_MASK, CR4_TSD);
	vmwrite(VMCS_CR4_SHADOW, vmread(VMCS_GUEST_CR4));
}

static void target_cr3(void)
{
	vmwrite(VMCS_CR3_TARGET_COUNT, 2);
	vmwrite(VMCS_CR3_TARGET_1, read_cr3());
}

static void target_other_cr3(void)
{
	vmwrite(VMCS_CR3_TARGET_COUNT, 1);
	vmwrite(VMCS_CR3_TARGET_0, read_cr3() ^ 0x1000);
	vmwrite(VMCS_CR3_TARGET_1, read_cr3()); /* not counted */
}

static const struct exit_case register_cases[] = {
    {"mov_to_cr0",
     OF(to_cr0),
     EXIT_CONTROL_REGISTER,
     {0},
     CR_QUALIFICATION(0, TO_CR, RBX),
     .prepare = mask_cr0_wp_ts},
    {"mov_to_cr0_unchanged_where_masked",
     OF(to_cr0_same),
     EXIT_VMCALL,
     {0},
     .prepare = mask_cr4_tsd},
    {"mov_to_cr0_without_mask", OF(to_cr0), EXIT_VMCALL},
    {"clts",
     OF(do_clts),
     EXIT_CONTROL_REGISTER,
     {0},
     CR_QUALIFICATION(0, CR_CLTS, 0),
     .prepare = mask_cr0_wp_ts},
    {"clts_without_mask", OF(do_clts), EXIT_VMCALL},
    {"lmsw",
     OF(do_lmsw),
     EXIT_CONTROL_REGISTER,
     {0},
     CR_QUALIFICATION(0, CR_LMSW, 0) | 0x31ull << 16,
     .prepare = mask_cr0_wp_ts},
    {"lmsw_of_memory",
     OF(do_lmsw_memory),
     EXIT_CONTROL_REGISTER,
     {0},
     CR_QUALIFICATION(0, CR_LMSW, 0) | CR_LMSW_MEMORY | 0xff31ull << 16,
     .linear = vmx_exits_status,
     .prepare = mask_cr0_wp_ts},
    {"mov_to_cr3",
     OF(to_cr3),
     EXIT_CONTROL_REGISTER,
     {.primary = PRIMARY_CR3_LOAD},
     CR_QUALIFICATION(3, TO_CR, R12)},
    {"mov_to_cr3_target",
     OF(to_cr3),
     EXIT_VMCALL,
     {.primary = PRIMARY_CR3_LOAD},
     .prepare = target_cr3},
    {"mov_to_cr3_that_is_no_target",
     OF(to_cr3),
     EXIT_CONTROL_REGISTER,
     {.primary = PRIMARY_CR3_LOAD},
     CR_QUALIFICATION(3, TO_CR, R12),
     .prepare = target_other_cr3},
    {"mov_to_cr3_alone", OF(to_cr3), EXIT_VMCALL},
    {"mov_from_cr3",
     OF(from_cr3),
     EXIT_CONTROL_REGISTER,
     {.primary = PRIMARY_CR3_STORE},
     CR_QUALIFICATION(3, FROM_CR, R9)},
    {"mov_from_cr3_alone", OF(from_cr3), EXIT_VMCALL},
    {"mov_to_cr4",
     OF(to_cr4),
     EXIT_CONTROL_REGISTER,
     {0},
     CR_QUALIFICATION(4, TO_CR, RDX),
     .prepare = mask_cr4_tsd},
    {"mov_from_cr4_never_exits",
     OF(from_cr4),
     EXIT_VMCALL,
     {0},
     .prepare = mask_cr4_tsd},
    {"mov_to_cr8",
     OF(to_cr8),
     EXIT_CONTROL_REGISTER,
     {.primary = PRIMARY_CR8_LOAD},
     CR_QUALIFICATION(8, TO_CR, RSI)},
    {"mov_to_cr8_alone", OF(to_cr8), EXIT_VMCALL},
    {"mov_from_cr8",
     OF(from_cr8),
     EXIT_CONTROL_REGISTER,
     {.primary = PRIMARY_CR8_STORE},
     CR_QUALIFICATION(8, FROM_CR, RCX)},
    {"mov_to_dr7",
     OF(to_dr7),
     EXIT_DEBUG_REGISTER,
     {.primary = PRIMARY_MOV_DR},
     DR_QUALIFICATION(7, 0, RBX)},
    {"mov_to_dr0",
     OF(to_dr0),
     EXIT_DEBUG_REGISTER,
     {.primary = PRIMARY_MOV_DR},
     DR_QUALIFICATION(0, 0, R9)},
    {"mov_from_dr6",
     OF(from_dr6),
     EXIT_DEBUG_REGISTER,
     {.primary = PRIMARY_MOV_DR},
     DR_QUALIFICATION(6, 1, RDX)},
    {"mov_to_dr0_alone", OF(to_dr0), EXIT_VMCALL},
};

/* --- Ports ---------------------------------------------------------------- */

PROGRAM(out_immediate, "xor %eax, %eax", "outb %al, $0x80");
PROGRAM(in_immediate, "", "inl $0x80, %eax");
PROGRAM(out_dx, "mov $0x5a5a, %edx\n\txor %eax, %eax", "outw %ax, %dx");
PROGRAM(in_dx, "mov $0x5a5a, %edx", "inb %dx, %al");
PROGRAM(out_last, "mov $0xffff, %edx\n\txor %eax, %eax", "outb %al, %dx");
PROGRAM(out_wraps, "mov $0xffff, %edx\n\txor %eax, %eax", "outw %ax, %dx");
PROGRAM(outs_byte, "mov $0x80, %edx\n\tmov $vmx_exits_buffer, %esi", "outsb");
PROGRAM(outs_rep,
	"mov $0x80, %edx\n\tmov $vmx_exits_buffer, %esi\n\t"
	"mov $3, %ecx",
	"rep outsb");
PROGRAM(outs_fs, "mov $0x80, %edx\n\tmov $vmx_exits_buffer, %esi\n\t",
	"outsl %fs:(%rsi), %dx");
PROGRAM(ins_word_32, "mov $0x5a5a, %edx\n\tmov $vmx_exits_buffer, %edi",
	"addr32 insw");

extern u8 vmx_exits_buffer[16];
u8 vmx_exits_buffer[16];

#define IO_IN        BIT(3)
#define IO_STRING    BIT(4)
#define IO_REP       BIT(5)
#define IO_IMMEDIATE BIT(6)
#define IO_PORT(n)   ((u64)(n) << 16)

static u8 *io_bitmaps; /* A and B */

static void use_io_bitmaps(u16 port)
{
	if (!io_bitmaps)
		io_bitmaps = (u8 *)pages_take(2);
	memset(io_bitmaps, 0, 2 * PAGE_BYTES);
	io_bitmaps[port / 8] |= (u8)(1u << port % 8);
	vmwrite(VMCS_IO_BITMAP_A, (u64)io_bitmaps);
	vmwrite(VMCS_IO_BITMAP_B, (u64)io_bitmaps + PAGE_BYTES);
}

static void watch_no_port(void)
{
	use_io_bitmaps(0x1234);
}

static void watch_port_80(void)
{
	use_io_bitmaps(0x80);
}

/* The last byte of what `inl $0x80` touches. */
static void watch_port_83(void)
{
	use_io_bitmaps(0x83);
}

static void watch_port_5a5b(void)
{
	use_io_bitmaps(0x5a5b);
}

static void watch_last_port(void)
{
	use_io_bitmaps(0xffff);
}

#define ALL_IO                            \
	{                                 \
		.primary = PRIMARY_ALL_IO \
	}
#define IO_BITMAPS                            \
	{                                     \
		.primary = PRIMARY_IO_BITMAPS \
	}

static const struct exit_case port_cases[] = {
    {"out_immediate", OF(out_immediate), EXIT_IO, ALL_IO,
     IO_IMMEDIATE | IO_PORT(0x80)},
    {"in_immediate", OF(in_immediate), EXIT_IO, ALL_IO,
     3 | IO_IN | IO_IMMEDIATE | IO_PORT(0x80)},
    {"out_dx", OF(out_dx), EXIT_IO, ALL_IO, 1 | IO_PORT(0x5a5a)},
    {"in_dx", OF(in_dx), EXIT_IO, ALL_IO, IO_IN | IO_PORT(0x5a5a)},
    {"out_alone", OF(out_immediate), EXIT_VMCALL},
    {"port_is_not_watched", OF(out_immediate), EXIT_VMCALL, IO_BITMAPS,
     .prepare = watch_no_port},
    {"port_is_watched", OF(out_immediate), EXIT_IO, IO_BITMAPS,
     IO_IMMEDIATE | IO_PORT(0x80), .prepare = watch_port_80},
    {"last_byte_of_access_is_watched", OF(in_immediate), EXIT_IO, IO_BITMAPS,
     3 | IO_IN | IO_IMMEDIATE | IO_PORT(0x80), .prepare = watch_port_83},
    {"port_of_bitmap_a", OF(out_dx), EXIT_IO, IO_BITMAPS, 1 | IO_PORT(0x5a5a),
     .prepare = watch_port_5a5b},
    {"last_port", OF(out_last), EXIT_IO, IO_BITMAPS, IO_PORT(0xffff),
     .prepare = watch_last_port},
    {"access_wraps_around_ports", OF(out_wraps), EXIT_IO, IO_BITMAPS,
     1 | IO_PORT(0xffff), .prepare = watch_no_port},
    {"bitmaps_beat_unconditional_exiting",
     OF(out_immediate),
     EXIT_VMCALL,
     {.primary = PRIMARY_IO_BITMAPS | PRIMARY_ALL_IO},
     .prepare = watch_no_port},
    {"outs", OF(outs_byte), EXIT_IO, ALL_IO, IO_STRING | IO_PORT(0x80),
     INFO_ADDRESS_64 | INFO_DS, 0x38380, vmx_exits_buffer},
    {"outs_rep", OF(outs_rep), EXIT_IO, ALL_IO,
     IO_STRING | IO_REP | IO_PORT(0x80), INFO_ADDRESS_64 | INFO_DS, 0x38380,
     vmx_exits_buffer},
    {"outs_of_fs", OF(outs_fs), EXIT_IO, ALL_IO, 3 | IO_STRING | IO_PORT(0x80),
     INFO_ADDRESS_64 | INFO_FS, 0x38380},
    {"ins_of_32_bit_address", OF(ins_word_32), EXIT_IO, ALL_IO,
     1 | IO_IN | IO_STRING | IO_PORT(0x5a5a), INFO_ADDRESS_32, 0x380,
     vmx_exits_buffer},
};

/* --- MSRs ----------------------------------------------------------------- */

static u8 *msr_bitmap;

enum { READ_LOW = 0, READ_HIGH = 1024, WRITE_LOW = 2048, WRITE_HIGH = 3072 };

static void use_msr_bitmap(u32 area, u32 bit)
{
	if (!msr_bitmap)
		msr_bitmap = (u8 *)pages_take(1);
	memset(msr_bitmap, 0, PAGE_BYTES);
	msr_bitmap[area + bit / 8] |= (u8)(1u << bit % 8);
	vmwrite(VMCS_MSR_BITMAP, (u64)msr_bitmap);
}

static void watch_read_174(void)
{
	use_msr_bitmap(READ_LOW, 0x174);
}

static void watch_write_174(void)
{
	use_msr_bitmap(WRITE_LOW, 0x174);
}

static void watch_read_lstar(void)
{
	use_msr_bitmap(READ_HIGH, 0x82);
}

static void watch_write_lstar(void)
{
	use_msr_bitmap(WRITE_HIGH, 0x82);
}

#define MSR_BITMAPS                            \
	{                                      \
		.primary = PRIMARY_MSR_BITMAPS \
	}

static const struct exit_case msr_cases[] = {
    {"rdmsr_without_bitmap", OF(do_rdmsr), EXIT_RDMSR},
    {"wrmsr_without_bitmap", OF(do_wrmsr), EXIT_WRMSR},
    {"rdmsr_watched", OF(do_rdmsr), EXIT_RDMSR, MSR_BITMAPS,
     .prepare = watch_read_174},
    {"rdmsr_where_writes_are_watched", OF(do_rdmsr), EXIT_VMCALL, MSR_BITMAPS,
     .prepare = watch_write_174},
    {"wrmsr_watched", OF(do_wrmsr), EXIT_WRMSR, MSR_BITMAPS,
     .prepare = watch_write_174},
    {"wrmsr_where_reads_are_watched", OF(do_wrmsr), EXIT_VMCALL, MSR_BITMAPS,
     .prepare = watch_read_174},
    {"rdmsr_high_watched", OF(do_rdmsr_high), EXIT_RDMSR, MSR_BITMAPS,
     .prepare = watch_read_lstar},
    {"rdmsr_high_not_watched", OF(do_rdmsr_high), EXIT_VMCALL, MSR_BITMAPS,
     .prepare = watch_write_lstar},
    {"wrmsr_high_watched", OF(do_wrmsr_high), EXIT_WRMSR, MSR_BITMAPS,
     .prepare = watch_write_lstar},
    {"rdmsr_outside_the_bitmaps", OF(do_rdmsr_outside), EXIT_RDMSR, MSR_BITMAPS,
     .prepare = watch_write_lstar},
};

/* --- Instructions with a memory operand ----------------------------------- */

PROGRAM(do_invlpg, "mov $0x123456789, %rdx", "invlpg 0x10(%rdx)");
PROGRAM(do_invlpg_fs, "mov $0x5000, %edx", "invlpg %fs:(%rdx)");
PROGRAM(do_sgdt, "mov $vmx_exits_buffer, %edx", "sgdt (%rdx)");
PROGRAM(do_sidt, "mov $vmx_exits_buffer, %esi", "sidt 0x40(%rsi)");
PROGRAM(do_lgdt, "mov $vmx_exits_buffer, %ebx", "lgdt (%rbx)");
PROGRAM(do_sldt_register, "", "sldt %ecx");
PROGRAM(do_str_memory, "mov $vmx_exits_buffer, %edx", "str (%rdx)");
PROGRAM(do_lldt, "xor %r9d, %r9d", "lldt %r9w");
PROGRAM(do_ltr, "mov $0x20, %ebx", "ltr %bx");
PROGRAM(do_invept, "mov $vmx_exits_buffer, %edx\n\tmov $2, %ecx",
	"invept -8(%rdx), %rcx");
PROGRAM(do_invvpid,
	"mov $vmx_exits_buffer, %esi\n\tmov $3, %r9d\n\t"
	"xor %ebx, %ebx",
	"invvpid 0x20(%rsi, %rbx, 4), %r9");
PROGRAM(do_invpcid, "mov $vmx_exits_buffer, %edx\n\tmov $2, %ecx",
	"invpcid (%rdx), %rcx");
PROGRAM(do_vmclear, "mov $vmx_exits_buffer, %edx", "vmclear (%rdx)");
PROGRAM(do_vmptrld, "mov $vmx_exits_buffer, %edx", "vmptrld 0x12345678(%rdx)");
PROGRAM(do_vmptrst, "mov %rsp, %rbx\n\tsub $64, %rbx\n\txor %ecx, %ecx",
	"vmptrst 8(%rbx, %rcx, 8)");
PROGRAM(do_vmxon, "mov $vmx_exits_buffer, %edx", "vmxon (%rdx)");
PROGRAM(do_vmread_register, "mov $0x681e, %edx", "vmread %rdx, %r12");
PROGRAM(do_vmread_memory, "mov $0x681e, %edx\n\tmov $vmx_exits_buffer, %esi",
	"vmread %rdx, 8(%rsi)");
PROGRAM(do_vmwrite_register, "mov $0x681e, %edx", "vmwrite %rcx, %rdx");
PROGRAM(do_vmlaunch, "", "vmlaunch");
PROGRAM(do_vmresume, "", "vmresume");
PROGRAM(do_vmxoff, "", "vmxoff");
PROGRAM(do_rdrand, "", "rdrand %r9d");
PROGRAM(do_rdseed, "", "rdseed %rcx");
PROGRAM(do_absolute_vmclear, "", "vmclear vmx_exits_buffer");

#define BASE_ONLY(base, segment) \
	(INFO_ADDRESS_64 | (segment) | INFO_NO_INDEX | INFO_BASE(base))
#define TABLES                                           \
	{                                                \
		.secondary = SECONDARY_DESCRIPTOR_TABLES \
	}

static const struct exit_case memory_cases[] = {
    {"invlpg",
     OF(do_invlpg),
     EXIT_INVLPG,
     {.primary = PRIMARY_INVLPG},
     0x123456799},
    {"invlpg_alone", OF(do_invlpg), EXIT_VMCALL},
    {"invlpg_adds_the_base_of_fs",
     OF(do_invlpg_fs),
     EXIT_INVLPG,
     {.primary = PRIMARY_INVLPG},
     0x5000},
    {"sgdt", OF(do_sgdt), EXIT_GDTR_IDTR, TABLES, 0,
     BASE_ONLY(RDX, INFO_DS) | INFO_TABLE(0), MASK_BASE | MASK_TABLE},
    {"sidt", OF(do_sidt), EXIT_GDTR_IDTR, TABLES, 0x40,
     BASE_ONLY(RSI, INFO_DS) | INFO_TABLE(1), MASK_BASE | MASK_TABLE},
    {"lgdt", OF(do_lgdt), EXIT_GDTR_IDTR, TABLES, 0,
     BASE_ONLY(RBX, INFO_DS) | INFO_TABLE(2), MASK_BASE | MASK_TABLE},
    {"sldt", OF(do_sldt_register), EXIT_LDTR_TR, TABLES, 0,
     INFO_REGISTER1(RCX) | INFO_IS_REGISTER | INFO_TABLE(0),
     0x478 | MASK_TABLE},
    {"str", OF(do_str_memory), EXIT_LDTR_TR, TABLES, 0,
     BASE_ONLY(RDX, INFO_DS) | INFO_TABLE(1), MASK_BASE | MASK_TABLE},
    {"lldt", OF(do_lldt), EXIT_LDTR_TR, TABLES, 0,
     INFO_REGISTER1(R9) | INFO_IS_REGISTER | INFO_TABLE(2), 0x478 | MASK_TABLE},
    {"ltr", OF(do_ltr), EXIT_LDTR_TR, TABLES, 0,
     INFO_REGISTER1(RBX) | INFO_IS_REGISTER | INFO_TABLE(3),
     0x478 | MASK_TABLE},
    {"sgdt_alone", OF(do_sgdt), EXIT_VMCALL},
    {"invept",
     OF(do_invept),
     EXIT_INVEPT,
     {0},
     (u64)-8,
     BASE_ONLY(RDX, INFO_DS) | INFO_REGISTER2(RCX),
     MASK_BASE | MASK_REGISTER2},
    {"invvpid",
     OF(do_invvpid),
     EXIT_INVVPID,
     {0},
     0x20,
     INFO_ADDRESS_64 | INFO_DS | INFO_BASE(RSI) | INFO_INDEX(RBX) |
	 INFO_SCALE(2) | INFO_REGISTER2(R9),
     MASK_INDEX | MASK_REGISTER2,
     .defect = "sib-segment"},
    {"invpcid",
     OF(do_invpcid),
     EXIT_INVPCID,
     {.primary = PRIMARY_INVLPG, .secondary = SECONDARY_INVPCID},
     0,
     BASE_ONLY(RDX, INFO_DS) | INFO_REGISTER2(RCX),
     MASK_BASE | MASK_REGISTER2},
    {"vmclear",
     OF(do_vmclear),
     EXIT_VMCLEAR,
     {0},
     0,
     BASE_ONLY(RDX, INFO_DS),
     MASK_BASE},
    {"vmclear_of_absolute_address",
     OF(do_absolute_vmclear),
     EXIT_VMCLEAR,
     {0},
     (u64)vmx_exits_buffer,
     INFO_ADDRESS_64 | INFO_DS | INFO_NO_INDEX | INFO_NO_BASE,
     MASK_BASE & ~INFO_BASE(15)},
    {"vmptrld",
     OF(do_vmptrld),
     EXIT_VMPTRLD,
     {0},
     0x12345678,
     BASE_ONLY(RDX, INFO_DS),
     MASK_BASE},
    {"vmptrst",
     OF(do_vmptrst),
     EXIT_VMPTRST,
     {0},
     8,
     INFO_ADDRESS_64 | INFO_DS | INFO_BASE(RBX) | INFO_INDEX(RCX) |
	 INFO_SCALE(3),
     MASK_INDEX,
     .defect = "sib-segment"},
    {"vmxon",
     OF(do_vmxon),
     EXIT_VMXON,
     {0},
     0,
     BASE_ONLY(RDX, INFO_DS),
     MASK_BASE},
    {"vmread_to_register",
     OF(do_vmread_register),
     EXIT_VMREAD,
     {0},
     0,
     INFO_REGISTER1(R12) | INFO_IS_REGISTER | INFO_REGISTER2(RDX),
     0x478 | MASK_REGISTER2},
    {"vmread_to_memory",
     OF(do_vmread_memory),
     EXIT_VMREAD,
     {0},
     8,
     BASE_ONLY(RSI, INFO_DS) | INFO_REGISTER2(RDX),
     MASK_BASE | MASK_REGISTER2},
    {"vmwrite",
     OF(do_vmwrite_register),
     EXIT_VMWRITE,
     {0},
     0,
     INFO_REGISTER1(RCX) | INFO_IS_REGISTER | INFO_REGISTER2(RDX),
     0x478 | MASK_REGISTER2},
    {"vmlaunch", OF(do_vmlaunch), EXIT_VMLAUNCH},
    {"vmresume", OF(do_vmresume), EXIT_VMRESUME},
    {"vmxoff", OF(do_vmxoff), EXIT_VMXOFF},
    {"rdrand",
     OF(do_rdrand),
     EXIT_RDRAND,
     {.secondary = SECONDARY_RDRAND},
     0,
     INFO_REGISTER1(R9) | 1u << 11,
     0x1878},
    {"rdseed",
     OF(do_rdseed),
     EXIT_RDSEED,
     {.secondary = SECONDARY_RDSEED},
     0,
     INFO_REGISTER1(RCX) | 2u << 11,
     0x1878},
};

/* --- One case ------------------------------------------------------------- */

static bool controls_exist(const struct l2_controls *c)
{
	return vmx_allows(CONTROLS_PRIMARY, c->primary) &&
	       vmx_allows(CONTROLS_SECONDARY, c->secondary);
}

/* Which reasons have a qualification and information to look at. */
static void expect_exit(const struct exit_case *c)
{
	struct l2_exit exit;

	l2_read_exit(&exit);
	suite_expect(vmread(VMCS_GUEST_RIP), (u64)c->at, "RIP");
	suite_expect(exit.instruction_length, (u64)(c->end - c->at),
		     "the length");
	suite_expect(exit.qualification, c->qualification, "the qualification");
	suite_expect(exit.instruction_info & c->info_mask, c->info,
		     "the instruction information");
	if (c->linear)
		suite_expect(exit.linear_address, (u64)c->linear,
			     "the linear address");
	suite_expect(exit.vectoring_info & EVENT_VALID, 0,
		     "the IDT-vectoring information");
	suite_expect(exit.interruption_info & EVENT_VALID, 0,
		     "the interruption information");
}

static void run_case(const struct exit_case *c)
{
	suite_case(c->name);
	if (!controls_exist(&c->controls))
		return;
	suite_make_l2(&c->controls, (void (*)(void))(u64)c->start);
	if (c->prepare)
		c->prepare();
	if (c->defect)
		suite_defect_below(c->defect);
	if (!suite_run(c->reason))
		return;
	if (c->reason == EXIT_VMCALL && c->at != do_vmcall_at) {
		suite_true(l2_has_ended(&suite_l2), "no exit");
		return;
	}
	expect_exit(c);
	l2_skip(&suite_l2);
	suite_finish();
}

static void run_cases(const struct exit_case *cases, u64 count)
{
	for (u64 i = 0; i < count; i++)
		run_case(&cases[i]);
}

/* --- What comes before an exit -------------------------------------------- */

static u32 user_faults[8];
static u64 user_count;

#define USER_TRY(instruction)                                         \
	{                                                             \
		register u32 fault __asm__("r8");                     \
                                                                      \
		__asm__ volatile(TRY(instruction)                     \
				 : "=&r"(fault)::"rax", "rcx", "rdx", \
				   "memory");                         \
		user_faults[user_count++] = fault;                    \
	}

static void try_privileged(void)
{
	user_count = 0;
	USER_TRY("hlt");
	USER_TRY("outb %%al, $0x80");
	USER_TRY("mov %%cr0, %%rax");
	USER_TRY("mov %%rax, %%cr3");
	USER_TRY("mov %%rax, %%cr8");
	USER_TRY("rdmsr");
	USER_TRY("wbinvd");
	USER_TRY("invlpg (%%rsp)");
}

static void try_privileged_as_user(void)
{
	user_run(try_privileged);
}

/* SDM vol. 3, "Relative Priority of Faults and VM Exits". */
static void privilege_comes_first(void)
{
	suite_case("privilege_comes_before_the_exit");
	user_run(try_privileged);
	suite_make_l2(
	    &(struct l2_controls){.primary = PRIMARY_HLT | PRIMARY_ALL_IO |
					     PRIMARY_CR3_LOAD | PRIMARY_MOV_DR |
					     PRIMARY_INVLPG,
				  .secondary = SECONDARY_WBINVD},
	    try_privileged_as_user);
	suite_finish();
	suite_expect(user_count, ARRAY_COUNT(user_faults), "the faults");
	for (u32 i = 0; i < ARRAY_COUNT(user_faults); i++)
		suite_expect(user_faults[i], VECTOR_GP, "the vector");
}

/* But for the debug registers: an exception to the rule, in the manual's words.
 */
static void move_to_debug_register(void)
{
	__asm__ volatile(TRY("mov %%rax, %%dr0")::: "r8", "memory");
}

static void move_to_debug_register_as_user(void)
{
	user_run(move_to_debug_register);
}

static void debug_registers_exit_first(void)
{
	suite_case("mov_to_dr_exits_at_any_level");
	suite_make_l2(&(struct l2_controls){.primary = PRIMARY_MOV_DR},
		      move_to_debug_register_as_user);
	if (!suite_run(EXIT_DEBUG_REGISTER))
		return;
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION), 0, "the qualification");
	suite_expect(vmread(VMCS_GUEST_CS_SELECTOR), SELECTOR_USER_CODE64,
		     "CS");
	l2_skip(&suite_l2);
	suite_finish();
}

/* --- What masks and shadows show ------------------------------------------ */

static volatile u64 seen_cr0, seen_cr4, seen_smsw;

static void look_at_registers(void)
{
	u64 machine_status;

	__asm__ volatile("smsw %0" : "=r"(machine_status));
	seen_cr0 = read_cr0();
	seen_cr4 = read_cr4();
	seen_smsw = machine_status & 0xffff;
}

static void shadows_are_seen(void)
{
	u64 cr0, cr4;

	suite_case("shadows_are_seen");
	suite_make_l2(&(struct l2_controls){0}, look_at_registers);
	cr0 = vmread(VMCS_GUEST_CR0);
	cr4 = vmread(VMCS_GUEST_CR4);
	vmwrite(VMCS_CR0_MASK, CR0_TS | CR0_EM | CR0_WP);
	vmwrite(VMCS_CR0_SHADOW, CR0_TS);
	vmwrite(VMCS_CR4_MASK, CR4_VMXE | CR4_TSD);
	vmwrite(VMCS_CR4_SHADOW, CR4_TSD);
	suite_finish();
	suite_expect(seen_cr0, (cr0 & ~(CR0_EM | CR0_WP)) | CR0_TS, "CR0");
	suite_expect(seen_smsw, ((cr0 & ~CR0_EM) | CR0_TS) & 0xffff, "SMSW");
	suite_expect(seen_cr4, (cr4 & ~CR4_VMXE) | CR4_TSD, "CR4");
}

/* A write keeps the bits of the mask, and needs no exit. */
static void write_cr0_unmasked(void)
{
	write_cr0((read_cr0() ^ CR0_AM) | CR0_TS);
}

static void unmasked_bits_are_written(void)
{
	u64 cr0;

	suite_case("unmasked_bits_are_written");
	suite_make_l2(&(struct l2_controls){0}, write_cr0_unmasked);
	cr0 = vmread(VMCS_GUEST_CR0) & ~CR0_TS;
	vmwrite(VMCS_GUEST_CR0, cr0);
	vmwrite(VMCS_CR0_MASK, CR0_TS);
	vmwrite(VMCS_CR0_SHADOW, CR0_TS);
	suite_finish();
	suite_expect(vmread(VMCS_GUEST_CR0), cr0 ^ CR0_AM, "CR0");
}

/*
 * SDM vol. 3, "Changes to Instruction Behavior in VMX Non-Root Operation": bits
 * of the mask keep their value, so whatever is written there is no fault, and
 * whatever they hold with what is written may be one.
 */
static u32 write_faults[2];

static void write_other_bits(void)
{
	write_faults[0] = TRY_WITH("mov %1, %%cr0", read_cr0() | CR0_CD);
	write_faults[1] = TRY_WITH("mov %1, %%cr4", read_cr4() ^ CR4_MCE);
}

static void masked_bits_are_not_checked(void)
{
	u64 cr0, cr4;

	suite_case("masked_bits_are_not_checked");
	suite_make_l2(&(struct l2_controls){0}, write_other_bits);
	cr0 = vmread(VMCS_GUEST_CR0);
	cr4 = vmread(VMCS_GUEST_CR4);
	vmwrite(VMCS_CR0_MASK, CR0_NE);
	vmwrite(VMCS_CR0_SHADOW, 0);
	vmwrite(VMCS_CR4_MASK, CR4_VMXE | CR4_PAE);
	vmwrite(VMCS_CR4_SHADOW, 0);
	suite_finish();
	write_cr0(read_cr0() & ~CR0_CD);
	suite_expect(write_faults[0], NO_FAULT, "MOV to CR0 with NE 0");
	suite_expect(write_faults[1], NO_FAULT, "MOV to CR4 with VMXE 0");
	suite_expect(vmread(VMCS_GUEST_CR0), cr0 | CR0_CD, "CR0");
	suite_expect(vmread(VMCS_GUEST_CR4), cr4 ^ CR4_MCE, "CR4");
}

static void write_not_write_through(void)
{
	write_faults[0] =
	    TRY_WITH("mov %1, %%cr0", read_cr0() | CR0_CD | CR0_NW);
}

static void result_of_the_write_is_checked(void)
{
	suite_case("result_of_the_write_is_checked");
	suite_make_l2(&(struct l2_controls){0}, write_not_write_through);
	vmwrite(VMCS_CR0_MASK, CR0_CD);
	vmwrite(VMCS_CR0_SHADOW, CR0_CD);
	suite_finish();
	suite_expect(write_faults[0], VECTOR_GP, "NW without CD");
	suite_expect(vmread(VMCS_GUEST_CR0) & (CR0_CD | CR0_NW), 0, "CR0");
}

static void xsetbv_exits(void)
{
	static const struct exit_case c = {"xsetbv", OF(do_xsetbv),
					   EXIT_XSETBV};

	if (!(rdmsr(MSR_VMX_CR4_FIXED1) & CR4_OSXSAVE))
		return;
	write_cr4(read_cr4() | CR4_OSXSAVE);
	run_case(&c);
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
}

void suite_exits(void)
{
	run_cases(bare_cases, ARRAY_COUNT(bare_cases));
	run_cases(register_cases, ARRAY_COUNT(register_cases));
	run_cases(port_cases, ARRAY_COUNT(port_cases));
	run_cases(msr_cases, ARRAY_COUNT(msr_cases));
	run_cases(memory_cases, ARRAY_COUNT(memory_cases));
	xsetbv_exits();
	privilege_comes_first();
	debug_registers_exit_first();
	shadows_are_seen();
	unmasked_bits_are_written();
	masked_bits_are_not_checked();
	result_of_the_write_is_checked();
}
