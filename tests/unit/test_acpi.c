/* SPDX-License-Identifier: MIT */
/* ACPI tables built by hand, sound and damaged, in the order RSDP to AML. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "acpi/acpi.h"
#include "tests/unit/host_seams.h"

#define ROOT_AT 0x100000
#define MADT_AT 0x110000
#define FADT_AT 0x120000
#define MCFG_AT 0x130000
#define SSDT_AT 0x140000
#define DSDT_AT 0x150000
#define DMAR_AT 0x160000
#define MEMORY  (2 * MIB)
#define HEADER  36

static struct acpi_info info;
static u8 rsdp[36];
static u32 root_length; /* of the XSDT so far */

/* Memory with a hole, as the map of a machine may have. */
#define HOLE_AT  0x180000
#define HOLE_END 0x190000

static bool is_readable(void *context, hpa_t at, u64 bytes)
{
	u64 from = hpa_raw(at);

	(void)context;
	if (bytes > MEMORY || from > MEMORY - bytes)
		return false;
	return from + bytes <= HOLE_AT || from >= HOLE_END;
}

static const struct acpi_memory memory = {is_readable, NULL};

static void poke(u64 at, const void *bytes, size_t count)
{
	memcpy(&phys_memory[at], bytes, count);
}

static void poke_u8(u64 at, u8 value)
{
	poke(at, &value, 1);
}

static void poke_u16(u64 at, u16 value)
{
	poke(at, &value, 2);
}

static void poke_u32(u64 at, u32 value)
{
	poke(at, &value, 4);
}

static void poke_u64(u64 at, u64 value)
{
	poke(at, &value, 8);
}

static void fix_sum(u8 *bytes, u32 length, u32 sum_at)
{
	u8 sum = 0;

	bytes[sum_at] = 0;
	for (u32 i = 0; i < length; i++)
		sum = (u8)(sum + bytes[i]);
	bytes[sum_at] = (u8)-sum;
}

/* Writes a header over what the test has put behind it. */
static void seal(u64 at, const char *signature, u32 length)
{
	poke(at, signature, 4);
	poke_u32(at + 4, length);
	fix_sum(&phys_memory[at], length, 9);
}

static void list(u64 table)
{
	poke_u64(ROOT_AT + root_length, table);
	root_length += 8;
	seal(ROOT_AT, "XSDT", root_length);
}

static void make_rsdp(u8 revision, u32 rsdt, u64 xsdt)
{
	static const char signature[8] = "RSD PTR ";
	static const char maker[6] = "MAKER ";

	memset(rsdp, 0, sizeof(rsdp));
	memcpy(rsdp, signature, sizeof(signature));
	memcpy(rsdp + 9, maker, sizeof(maker));
	rsdp[15] = revision;
	memcpy(rsdp + 16, &rsdt, 4);
	rsdp[20] = sizeof(rsdp);
	memcpy(rsdp + 24, &xsdt, 8);
	fix_sum(rsdp, 20, 8);
	fix_sum(rsdp, 36, 32);
}

static int reset(void **state)
{
	(void)state;
	memset(phys_memory, 0, MEMORY);
	memset(&info, 0xff, sizeof(info));
	root_length = HEADER;
	make_rsdp(2, 0, ROOT_AT);
	seal(ROOT_AT, "XSDT", HEADER);
	host_log_count = 0;
	host_last_log[0] = 0;
	return 0;
}

static enum err read_given(void)
{
	return acpi_read(&info, rsdp, sizeof(rsdp), &memory);
}

static void assert_said(const char *words)
{
	if (!strstr(host_last_log, words))
		fail_msg("\"%s\" does not say \"%s\"", host_last_log, words);
}

/* --- MADT --------------------------------------------------------------- */

static u32 madt_length;

static void madt_entry(const u8 *entry, u32 bytes)
{
	poke(MADT_AT + madt_length, entry, bytes);
	madt_length += bytes;
	seal(MADT_AT, "APIC", madt_length);
}

#define ENTRY(...)                                \
	do {                                      \
		const u8 bytes[] = {__VA_ARGS__}; \
		madt_entry(bytes, sizeof(bytes)); \
	} while (0)

