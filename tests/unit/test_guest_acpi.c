/* SPDX-License-Identifier: MIT */
/*
 * The guest's ACPI tables, read by two others: Umbra's own reader of the
 * host's tables, and the ACPI compiler iasl (Debian: acpica-tools), which is
 * the code that Linux interprets AML with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "acpi/acpi.h"
#include "devices/guest_acpi.h"
#include "devices/platform.h"
#include "tests/unit/host_seams.h"

static u8 *const tables = phys_memory + PLATFORM_ACPI_BASE;
static u32 tables_bytes;

static int built(void **state)
{
	(void)state;
	memset(phys_memory, 0, MIB);
	return guest_acpi_build(tables, GUEST_ACPI_BYTES, 64, &tables_bytes) ==
		       OK
		   ? 0
		   : -1;
}

static bool is_readable(void *context, hpa_t at, u64 bytes)
{
	(void)context;
	return hpa_raw(at) <= MIB && bytes <= MIB - hpa_raw(at);
}

static void read_tables(struct acpi_info *info)
{
	const struct acpi_memory memory = {is_readable, NULL};

	memset(info, 0, sizeof(*info));
	assert_int_equal(acpi_read(info, NULL, 0, &memory), OK);
}

static void umbra_itself_understands_them(void **state)
{
	static struct acpi_info info;

	(void)state;
	read_tables(&info);
	assert_int_equal(info.cpu_count, 64);
	for (u32 i = 0; i < 64; i++)
		assert_int_equal(info.cpus[i].apic_id, i);
	assert_int_equal(info.ioapic_count, 1);
	assert_int_equal(hpa_raw(info.ioapics[0].base), 0xfec00000);
	assert_int_equal(info.override_count, 2);
	assert_int_equal(info.overrides[0].gsi, 2);
	assert_int_equal(info.overrides[1].trigger, ACPI_LEVEL);
	assert_int_equal(info.overrides[1].polarity, ACPI_ACTIVE_HIGH);
	assert_int_equal(info.ecam_count, 1);
	assert_int_equal(hpa_raw(info.ecams[0].base), 0xe0000000);
	assert_int_equal(info.ecams[0].last_bus, 0);
	assert_true(info.has_pic);
	assert_int_equal(hpa_raw(info.local_apic), 0xfee00000);
	assert_int_equal(info.pm_timer.address, 0x608);
	assert_int_equal(info.pm_timer_width, ACPI_TIMER_32_BITS);
	assert_int_equal(info.pm1a_control.address, 0x604);
	assert_int_equal(info.reset.address, 0xcf9);
	assert_int_equal(info.reset_value, 6);
	assert_int_equal(info.smi_command, 0);
	assert_int_equal(info.sci_irq, 9);
	assert_true(info.has_s5);
	assert_int_equal(info.s5_type_a, ACPI_S5_SLEEP_TYPE);
}

static void too_small_a_buffer_is_refused(void **state)
{
	static u8 buffer[GUEST_ACPI_BYTES];
	u32 used = 77;

	(void)state;
	for (u32 bytes = 0; bytes < tables_bytes; bytes++) {
		memset(buffer, 0x5a, sizeof(buffer));
		assert_int_equal(guest_acpi_build(buffer, bytes, 64, &used),
				 ERR_NO_MEMORY);
		assert_int_equal(buffer[bytes], 0x5a);
	}
	assert_int_equal(used, 77);
	assert_int_equal(guest_acpi_build(buffer, tables_bytes, 64, &used), OK);
}

static void facs_is_aligned(void **state)
{
	static const u8 facs[4] = {'F', 'A', 'C', 'S'};
	u32 found = 0;

	(void)state;
	for (u32 at = 0; at < tables_bytes; at += 64)
		found += memcmp(tables + at, facs, 4) == 0;
	assert_int_equal(found, 1);
}

/* --- iasl ----------------------------------------------------------------- */

static char folder[32];
static char text[65536];

static int make_folder(void **state)
{
	snprintf(folder, sizeof(folder), "/tmp/umbra-acpi-XXXXXX");
	return built(state) || !mkdtemp(folder) ? -1 : 0;
}

