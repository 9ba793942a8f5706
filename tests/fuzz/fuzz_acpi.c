/* SPDX-License-Identifier: MIT */
/*
 * ACPI tables. The input is a list of them: one byte for the signature and
 * what is wrong with it, two for the length, then what follows the header.
 * Each lies alone in memory, so that reading past one is seen; headers and
 * checksums are made good here, or the fuzzer would hardly ever get past
 * them. The first byte of all says whether there is a root pointer at all.
 */
#include "acpi/acpi.h"
#include "tests/fuzz/fuzz.h"

#define TABLES_MAX  16
#define TABLE_BYTES (64 * KIB)
#define HEADER      36
#define RSDP_BYTES  20
#define ROOT_AT     0x1000
#define TABLES_AT   0x10000

/* The low bits of a table's first byte; the others are flags. */
static const char signatures[8][5] = {"APIC", "FACP", "MCFG", "SSDT",
				      "DSDT", "XSDT", "APIC", "FACP"};
#define SIGNATURE_BITS 7
#define BAD_CHECKSUM   0x10
#define LENGTH_LIES    0x20

static struct {
	u64 at, bytes;
} blocks[TABLES_MAX + 1];
static u32 block_count;

static bool is_readable(void *context, hpa_t at, u64 bytes)
{
	u64 from = hpa_raw(at);

	(void)context;
	for (u32 i = 0; i < block_count; i++)
		if (from >= blocks[i].at && bytes <= blocks[i].bytes &&
		    from - blocks[i].at <= blocks[i].bytes - bytes)
			return true;
	return false;
}

static void add_block(u64 at, u64 bytes)
{
	blocks[block_count].at = at;
	blocks[block_count++].bytes = bytes;
	fuzz_open_window(at, at + bytes);
	memset(phys_memory + at, 0, bytes);
}

static void fix_checksum(u64 at, u32 length, u32 sum_at)
{
	u8 sum = 0;

	phys_memory[at + sum_at] = 0;
	for (u32 i = 0; i < length; i++)
		sum = (u8)(sum + phys_memory[at + i]);
	phys_memory[at + sum_at] = (u8)-sum;
}

static void put_u32(u64 at, u32 value)
{
	memcpy(phys_memory + at, &value, sizeof(value));
}

/* Makes one table of the front of the input; returns how much it took. */
static size_t make_table(const uint8_t *data, size_t size, u64 at)
{
	u8 flags = data[0];
	u32 length = data[1] | (u32)data[2] << 8;
	u32 body = length < size - 3 ? length : (u32)(size - 3);

	add_block(at, HEADER + body);
	memcpy(phys_memory + at + HEADER, data + 3, body);
	memcpy(phys_memory + at, signatures[flags & SIGNATURE_BITS], 4);
	phys_memory[at + 8] = flags >> 6; /* the revision */
	put_u32(at + 4, flags & LENGTH_LIES ? length : HEADER + body);
	fix_checksum(at, HEADER + body, 9);
	if (flags & BAD_CHECKSUM)
		phys_memory[at + 9]++;
	return 3 + body;
}

static u32 make_tables(const uint8_t *data, size_t size)
{
	u32 count = 0;

	while (size > 3 && count < TABLES_MAX) {
		u64 at = TABLES_AT + count * TABLE_BYTES * 2;
		size_t taken = make_table(data, size, at);

		/* A FADT's DSDT is the table behind it. */
		if (memcmp(phys_memory + at, "FACP", 4) == 0 && taken >= 11) {
			put_u32(at + 40, (u32)(at + TABLE_BYTES * 2));
			fix_checksum(at, HEADER + (u32)taken - 3, 9);
		}
		data += taken;
		size -= taken;
		count++;
	}
	return count;
}

static void make_root(u32 count)
{
	static const char rsdt[4] = {'R', 'S', 'D', 'T'};
	u32 length = HEADER + count * 4;

	add_block(ROOT_AT, length);
	memcpy(phys_memory + ROOT_AT, rsdt, sizeof(rsdt));
	put_u32(ROOT_AT + 4, length);
	for (u32 i = 0; i < count; i++)
		put_u32(ROOT_AT + HEADER + i * 4,
			(u32)(TABLES_AT + i * TABLE_BYTES * 2));
	fix_checksum(ROOT_AT, length, 9);
}

static const u8 *good_rsdp(void)
{
	static u8 rsdp[RSDP_BYTES] = "RSD PTR ";
	u32 root = ROOT_AT;
	u8 sum = 0;

	memcpy(rsdp + 16, &root, sizeof(root));
	rsdp[8] = 0;
	for (u32 i = 0; i < sizeof(rsdp); i++)
		sum = (u8)(sum + rsdp[i]);
	rsdp[8] = (u8)-sum;
	return rsdp;
}

static void check(const struct acpi_info *info)
{
	REQUIRE(info->cpu_count <= ACPI_CPUS_MAX);
	REQUIRE(info->ioapic_count <= ACPI_IOAPICS_MAX);
	REQUIRE(info->override_count <= ACPI_OVERRIDES_MAX);
	REQUIRE(info->ecam_count <= ACPI_ECAMS_MAX);
	REQUIRE(!info->has_s5 || (info->s5_type_a < 8 && info->s5_type_b < 8));
	REQUIRE(info->pm_timer.space != ACPI_SPACE_PORT ||
		info->pm_timer.address <= 0xfffc);
	REQUIRE(!info->has_madt || is_aligned(hpa_raw(info->local_apic), 4096));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct acpi_info info;
	const struct acpi_memory memory = {is_readable, NULL};

	if (size < 1 || size > TABLE_BYTES)
		return 0;
	block_count = 0;
	make_root(make_tables(data + 1, size - 1));
	bool is_given = !(data[0] & 1);
	enum err err = acpi_read(&info, is_given ? good_rsdp() : NULL,
				 is_given ? RSDP_BYTES : 0, &memory);

	REQUIRE(err == (is_given ? OK : ERR_NOT_FOUND));
	if (err == OK)
		check(&info);
	for (u32 i = 0; i < block_count; i++)
		fuzz_close_window(blocks[i].at & ~7ULL,
				  (blocks[i].at + blocks[i].bytes + 7) & ~7ULL);
	return 0;
}