static void begin_madt(void)
{
	madt_length = 44;
	poke_u32(MADT_AT + 36, 0xfee00000);
	poke_u32(MADT_AT + 40, 1);
	seal(MADT_AT, "APIC", madt_length);
	list(MADT_AT);
}

static void madt_lists_cpus_and_controllers(void **state)
{
	(void)state;
	begin_madt();
	ENTRY(0, 8, 7, 0, 1, 0, 0, 0);     /* enabled */
	ENTRY(0, 8, 8, 2, 2, 0, 0, 0);     /* online capable */
	ENTRY(0, 8, 9, 4, 0, 0, 0, 0);     /* an empty socket */
	ENTRY(0, 8, 10, 0xff, 1, 0, 0, 0); /* nobody */
	ENTRY(9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 44, 0, 0, 0);
	ENTRY(9, 16, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0); /* again */
	ENTRY(1, 12, 5, 0, 0, 0, 0xc0, 0xfe, 24, 0, 0, 0);
	ENTRY(2, 10, 0, 0, 2, 0, 0, 0, 0, 0);
	ENTRY(2, 10, 0, 9, 20, 0, 0, 0, 0xd, 0);
	ENTRY(2, 10, 0, 3, 3, 0, 0, 0, 0x7, 0);
	ENTRY(0x7f, 3, 0); /* a type of the future */
	assert_int_equal(read_given(), OK);
	assert_int_equal(host_log_count, 0);
	assert_true(info.has_madt);
	assert_true(info.has_pic);
	assert_int_equal(hpa_raw(info.local_apic), 0xfee00000);
	assert_int_equal(info.cpu_count, 3);
	assert_int_equal(info.cpus[0].apic_id, 0);
	assert_int_equal(info.cpus[0].uid, 7);
	assert_int_equal(info.cpus[0].state, ACPI_CPU_ENABLED);
	assert_int_equal(info.cpus[1].apic_id, 2);
	assert_int_equal(info.cpus[1].state, ACPI_CPU_ONLINE_CAPABLE);
	assert_int_equal(info.cpus[2].apic_id, 256);
	assert_int_equal(info.cpus[2].uid, 44);
	assert_int_equal(info.ioapic_count, 1);
	assert_int_equal(info.ioapics[0].id, 5);
	assert_int_equal(hpa_raw(info.ioapics[0].base), 0xfec00000);
	assert_int_equal(info.ioapics[0].gsi_base, 24);
	assert_int_equal(info.override_count, 3);
	assert_int_equal(info.overrides[0].gsi, 2);
	assert_int_equal(info.overrides[0].polarity, ACPI_POLARITY_BUS);
	assert_int_equal(info.overrides[0].trigger, ACPI_TRIGGER_BUS);
	assert_int_equal(info.overrides[1].isa_irq, 9);
	assert_int_equal(info.overrides[1].gsi, 20);
	assert_int_equal(info.overrides[1].polarity, ACPI_ACTIVE_HIGH);
	assert_int_equal(info.overrides[1].trigger, ACPI_LEVEL);
	assert_int_equal(info.overrides[2].polarity, ACPI_ACTIVE_LOW);
	assert_int_equal(info.overrides[2].trigger, ACPI_EDGE);
}

static void local_apic_override_counts_and_must_make_sense(void **state)
{
	(void)state;
	begin_madt();
	ENTRY(5, 12, 0, 0, 0, 0, 0xe0, 0xfe, 1, 0, 0, 0);
	assert_int_equal(read_given(), OK);
	assert_int_equal(hpa_raw(info.local_apic), 0x1fee00000);
	ENTRY(5, 12, 0, 0, 1, 0, 0xe0, 0xfe, 0, 0, 0, 0);
	assert_int_equal(read_given(), OK);
	assert_int_equal(hpa_raw(info.local_apic), 0x1fee00000);
	assert_said("cannot be at 0xfee00001");
}