static int remove_folder(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

/* Writes the table with this signature to FOLDER/SIGNATURE.aml. */
static void save_table(const char *signature)
{
	for (u32 at = 0; at < tables_bytes; at += 16) {
		char name[128];
		FILE *file;
		u32 bytes;

		if (memcmp(tables + at, signature, 4) != 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s.aml", folder, signature);
		memcpy(&bytes, tables + at + 4, sizeof(bytes));
		file = fopen(name, "wb");
		assert_non_null(file);
		assert_int_equal(fwrite(tables + at, 1, bytes, file), bytes);
		assert_int_equal(fclose(file), 0);
		return;
	}
	fail_msg("no table %s", signature);
}

static void run_iasl(const char *option, const char *file)
{
	char command[256];

	snprintf(command, sizeof(command), "cd %s && iasl %s %s >log 2>&1",
		 folder, option, file);
	assert_int_equal(system(command), 0);
}

static void read_text(const char *name)
{
	char path[128];
	FILE *file;
	size_t bytes;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "r");
	assert_non_null(file);
	bytes = fread(text, 1, sizeof(text) - 1, file);
	text[bytes] = 0;
	assert_int_equal(fclose(file), 0);
}

static void assert_says(const char *words)
{
	if (!strstr(text, words))
		fail_msg("nothing of \"%s\" in:\n%s", words, text);
}

/* The table as iasl reads it is in `text` afterwards. */
static void disassemble(const char *signature)
{
	char name[16];

	if (system("command -v iasl >/dev/null") != 0)
		skip();
	save_table(signature);
	snprintf(name, sizeof(name), "%s.aml", signature);
	run_iasl("-d", name);
	snprintf(name, sizeof(name), "%s.dsl", signature);
	read_text(name);
	assert_null(strstr(text, "Warning"));
	assert_null(strstr(text, "Error"));
	assert_null(strstr(text, "incorrect"));
}

static void iasl_reads_the_dsdt(void **state)
{
	(void)state;
	disassemble("DSDT");
	assert_says("Name (_S5, Package (0x04)");
	assert_says("EisaId (\"PNP0A03\")");
	assert_says("EisaId (\"PNP0501\")");
	assert_says("EisaId (\"PNP0B00\")");
	assert_says("EisaId (\"PNP0C02\")");
	assert_says("0xE0000000,         // Address Base");
	assert_says("0x0001FFFF, \n                    Zero, \n"
		    "                    Zero, \n                    0x0B");
	assert_says("0xC0000000,         // Range Minimum");
	assert_says("0xDFFFFFFF,         // Range Maximum");
	assert_says("0x03F8,             // Range Minimum");
	assert_says("{4}");
	assert_says("{8}");
}

/* What iasl has read is a DSDT that it would have written itself. */
static void iasl_compiles_what_it_has_read(void **state)
{
	(void)state;
	disassemble("DSDT");
	run_iasl("-p again", "DSDT.dsl");
	read_text("log");
	assert_says("0 Errors, 0 Warnings");
}

static void iasl_reads_the_fadt(void **state)
{
	(void)state;
	disassemble("FACP");
	assert_says("Revision : 05");
	assert_says("SCI Interrupt : 0009");
	assert_says("RTC Century Index : 32");
	assert_says("PM1A Event Block Address : 00000600");
	assert_says("PM Timer Block Address : 00000608");
	assert_says("Value to cause reset : 06");
	assert_says("8042 Present on ports 60/64 (V2) : 0");
	assert_says("VGA Not Present (V4) : 1");
	assert_says("32-bit PM Timer (V1) : 1");
	assert_says("Hardware Reduced (V5) : 0");
}

static void iasl_reads_the_madt(void **state)
{
	(void)state;
	disassemble("APIC");
	assert_says("PC-AT Compatibility : 1");
	assert_says("Local Apic ID : 3F");
	assert_says("[I/O APIC]");
	assert_says("Trigger Mode : 3");
	assert_says("Interrupt Input LINT : 01");
}

#define IASL(name) \
	cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(umbra_itself_understands_them, built),
	    cmocka_unit_test_setup(too_small_a_buffer_is_refused, built),
	    cmocka_unit_test_setup(facs_is_aligned, built),
	    IASL(iasl_reads_the_dsdt),
	    IASL(iasl_compiles_what_it_has_read),
	    IASL(iasl_reads_the_fadt),
	    IASL(iasl_reads_the_madt),
	};

	return cmocka_run_group_tests_name("guest_acpi", tests, NULL, NULL);
}
