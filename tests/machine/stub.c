/* SPDX-License-Identifier: MIT */
/*
 * A multiboot kernel that stands in for Umbra where the harness itself is
 * tested: it shows what a loader gave it, speaks the front end's protocol on
 * COM1 and leaves the machine. 32-bit code, one CPU, no interrupts.
 *
 * Command line:  status=N          verdict (0)
 *                exit=bochs|qemu   how to leave
 *                stub=echo         echo the guest console until 'q'
 *                stub=hang         never end
 *                stub=fault        triple fault
 *                stub=silent       leave without a verdict
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef __UINTPTR_TYPE__ uptr;

#define COM1        0x3f8
#define RS          0x1e
#define CHECK_PRIME 65521 /* RFC 1950, "Adler-32" */

/* Multiboot Specification 0.6.96, "Boot information format". */
struct multiboot_info {
	u32 flags;
	u32 mem_lower, mem_upper;
	u32 boot_device;
	const char *cmdline;
	u32 mods_count;
	const struct module *mods;
	u32 symbols[4];
	u32 mmap_length;
	const u8 *mmap;
};

struct module {
	u8 *start;
	u8 *end;
	const char *string;
	u32 reserved;
};

__attribute__((section(".multiboot"), used)) static const u32 header[] = {
    0x1badb002, 3, 0u - 0x1badb002 - 3};

static u8 stack[4096] __attribute__((used, aligned(16)));

/* Large and not zero at the start unless a loader has cleared it. */
static volatile u32 bss_canary[1 << 18];

void stub_main(u32 magic, const struct multiboot_info *info);

__asm__(".section .text\n"
	".globl _start\n"
	"_start:\n"
	"	cld\n"
	"	movl $stack + 4096, %esp\n"
	"	pushl %ebx\n"
	"	pushl %eax\n"
	"	call stub_main\n"
	"0:	hlt\n"
	"	jmp 0b\n");

static void out8(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void out16(u16 port, u16 value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static u8 in8(u16 port)
{
	u8 value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void put(u8 c)
{
	while (!(in8(COM1 + 5) & 0x20))
		;
	out8(COM1, c);
}

static void put_text(const char *text)
{
	while (*text)
		put((u8)*text++);
}

static void put_number(u32 value, u32 base)
{
	char digits[11];
	int i = 11;

	digits[--i] = 0;
	do {
		digits[--i] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	put_text(&digits[i]);
}

static void select_channel(char channel)
{
	put(RS);
	put((u8)channel);
}

/* What stands behind `key` in the command line, or 0. */
static const char *option(const char *line, const char *key)
{
	for (; *line; line++) {
		const char *a = line, *b = key;

		while (*b && *a == *b)
			a++, b++;
		if (!*b)
			return a;
	}
	return 0;
}

static u32 adler32(const u8 *data, const u8 *end)
{
	u32 a = 1, b = 0;

	while (data < end) {
		/* The most bytes for which b cannot overflow. */
		u32 n = end - data < 5552 ? (u32)(end - data) : 5552;

		while (n--) {
			a += *data++;
			b += a;
		}
		a %= CHECK_PRIME;
		b %= CHECK_PRIME;
	}
	return b << 16 | a;
}

static void show_modules(const struct multiboot_info *info)
{
	for (u32 i = 0; i < info->mods_count; i++) {
		const struct module *module = &info->mods[i];

		put_text("module ");
		put_number(i, 10);
		put_text((uptr)module->start % 4096 ? " unaligned" : "");
		put_text(" bytes=");
		put_number((u32)(module->end - module->start), 10);
		put_text(" adler32=");
		put_number(adler32(module->start, module->end), 16);
		put_text(" string=");
		put_text(module->string);
		put('\n');
	}
}

static void show_memory(const struct multiboot_info *info)
{
	u32 entries = 0;

	for (u32 at = 0; at < info->mmap_length; entries++)
		at += *(const u32 *)(info->mmap + at) + 4;
	put_text("memory lower=");
	put_number(info->mem_lower, 10);
	put_text(" upper=");
	put_number(info->mem_upper, 10);
	put_text(" map entries=");
	put_number(entries, 10);
	put('\n');
}

static void show_bss(void)
{
	u32 dirty = 0;

	for (u32 i = 0; i < sizeof(bss_canary) / sizeof(bss_canary[0]); i++)
		dirty |= bss_canary[i];
	put_text(dirty ? "bss is dirty\n" : "bss is clear\n");
}

static u8 get(void)
{
	while (!(in8(COM1 + 5) & 1))
		;
	return in8(COM1);
}

/* The next byte that was meant for the guest. */
static u8 get_guest_byte(void)
{
	static char channel = '@';

	for (;;) {
		u8 c = get();

		if (c == RS) {
			c = get();
			if (c != RS) {
				channel = (char)c;
				continue;
			}
		}
		if (channel == 'A')
			return c;
	}
}

static void echo(void)
{
	u8 c;

	select_channel('A');
	do {
		c = get_guest_byte();
		if (c == RS)
			put(RS);
		put(c);
	} while (c != 'q');
	select_channel('@');
}

static void triple_fault(void)
{
	static const u8 no_idt[6];

	__asm__ volatile("lidt %0; int3" : : "m"(no_idt));
}

static void leave(const char *line)
{
	while (!(in8(COM1 + 5) & 0x40))
		;
	if (option(line, "exit=qemu"))
		out8(0xf4, 0);
	if (option(line, "exit=bochs")) {
		out16(0x8a00, 0x8a00);
		out16(0x8a00, 0x8ae0);
	}
}

static void show_all(u32 magic, const struct multiboot_info *info)
{
	select_channel('@');
	put_text("stub magic=0x");
	put_number(magic, 16);
	put_text(" flags=0x");
	put_number(info->flags, 16);
	put_text(" command line=");
	put_text(info->cmdline);
	put('\n');
	show_bss();
	show_memory(info);
	show_modules(info);
	put(RS);
	put_text("!guest 0 name=stub\n");
	select_channel('A');
	put_text("hello from the stub\n");
	select_channel('@');
}

void stub_main(u32 magic, const struct multiboot_info *info)
{
	const char *line = info->cmdline;
	const char *status = option(line, "status=");

	(void)header;
	out8(COM1 + 3, 3);    /* eight bits to a byte */
	out8(COM1 + 2, 0xc7); /* FIFOs on and empty */
	show_all(magic, info);
	if (option(line, "stub=echo"))
		echo();
	if (option(line, "stub=fault"))
		triple_fault();
	while (option(line, "stub=hang"))
		;
	if (!option(line, "stub=silent")) {
		put(RS);
		put_text("!end ");
		put(status ? (u8)*status : '0');
		for (; status && status[1] >= '0' && status[1] <= '9'; status++)
			put((u8)status[1]);
		put('\n');
	}
	leave(line);
}