static void damaged_madt_entry_ends_the_list(void **state)
{
	static const u8 bad[][3] = {{0, 0, 0}, {0, 1, 0},  {0, 7, 0},
				    {0, 9, 0}, {77, 1, 0}, {77, 4, 0}};

	for (u32 i = 0; i < ARRAY_COUNT(bad); i++) {
		reset(state);
		begin_madt();
		ENTRY(0, 8, 7, 3, 1, 0, 0, 0);
		madt_entry(bad[i], sizeof(bad[i]));
		assert_int_equal(read_given(), OK);
		assert_int_equal(info.cpu_count, 1);
		assert_said("from byte 52 on");
	}
	/* One byte, not even a length. */
	reset(state);
	begin_madt();
	ENTRY(0);
	assert_int_equal(read_given(), OK);
	assert_said("from byte 44 on");
}

static void too_many_of_each_are_counted_in_words(void **state)
{
	(void)state;
	begin_madt();
	for (u32 i = 0; i < ACPI_CPUS_MAX + 3; i++)
		ENTRY(9, 16, 0, 0, (u8)i, (u8)(i >> 8), 0, 0, 1, 0, 0, 0, 0, 0,
		      0, 0);
	assert_int_equal(read_given(), OK);
	assert_int_equal(info.cpu_count, ACPI_CPUS_MAX);
	assert_int_equal(host_log_count, 1);
	assert_said("3 CPUs are left out");
	for (u32 i = 0; i < ACPI_IOAPICS_MAX + 2; i++)
		ENTRY(1, 12, 5, 0, 0, 0, 0xc0, 0xfe, (u8)i, 0, 0, 0);
	assert_int_equal(read_given(), OK);
	assert_said("2 I/O APICs are left out");
	for (u32 i = 0; i < ACPI_OVERRIDES_MAX + 1; i++)
		ENTRY(2, 10, 0, 0, 2, 0, 0, 0, 0, 0);
	assert_int_equal(read_given(), OK);
	assert_said("1 interrupt source overrides are left out");
}

/* --- FADT --------------------------------------------------------------- */

static void begin_fadt(u8 revision, u32 length)
{
	poke_u8(FADT_AT + 8, revision);
	poke_u32(FADT_AT + 40, DSDT_AT);
	poke_u16(FADT_AT + 46, 9);
	poke_u32(FADT_AT + 48, 0xb2);
	poke_u8(FADT_AT + 52, 0xf1);
	poke_u32(FADT_AT + 64, 0x604);
	poke_u32(FADT_AT + 76, 0x608);
	seal(FADT_AT, "FACP", length);
	seal(DSDT_AT, "DSDT", HEADER);
	list(FADT_AT);
}

static void poke_gas(u64 at, u8 space, u8 width, u8 access, u64 address)
{
	poke_u8(at, space);
	poke_u8(at + 1, width);
	poke_u8(at + 3, access);
	poke_u64(at + 4, address);
}

static void assert_register(struct acpi_register it, enum acpi_space space,
			    u64 address, u8 access_bytes)
{
	assert_int_equal(it.space, space);
	if (space == ACPI_SPACE_NONE)
		return;
	assert_int_equal(it.address, address);
	assert_int_equal(it.access_bytes, access_bytes);
}

static void old_fadt_gives_ports(void **state)
{
	(void)state;
	begin_fadt(1, 116);
	/* What lies behind the table must not be read as part of it. */
	poke_gas(FADT_AT + 208, 0, 32, 3, 0xdead0000);
	poke_u64(FADT_AT + 140, 0xdead0000);
	assert_int_equal(read_given(), OK);
	assert_int_equal(host_log_count, 0);
	assert_true(info.has_fadt);
	assert_register(info.pm_timer, ACPI_SPACE_PORT, 0x608, 4);
	assert_register(info.pm1a_control, ACPI_SPACE_PORT, 0x604, 2);
	assert_register(info.pm1b_control, ACPI_SPACE_NONE, 0, 0);
	assert_register(info.reset, ACPI_SPACE_NONE, 0, 0);
	assert_int_equal(info.pm_timer_width, ACPI_TIMER_24_BITS);
	assert_int_equal(info.sci_irq, 9);
	assert_int_equal(info.smi_command, 0xb2);
	assert_int_equal(info.acpi_enable, 0xf1);
	assert_true(info.has_i8042);
}

static void extended_addresses_win_where_they_are_given(void **state)
{
	(void)state;
	poke_gas(FADT_AT + 116, 1, 8, 1, 0xcf9);
	poke_u8(FADT_AT + 128, 6);
	poke_u64(FADT_AT + 140, SSDT_AT);
	poke_gas(FADT_AT + 172, 1, 16, 0, 0);      /* not given */
	poke_gas(FADT_AT + 184, 1, 16, 2, 0x1804); /* PM1b */
	poke_gas(FADT_AT + 208, 0, 32, 3, 0xfed80808);
	poke_u32(FADT_AT + 112, BIT(8) | BIT(10));
	begin_fadt(6, 276);
	poke(SSDT_AT + HEADER, "\x08_S5_\x12\x06\x04\x0a\x05\x0a\x06", 12);
	seal(SSDT_AT, "DSDT", HEADER + 12);
	assert_int_equal(read_given(), OK);
	assert_int_equal(host_log_count, 0);
	assert_register(info.pm_timer, ACPI_SPACE_MEMORY, 0xfed80808, 4);
	assert_register(info.pm1a_control, ACPI_SPACE_PORT, 0x604, 2);
	assert_register(info.pm1b_control, ACPI_SPACE_PORT, 0x1804, 2);
	assert_register(info.reset, ACPI_SPACE_PORT, 0xcf9, 1);
	assert_int_equal(info.reset_value, 6);
	assert_int_equal(info.pm_timer_width, ACPI_TIMER_32_BITS);
	assert_false(info.has_i8042);
	assert_true(info.has_s5);
	assert_int_equal(info.s5_type_a, 5);
	assert_int_equal(info.s5_type_b, 6);
}

static void registers_out_of_their_space_do_not_exist(void **state)
{
	(void)state;
	poke_gas(FADT_AT + 116, 1, 8, 0, 0x10000);
	poke_gas(FADT_AT + 172, 0, 16, 2, BIT(52) - 1);
	poke_gas(FADT_AT + 208, 10, 32, 3, 0x1000); /* an unknown space */
	poke_u32(FADT_AT + 112, BIT(10));
	begin_fadt(6, 276);
	poke_u32(FADT_AT + 64, 0xffff);     /* 16 bits from the last port */
	poke_u32(FADT_AT + 76, 0x12345678); /* no port at all */
	poke_u32(FADT_AT + 48, 0x10000);
	seal(FADT_AT, "FACP", 276);
	assert_int_equal(read_given(), OK);
	assert_register(info.reset, ACPI_SPACE_NONE, 0, 0);
	assert_register(info.pm1a_control, ACPI_SPACE_NONE, 0, 0);
	assert_register(info.pm_timer, ACPI_SPACE_NONE, 0, 0);
	assert_int_equal(info.smi_command, 0);
	assert_int_equal(info.acpi_enable, 0);
}

static void reduced_hardware_has_no_fixed_registers(void **state)
{
	(void)state;
	poke_u32(FADT_AT + 112, BIT(20));
	poke_u16(FADT_AT + 109, BIT(1));
	begin_fadt(5, 268);
	assert_int_equal(read_given(), OK);
	assert_register(info.pm_timer, ACPI_SPACE_NONE, 0, 0);
	assert_register(info.pm1a_control, ACPI_SPACE_NONE, 0, 0);
	assert_int_equal(info.smi_command, 0);
	assert_true(info.has_i8042);
}

static void access_width_follows_size_or_bits(void **state)
{
	static const struct {
		u8 width, access, bytes;
	} cases[] = {{8, 0, 1}, {16, 0, 2}, {32, 0, 4}, {64, 0, 8}, {32, 1, 1},
		     {8, 2, 2}, {8, 3, 4},  {8, 4, 8},  {16, 5, 2}};

	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		reset(state);
		poke_gas(FADT_AT + 116, 0, cases[i].width, cases[i].access,
			 0x1000);
		poke_u32(FADT_AT + 112, BIT(10));
		begin_fadt(6, 276);
		assert_int_equal(read_given(), OK);
		assert_register(info.reset, ACPI_SPACE_MEMORY, 0x1000,
				cases[i].bytes);
	}
}

/* --- MCFG --------------------------------------------------------------- */

static void mcfg_entry(u32 i, u64 base, u16 segment, u8 first, u8 last)
{
	u64 at = MCFG_AT + 44 + i * 16;

	poke_u64(at, base);
	poke_u16(at + 8, segment);
	poke_u8(at + 10, first);
	poke_u8(at + 11, last);
	seal(MCFG_AT, "MCFG", 44 + 16 * (i + 1));
}

static void mcfg_gives_segments_and_leaves_out_nonsense(void **state)
{
	(void)state;
	mcfg_entry(0, 0xb0000000, 0, 0, 255);
	mcfg_entry(1, 0xb0080000, 1, 0, 255); /* not aligned */
	mcfg_entry(2, 0xc0000000, 2, 9, 8);
	mcfg_entry(3, 0, 3, 0, 1);
	mcfg_entry(4, 0x2000000000, 4, 0x80, 0x8f);
	list(MCFG_AT);
	assert_int_equal(read_given(), OK);
	assert_int_equal(host_log_count, 3);
	assert_int_equal(info.ecam_count, 2);
	assert_int_equal(hpa_raw(info.ecams[0].base), 0xb0000000);
	assert_int_equal(info.ecams[0].last_bus, 255);
	assert_int_equal(hpa_raw(info.ecams[1].base), 0x2000000000);
	assert_int_equal(info.ecams[1].segment, 4);
	assert_int_equal(info.ecams[1].first_bus, 0x80);
}

static void mcfg_segments_beyond_the_limit_are_named(void **state)
{
	(void)state;
	for (u32 i = 0; i < ACPI_ECAMS_MAX + 2; i++)
		mcfg_entry(i, (u64)i * GIB + GIB, (u16)i, 0, 255);
	list(MCFG_AT);
	assert_int_equal(read_given(), OK);
	assert_int_equal(info.ecam_count, ACPI_ECAMS_MAX);
	assert_int_equal(host_log_count, 1);
	assert_said("beyond 8");
}

/* --- DMAR --------------------------------------------------------------- */

static void dmar_says_whether_x2apic_is_welcome(void **state)
{
	(void)state;
	assert_int_equal(read_given(), OK);
	assert_false(info.avoids_x2apic);
	for (u32 flags = 0; flags < 8; flags++) {
		root_length = HEADER;
		poke_u8(DMAR_AT + 37, (u8)flags);
		seal(DMAR_AT, "DMAR", 48);
		list(DMAR_AT);
		assert_int_equal(read_given(), OK);
		assert_int_equal(info.avoids_x2apic, (flags & 2) != 0);
	}
}

/* --- \_S5 --------------------------------------------------------------- */

/* Reads an SSDT with these bytes in it. */
static bool s5_of(const char *aml, u32 bytes)
{
	reset(NULL);
	poke(SSDT_AT + HEADER, aml, bytes);
	seal(SSDT_AT, "SSDT", HEADER + bytes);
	list(SSDT_AT);
	assert_int_equal(read_given(), OK);
	assert_int_equal(host_log_count, 0);
	return info.has_s5;
}

#define S5_OF(literal) s5_of(literal, sizeof(literal) - 1)

static void assert_types(bool found, u8 type_a, u8 type_b)
{
	assert_true(found);
	assert_int_equal(info.s5_type_a, type_a);
	assert_int_equal(info.s5_type_b, type_b);
}

static void s5_is_found_in_the_forms_that_compilers_write(void **state)
{
	(void)state;
	assert_types(S5_OF("\x08_S5_\x12\x08\x04\x0a\x05\x0a\x07\x00\x00"), 5,
		     7);
	assert_types(S5_OF("xx\x08\\_S5_\x12\x06\x04\x00\x01\x00\x00"), 0, 1);
	assert_types(S5_OF("\x08_S5_\x12\x07\x02\x0b\x03\x00\x0a\x02"), 3, 2);
	assert_types(
	    S5_OF("\x08_S5_\x12\x0b\x02\x0c\x06\0\0\0\x0b\x01\x00\x00"), 6, 1);
	/* PkgLength in two bytes; one element only. */
	assert_types(S5_OF("\x08_S5_\x12\x45\x00\x01\x0a\x04"), 4, 0);
}

static void s5_that_does_not_parse_is_passed_over(void **state)
{
	(void)state;
	assert_false(S5_OF("_S5_\x12\x06\x04\x00\x01\x00\x00"));
	assert_false(S5_OF("\x10_S5_\x12\x06\x04\x00\x01\x00\x00"));
	assert_false(S5_OF("\x08_S5_\x11\x06\x04\x00\x01\x00\x00"));
	assert_false(S5_OF("\x08_S5_\x12\x06\x00\x00\x01\x00\x00"));
	assert_false(S5_OF("\x08_S5_\x12\x06\x02\x0a\x08\x00\x00\x00"));
	assert_false(S5_OF("\x08_S5_\x12\x06\x02\x00\xff\x00\x00\x00"));
	assert_false(S5_OF("\x08_S5_\x12\x06\x02_FOO\x00"));
	/* The package ends before its elements, or behind the table. */
	assert_false(S5_OF("\x08_S5_\x12\x03\x02\x0a\x05\x0a\x05"));
	assert_false(S5_OF("\x08_S5_\x12\x07\x02\x0a\x05\x0a\x05"));
	assert_false(S5_OF("\x08_S5_\x12\xff\xff\xff\xff\x02\x00\x00"));
	assert_false(S5_OF("\x08_S5_"));
	assert_false(S5_OF("\x08_S5"));
	assert_false(S5_OF(""));
	/* The second one counts when the first is no definition. */
	assert_types(S5_OF("\x08_S5_\x99\x08_S5_\x12\x04\x02\x01\x01"), 1, 1);
}

static void s5_of_the_dsdt_wins_and_of_the_first_ssdt(void **state)
{
	(void)state;
	begin_fadt(1, 116);
	poke(DSDT_AT + HEADER, "\x08_S5_\x12\x04\x02\x01\x01", 10);
	seal(DSDT_AT, "DSDT", HEADER + 10);
	poke(SSDT_AT + HEADER, "\x08_S5_\x12\x04\x02\x00\x00", 10);
	seal(SSDT_AT, "SSDT", HEADER + 10);
	list(SSDT_AT);
	assert_int_equal(read_given(), OK);
	assert_types(info.has_s5, 1, 1);
}

/* --- Root --------------------------------------------------------------- */

static void without_a_root_pointer_nothing_is_found(void **state)
{
	(void)state;
	assert_int_equal(acpi_read(&info, NULL, 0, &memory), ERR_NOT_FOUND);
	/* The context of the BIOS areas may be no memory at all. */
	poke_u16(0x40e, 0xffff);
	assert_int_equal(acpi_read(&info, NULL, 0, &memory), ERR_NOT_FOUND);
}

static void root_pointer_is_found_in_the_bios_areas(void **state)
{
	static const u64 places[] = {0x9fc00, 0x9fff0 - 16, 0xe0000, 0xfffd0};

	for (u32 i = 0; i < ARRAY_COUNT(places); i++) {
		reset(state);
		poke_u16(0x40e, 0x9fc0);
		poke(places[i], rsdp, sizeof(rsdp));
		begin_madt();
		assert_int_equal(acpi_read(&info, NULL, 0, &memory), OK);
		assert_true(info.has_madt);
		assert_string_equal(info.oem_id, "MAKER ");
	}
	reset(state);
	poke(0xe0008, rsdp, sizeof(rsdp)); /* not on 16 bytes */
	assert_int_equal(acpi_read(&info, NULL, 0, &memory), ERR_NOT_FOUND);
}

static void damaged_copy_of_the_root_pointer_starts_a_search(void **state)
{
	(void)state;
	poke(0xf0000, rsdp, sizeof(rsdp));
	rsdp[9] ^= 1;
	assert_int_equal(read_given(), OK);
	assert_said("root pointer from the boot loader is damaged");
	make_rsdp(2, 0, ROOT_AT);
	host_log_count = 0;
	rsdp[33] ^= 1; /* only the extended checksum is wrong */
	assert_int_equal(read_given(), OK);
	assert_int_equal(host_log_count, 1);
	assert_int_equal(acpi_read(&info, rsdp, 19, &memory), OK);
	assert_int_equal(host_log_count, 2);
}

static void rsdt_is_taken_for_old_pointers_and_bad_xsdts(void **state)
{
	(void)state;
	begin_madt();
	poke_u32(SSDT_AT + HEADER, MADT_AT);
	seal(SSDT_AT, "RSDT", HEADER + 4);
	make_rsdp(0, SSDT_AT, 0);
	assert_int_equal(acpi_read(&info, rsdp, 20, &memory), OK);
	assert_true(info.has_madt);
	assert_int_equal(host_log_count, 0);
	make_rsdp(2, SSDT_AT, MCFG_AT); /* where there is none */
	assert_int_equal(read_given(), OK);
	assert_true(info.has_madt);
	assert_said("XSDT at 0x130000 is left out: there is something else");
	make_rsdp(2, MCFG_AT, 0);
	assert_int_equal(read_given(), ERR_BAD_FORMAT);
}

static void bad_table_loses_only_itself(void **state)
{
	static const struct {
		u64 at;
		u32 length;
		const char *words;
	} cases[] = {
	    {MADT_AT, 35, "length makes no sense"},
	    {MADT_AT, 0xffffffff, "length makes no sense"},
	    {HOLE_AT - 40, 41, "length makes no sense"},
	};

	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		reset(state);
		poke(cases[i].at, "APIC", 4);
		poke_u32(cases[i].at + 4, cases[i].length);
		list(cases[i].at);
		begin_fadt(1, 116);
		assert_int_equal(read_given(), OK);
		assert_false(info.has_madt);
		assert_true(info.has_fadt);
		assert_int_equal(host_log_count, 1);
		assert_said(cases[i].words);
	}
	reset(state);
	begin_madt();
	poke_u8(MADT_AT + 43, 0x55);
	begin_fadt(1, 116);
	assert_int_equal(read_given(), OK);
	assert_false(info.has_madt);
	assert_true(info.has_fadt);
	assert_said("checksum is wrong");
}

static void tables_in_unreadable_places_are_named(void **state)
{
	static const u64 places[] = {HOLE_AT, HOLE_AT - 3, MEMORY, ~0ULL};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(places); i++)
		list(places[i]);
	begin_madt();
	assert_int_equal(read_given(), OK);
	assert_true(info.has_madt);
	assert_int_equal(host_log_count, 4);
	assert_said("does not lie in memory");
}

static void endless_root_table_is_cut(void **state)
{
	(void)state;
	for (u32 i = 0; i < 600; i++)
		list(SSDT_AT); /* all zeros there: no table of ours */
	assert_int_equal(read_given(), OK);
	assert_int_equal(host_log_count, 1);
	assert_said("88 of 600 tables");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, reset)
	const struct CMUnitTest tests[] = {
	    TEST(madt_lists_cpus_and_controllers),
	    TEST(local_apic_override_counts_and_must_make_sense),
	    TEST(damaged_madt_entry_ends_the_list),
	    TEST(too_many_of_each_are_counted_in_words),
	    TEST(old_fadt_gives_ports),
	    TEST(extended_addresses_win_where_they_are_given),
	    TEST(registers_out_of_their_space_do_not_exist),
	    TEST(reduced_hardware_has_no_fixed_registers),
	    TEST(access_width_follows_size_or_bits),
	    TEST(mcfg_gives_segments_and_leaves_out_nonsense),
	    TEST(mcfg_segments_beyond_the_limit_are_named),
	    TEST(dmar_says_whether_x2apic_is_welcome),
	    TEST(s5_is_found_in_the_forms_that_compilers_write),
	    TEST(s5_that_does_not_parse_is_passed_over),
	    TEST(s5_of_the_dsdt_wins_and_of_the_first_ssdt),
	    TEST(without_a_root_pointer_nothing_is_found),
	    TEST(root_pointer_is_found_in_the_bios_areas),
	    TEST(damaged_copy_of_the_root_pointer_starts_a_search),
	    TEST(rsdt_is_taken_for_old_pointers_and_bad_xsdts),
	    TEST(bad_table_loses_only_itself),
	    TEST(tables_in_unreadable_places_are_named),
	    TEST(endless_root_table_is_cut),
	};

	return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
