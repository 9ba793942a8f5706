/* SPDX-License-Identifier: MIT */
/*
 * Records, pages, shapes and audit hashes: what is sealed comes out again, in
 * whatever portions it arrives, and nothing else does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/crc32c.h"
#include "migrate/audit.h"
#include "migrate/pages.h"
#include "migrate/shape.h"
#include "migrate/wire.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/support.h"

static u8 out_room[WIRE_RECORD_BYTES], in_room[WIRE_RECORD_BYTES];
static struct wire_outbox outbox;
static struct wire_inbox inbox;
static struct wire_record record;
static char why[WIRE_TEXT_BYTES];

static void begin(enum wire_side from)
{
	outbox = (struct wire_outbox){.room = out_room};
	inbox = (struct wire_inbox){.room = in_room, .from = from};
	why[0] = 0;
}

static enum wire_status take(const u8 *data, u64 bytes)
{
	return wire_take(&inbox, &data, &bytes, &record);
}

static enum wire_status take_sent(void)
{
	enum wire_status status = take(out_room, outbox.filled);

	outbox.sent = outbox.filled;
	return status;
}

/* The header of docs/MIGRATION.md, byte by byte. */
static void record_is_laid_out_as_specified(void **state)
{
	static const u8 expected[] = {
	    0,    0,    0,    0,    /* CRC32C, below */
	    1,    0,    0,    0,    /* sequence */
	    8,    0,    0,    0,    /* length */
	    0x0a, 0,    0,    0,    /* type, zero */
	    0x88, 0x77, 0x66, 0x55, /* payload */
	    0x44, 0x33, 0x22, 0x11,
	};
	u32 crc = crc32c(0, expected + 4, sizeof(expected) - 4), sealed;

	(void)state;
	begin(WIRE_SOURCE);
	outbox.sequence = 1;
	wire_send_u64(&outbox, WIRE_COMMIT, 0x1122334455667788UL);
	assert_int_equal(outbox.filled, sizeof(expected));
	memcpy(&sealed, out_room, sizeof(sealed));
	assert_int_equal(sealed, crc);
	assert_memory_equal(out_room + 4, expected + 4, sizeof(expected) - 4);
}

static void record_comes_out_whatever_the_portions(void **state)
{
	(void)state;
	for (u32 portion = 1; portion < 40; portion++) {
		u32 at = 0;
		enum wire_status status = WIRE_NEEDS_MORE;

		begin(WIRE_SOURCE);
		wire_send_text(&outbox, WIRE_CANCEL, "because of the weather");
		while (status == WIRE_NEEDS_MORE) {
			const u8 *data = out_room + at;
			u64 left = outbox.filled - at;
			u64 here = left < portion ? left : portion;

			assert_true(left > 0);
			status = wire_take(&inbox, &data, &here, &record);
			at = (u32)(data - out_room);
		}
		assert_int_equal(status, WIRE_HAS_RECORD);
		assert_int_equal(at, outbox.filled);
		assert_int_equal(record.type, WIRE_CANCEL);
		wire_get_text(&record, why, sizeof(why));
		assert_string_equal(why, "because of the weather");
	}
}

static void every_flipped_bit_is_refused(void **state)
{
	(void)state;
	for (u32 bit = 0; bit < (WIRE_HEADER_BYTES + 8) * 8; bit++) {
		begin(WIRE_SOURCE);
		wire_send_u64(&outbox, WIRE_COMMIT, 42);
		out_room[bit / 8] ^= (u8)(1 << bit % 8);
		/* One that makes it longer waits for more; no record comes. */
		assert_int_not_equal(take_sent(), WIRE_HAS_RECORD);
	}
}

static void repeated_and_missing_records_are_refused(void **state)
{
	(void)state;
	begin(WIRE_SOURCE);
	wire_send_u64(&outbox, WIRE_PREPARE, 1);
	assert_int_equal(take_sent(), WIRE_HAS_RECORD);
	assert_int_equal(take_sent(), WIRE_BROKEN);
	assert_string_equal(inbox.why,
			    "record 0 (PREPARE) came where record 1 was due");
	begin(WIRE_SOURCE);
	wire_send_u64(&outbox, WIRE_PREPARE, 1);
	outbox.sent = outbox.filled;
	wire_send_u64(&outbox, WIRE_COMMIT, 1);
	assert_int_equal(take_sent(), WIRE_BROKEN);
	assert_string_equal(inbox.why,
			    "record 1 (COMMIT) came where record 0 was due");
}

static void record_of_the_other_direction_is_refused(void **state)
{
	(void)state;
	begin(WIRE_DESTINATION);
	wire_send_u64(&outbox, WIRE_COMMIT, 1);
	assert_int_equal(take_sent(), WIRE_BROKEN);
	begin(WIRE_SOURCE);
	wire_send_u64(&outbox, WIRE_RUNNING, 1);
	assert_int_equal(take_sent(), WIRE_BROKEN);
}

/* Told from the header alone: the payload is not waited for. */
static void length_that_a_type_cannot_have_is_refused_at_once(void **state)
{
	u32 length = 9;

	(void)state;
	begin(WIRE_SOURCE);
	wire_send_u64(&outbox, WIRE_COMMIT, 1);
	memcpy(out_room + 8, &length, sizeof(length));
	assert_int_equal(take(out_room, WIRE_HEADER_BYTES), WIRE_BROKEN);
	assert_string_equal(inbox.why, "record 0 (COMMIT) claims 9 bytes");
	length = 0xfffffff0;
	begin(WIRE_SOURCE);
	wire_send_u64(&outbox, WIRE_PAGES, 1);
	memcpy(out_room + 8, &length, sizeof(length));
	assert_int_equal(take(out_room, WIRE_HEADER_BYTES), WIRE_BROKEN);
}

static void varints_keep_every_value(void **state)
{
	(void)state;
	for (u32 shift = 0; shift < 64; shift++)
		for (u64 around = 0; around < 3; around++) {
			u64 value = BIT(shift) + around - 1;
			struct wire_writer writer;
			struct wire_reader reader;

			begin(WIRE_SOURCE);
			writer = wire_begin(&outbox);
			wire_put_varint(&writer, value);
			assert_true(writer.filled <= WIRE_VARINT_MAX);
			reader = (struct wire_reader){writer.at, writer.filled,
						      false};
			assert_int_equal(wire_get_varint(&reader), value);
			assert_true(wire_is_done(&reader));
		}
}

static void endless_varint_is_short(void **state)
{
	static const u8 endless[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
				       0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	struct wire_reader reader = {endless, sizeof(endless), false};

	(void)state;
	wire_get_varint(&reader);
	assert_true(reader.is_short);
}

/* --- Pages ---------------------------------------------------------------- */

static u8 contents[PAGE_4K];

static void put_page(struct pages_writer *pages, u64 page, enum page_kind kind)
{
	assert_true(pages_has_room(pages));
	if (kind == PAGE_ZERO)
		pages_put_zero(pages, gpa(page * PAGE_4K));
	else
		pages_put_raw(pages, gpa(page * PAGE_4K), contents);
}

/* Random pages go in; the same come out, and cost what is promised. */
static void pages_come_out_as_they_went_in(u64 seed)
{
	struct random random = random_from(seed);
	enum page_kind kinds[400] = {0};
	u64 pages[400] = {0}, count = 0, read = 0, page = 0, raw = 0;
	struct wire_writer writer;
	struct pages_writer pages_writer;
	struct pages_reader reader;
	struct pages_entry entry;

	begin(WIRE_SOURCE);
	writer = wire_begin(&outbox);
	pages_writer = pages_begin(&writer);
	while (count < 400 && pages_has_room(&pages_writer)) {
		page +=
		    random_below(&random, 3) ? 1 : random_below(&random, 1000);
		pages[count] = page;
		kinds[count] = random_below(&random, 20) ? PAGE_ZERO : PAGE_RAW;
		raw += kinds[count] == PAGE_RAW;
		contents[0] = (u8)page;
		put_page(&pages_writer, page++, kinds[count]);
		count++;
	}
	pages_end(&pages_writer);
	wire_seal(&outbox, WIRE_PAGES, &writer);
	assert_true(writer.filled <= raw * PAGE_4K + count * 5);
	assert_int_equal(take_sent(), WIRE_HAS_RECORD);
	reader = pages_reader_of(&record);
	while (pages_next(&reader, &entry) == OK)
		for (u64 i = 0; i < entry.count; i++, read++) {
			assert_int_equal(gpa_page(entry.first) + i,
					 pages[read]);
			assert_int_equal(entry.kind, kinds[read]);
			if (entry.kind == PAGE_RAW)
				assert_int_equal(entry.contents[0],
						 (u8)pages[read]);
		}
	assert_int_equal(read, count);
	assert_int_equal(pages_next(&reader, &entry), ERR_NOT_FOUND);
}

static void random_pages(void **state)
{
	(void)state;
	for_seeds(50, pages_come_out_as_they_went_in);
}

static void pages_in_a_row_cost_one_byte_each(void **state)
{
	struct wire_writer writer;
	struct pages_writer pages;

	(void)state;
	begin(WIRE_SOURCE);
	writer = wire_begin(&outbox);
	pages = pages_begin(&writer);
	for (u64 i = 0; i < 15; i++)
		put_page(&pages, i, PAGE_RAW);
	assert_int_equal(writer.filled, 15 * (PAGE_4K + 1));
	assert_false(pages_has_room(&pages));
}

static void assert_bad(const struct wire_record *bad)
{
	struct pages_reader reader = pages_reader_of(bad);
	struct pages_entry entry;
	enum err err = OK;

	while (err == OK)
		err = pages_next(&reader, &entry);
	assert_int_equal(err, ERR_BAD_FORMAT);
}

static void assert_bad_pages(const u8 *bytes, u32 count)
{
	const struct wire_record bad = {WIRE_PAGES, bytes, count, 0};

	assert_bad(&bad);
}

static void pages_that_cannot_be_are_refused(void **state)
{
	static const u8 no_bytes[] = {0x02, 0};
	static const u8 too_many_bytes[] = {0x03, 0x80, 0x20, 1};
	static const u8 cut_packed[] = {0x03, 3, 1, 2};
	static const u8 cut_page[] = {0x01, 1, 2, 3};
	static const u8 cut_run[] = {0x00};
	static const u8 far_page[] = {0x80, 0x80, 0x80, 0x80,
				      0x80, 0x80, 0x01, 0};
	static const u8 long_run[] = {0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};

	(void)state;
	assert_bad_pages(no_bytes, sizeof(no_bytes));
	assert_bad_pages(too_many_bytes, sizeof(too_many_bytes));
	assert_bad_pages(cut_packed, sizeof(cut_packed));
	assert_bad_pages(cut_page, sizeof(cut_page));
	assert_bad_pages(cut_run, sizeof(cut_run));
	assert_bad_pages(far_page, sizeof(far_page));
	assert_bad_pages(long_run, sizeof(long_run));
}

/* --- Pages that are lent -------------------------------------------------- */

#define LENT       4
#define LENT_HEADS 9 /* of pages 2, 3, zero ones from 4 on, 70, 5000 */

static u8 lent[LENT + 1][PAGE_4K];

/* The first two of them are neighbours in memory. */
static void seal_live(void)
{
	static const u64 numbers[LENT] = {2, 3, 70, 5000};
	static const u32 where[LENT] = {1, 2, 0, 4};
	struct wire_writer writer;
	struct pages_writer pages;

	begin(WIRE_SOURCE);
	writer = wire_begin(&outbox);
	pages = pages_begin(&writer);
	for (u32 i = 0; i < LENT; i++) {
		memset(lent[where[i]], (int)(i + 1), PAGE_4K);
		if (i == 2)
			pages_put_zero(&pages, gpa(4 * PAGE_4K));
		pages_lend_raw(&pages, gpa(numbers[i] * PAGE_4K),
			       lent[where[i]]);
	}
	pages_end(&pages);
	wire_seal(&outbox, WIRE_LIVE, &writer);
}

/* As a device would read it, `portion` bytes at most at a time. */
static u32 gather(u8 *stream, u32 portion)
{
	u32 pieces = 0;

	while (!wire_outbox_is_empty(&outbox)) {
		struct wire_piece piece = wire_next_piece(&outbox);
		u32 here = piece.bytes < portion ? piece.bytes : portion;

		assert_int_equal(piece.is_lent,
				 outbox.sent >= outbox.filled - LENT * PAGE_4K);
		memcpy(stream + outbox.sent, piece.at, here);
		outbox.sent += here;
		pieces++;
	}
	return pieces;
}

static void lent_pages_come_out_as_they_are_when_read(void **state)
{
	static u8 stream[WIRE_RECORD_BYTES];
	static const u32 portions[] = {~0U, 5000, 4096, 1000, 7};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(portions); i++) {
		struct pages_reader reader;
		struct pages_entry entry;
		u32 raw = 0, pieces;

		seal_live();
		lent[4][5] = 0xee; /* the guest goes on */
		pieces = gather(stream, portions[i]);
		/* The head, two neighbours, one, one. */
		assert_true(i ? pieces > 4 : pieces == 4);
		assert_int_equal(take(stream, outbox.filled), WIRE_HAS_RECORD);
		assert_int_equal(record.bytes, LENT_HEADS);
		reader = pages_reader_of(&record);
		while (pages_next(&reader, &entry) == OK)
			if (entry.kind == PAGE_RAW)
				assert_int_equal(entry.contents[0], ++raw);
		assert_int_equal(raw, LENT);
		assert_int_equal(entry.contents[5], 0xee);
		assert_int_equal(pages_next(&reader, &entry), ERR_NOT_FOUND);
	}
}

/* All bits of what says which pages they are; none of what they hold. */
static void only_contents_of_lent_pages_are_not_summed_up(void **state)
{
	static u8 stream[WIRE_RECORD_BYTES];
	u32 own;

	(void)state;
	seal_live();
	own = outbox.filled - LENT * (u32)PAGE_4K;
	gather(stream, ~0U);
	for (u32 bit = 0; bit < own * 8; bit++) {
		inbox = (struct wire_inbox){.room = in_room};
		stream[bit / 8] ^= (u8)(1 << bit % 8);
		assert_int_not_equal(take(stream, outbox.filled),
				     WIRE_HAS_RECORD);
		stream[bit / 8] ^= (u8)(1 << bit % 8);
	}
	for (u32 at = own; at < outbox.filled; at += 1000) {
		inbox = (struct wire_inbox){.room = in_room};
		stream[at] ^= 1;
		assert_int_equal(take(stream, outbox.filled), WIRE_HAS_RECORD);
	}
}

/* The header claims lent pages, or fewer bytes than they are. */
static void lent_pages_that_cannot_be_are_refused_at_once(void **state)
{
	static const struct {
		u16 type, lent;
		u32 length;
	} headers[] = {
	    {WIRE_PAGES, 1, 2 + PAGE_4K},
	    {WIRE_COMMIT, 1, 8},
	    {WIRE_LIVE, 1, 1 + PAGE_4K},
	    {WIRE_LIVE, WIRE_LENT_MAX + 1, WIRE_PAYLOAD_BYTES},
	    {WIRE_LIVE, 0xffff, WIRE_PAYLOAD_BYTES},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(headers); i++) {
		seal_live();
		memcpy(out_room + 8, &headers[i].length, 4);
		memcpy(out_room + 12, &headers[i].type, 2);
		memcpy(out_room + 14, &headers[i].lent, 2);
		assert_int_equal(take(out_room, WIRE_HEADER_BYTES),
				 WIRE_BROKEN);
	}
}

/* Heads are of more pages, or fewer, than were lent. */
static void heads_without_their_pages_are_refused(void **state)
{
	static u8 payload[2 + 2 * PAGE_4K] = {0x01, 0x01};
	struct wire_record bad = {WIRE_LIVE, payload, 2, PAGE_4K};

	(void)state;
	assert_bad(&bad);
	bad = (struct wire_record){WIRE_LIVE, payload, 1, 2 * PAGE_4K};
	assert_bad(&bad);
	bad = (struct wire_record){WIRE_LIVE, payload, 2, 0};
	assert_bad(&bad);
}

static void one_bit_makes_a_page_not_zero(void **state)
{
	static u8 page[PAGE_4K] ALIGNED(8);

	(void)state;
	assert_true(page_is_zero(page));
	for (u32 i = 0; i < PAGE_4K; i += 13) {
		page[i] = 0x10;
		/* With wide registers, and without: tests/unit/host_seams.c. */
		assert_false(page_is_zero(page));
		assert_false(page_is_zero(page));
		page[i] = 0;
	}
}

/* --- Shapes --------------------------------------------------------------- */

static struct guest_mem mem, other;

static void make_memory(struct guest_mem *made)
{
	assert_int_equal(guest_mem_create(made, gpa(4 * MIB), "shaped"), OK);
	assert_int_equal(guest_mem_add(made, gpa(0), 640 * KIB), OK);
	assert_int_equal(guest_mem_add(made, gpa(MIB), MIB), OK);
}

static void make_memories(void)
{
	frame_alloc_init();
	assert_int_equal(frame_alloc_add(hpa(0), 16 * MIB), OK);
	make_memory(&mem);
	make_memory(&other);
}

static struct vm_shape some_shape(void)
{
	struct vm_shape shape = {
	    .cpu_count = 4,
	    .tsc_hz = 2500000000,
	    .cpu = {.vendor = "GenuineIntel",
		    .brand = "Some CPU",
		    .physical_bits = 39,
		    .xcr0 = 0x7,
		    .features = {1, 2, 3, 4, 5, 6, 7, 8}},
	};

	make_memories();
	shape_take_memory(&shape, &mem);
	return shape;
}

static enum err through_wire(const struct vm_shape *shape,
			     struct vm_shape *found)
{
	struct wire_writer writer;
	struct wire_reader reader;

	begin(WIRE_SOURCE);
	writer = wire_begin(&outbox);
	shape_put(&writer, shape);
	reader = (struct wire_reader){writer.at, writer.filled, false};
	return shape_get(&reader, found, why, sizeof(why));
}

static void shape_comes_out_as_it_went_in(void **state)
{
	struct vm_shape shape = some_shape(), found;

	(void)state;
	memset(&found, 0, sizeof(found));
	assert_int_equal(through_wire(&shape, &found), OK);
	assert_string_equal(found.name, "shaped");
	assert_true(shape_is_of(&found, &mem));
	assert_int_equal(found.cpu_count, 4);
	assert_int_equal(found.tsc_hz, 2500000000);
	assert_memory_equal(&found.cpu, &shape.cpu, sizeof(found.cpu));
}

static void memory_map_that_cannot_be_is_refused(void **state)
{
	struct vm_shape good = some_shape(), bad, found;

	(void)state;
	bad = good;
	bad.slots[1].base = gpa(4096);
	assert_int_equal(through_wire(&bad, &found), ERR_BAD_FORMAT);
	bad = good;
	bad.slots[1].bytes = ~0xfffUL;
	assert_int_equal(through_wire(&bad, &found), ERR_BAD_FORMAT);
	bad = good;
	bad.slots[0].bytes = 0;
	assert_int_equal(through_wire(&bad, &found), ERR_BAD_FORMAT);
	bad = good;
	bad.slots[0].base = gpa(1);
	assert_int_equal(through_wire(&bad, &found), ERR_BAD_FORMAT);
	bad = good;
	bad.slot_count = 0;
	assert_int_equal(through_wire(&bad, &found), ERR_BAD_FORMAT);
	bad = good;
	bad.cpu.physical_bits = 64;
	assert_int_equal(through_wire(&bad, &found), ERR_BAD_FORMAT);
	bad = good;
	bad.cpu_count = 0;
	assert_int_equal(through_wire(&bad, &found), ERR_BAD_FORMAT);
}

static void what_a_cpu_lacks_is_said_in_words(void **state)
{
	struct cpu_model guest = {.vendor = "GenuineIntel",
				  .physical_bits = 39,
				  .xcr0 = 0x7},
			 host = guest;

	(void)state;
	assert_int_equal(cpu_model_fits(&guest, &host, why, sizeof(why)), OK);
	guest.features[CPU_7_EBX] = 1 << 5;
	guest.features[CPU_7_EDX] = 1 << 7;
	assert_int_equal(cpu_model_fits(&guest, &host, why, sizeof(why)),
			 ERR_UNSUPPORTED);
	assert_string_equal(why, "this CPU lacks what the guest may be using: "
				 "avx2, CPUID 7.edx bit 7");
	guest.features[CPU_1_ECX] = ~0U;
	assert_int_equal(cpu_model_fits(&guest, &host, why, sizeof(why)),
			 ERR_UNSUPPORTED);
	assert_non_null(strstr(why, " and more"));
	guest = host;
	guest.physical_bits = 46;
	assert_int_equal(cpu_model_fits(&guest, &host, why, sizeof(why)),
			 ERR_UNSUPPORTED);
	assert_string_equal(
	    why, "the guest's addresses have 46 bits, this CPU's 39");
	guest = host;
	guest.xcr0 = 0xe7;
	assert_int_equal(cpu_model_fits(&guest, &host, why, sizeof(why)),
			 ERR_UNSUPPORTED);
	guest = host;
	memcpy(guest.vendor, "AuthenticAMD", sizeof(guest.vendor));
	assert_int_equal(cpu_model_fits(&guest, &host, why, sizeof(why)),
			 ERR_UNSUPPORTED);
}

/* --- Audit ---------------------------------------------------------------- */

static void audit_sees_every_page_and_no_hole(void **state)
{
	u64 group = 0, groups = 0, pages = 0;

	(void)state;
	make_memories();
	while ((group = audit_next_group(&mem, group)) != AUDIT_NO_GROUP) {
		struct audit_pages found;

		audit_read_pages(&mem, group++, AUDIT_ALL_PAGES, &found);
		pages += bits_count(found.known);
		groups++;
	}
	assert_int_equal(groups, 3 + 4);
	assert_int_equal(pages, (640 * KIB + MIB) / PAGE_4K);
}

/* However it is found. Neighbours are looked at in both ways. */
static void hash_of_a_page_is_its_crc(void **state)
{
	static const u8 zeroes[PAGE_4K];
	struct audit_pages found;

	(void)state;
	make_memories();
	for (u32 i = 8; i < 10; i++)
		assert_int_equal(
		    guest_mem_write_u8(&mem, gpa(MIB + i * PAGE_4K + 4095), 1),
		    OK);
	audit_read_pages(&mem, 4, AUDIT_ALL_PAGES, &found);
	for (u32 i = 0; i < AUDIT_GROUP_PAGES; i++)
		assert_int_equal(
		    found.crc[i],
		    crc32c(0,
			   i == 8 || i == 9
			       ? guest_mem_ptr(&mem, gpa(MIB + i * PAGE_4K),
					       PAGE_4K)
			       : zeroes,
			   PAGE_4K));
}

static void audit_difference_is_the_page_that_differs(void **state)
{
	struct audit_pages a, b;

	(void)state;
	make_memories();
	assert_int_equal(audit_group_hash(&mem, 4, AUDIT_ALL_PAGES),
			 audit_group_hash(&other, 4, AUDIT_ALL_PAGES));
	assert_int_equal(
	    guest_mem_write_u8(&other, gpa(MIB + 17 * PAGE_4K + 9), 1), OK);
	assert_int_not_equal(audit_group_hash(&mem, 4, AUDIT_ALL_PAGES),
			     audit_group_hash(&other, 4, AUDIT_ALL_PAGES));
	assert_int_equal(audit_group_hash(&mem, 4, ~BIT(17)),
			 audit_group_hash(&other, 4, ~BIT(17)));
	audit_read_pages(&mem, 4, AUDIT_ALL_PAGES, &a);
	audit_read_pages(&other, 4, AUDIT_ALL_PAGES, &b);
	assert_int_equal(audit_difference(&a, &b), BIT(17));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(record_is_laid_out_as_specified),
	    cmocka_unit_test(record_comes_out_whatever_the_portions),
	    cmocka_unit_test(every_flipped_bit_is_refused),
	    cmocka_unit_test(repeated_and_missing_records_are_refused),
	    cmocka_unit_test(record_of_the_other_direction_is_refused),
	    cmocka_unit_test(length_that_a_type_cannot_have_is_refused_at_once),
	    cmocka_unit_test(varints_keep_every_value),
	    cmocka_unit_test(endless_varint_is_short),
	    cmocka_unit_test(random_pages),
	    cmocka_unit_test(pages_in_a_row_cost_one_byte_each),
	    cmocka_unit_test(pages_that_cannot_be_are_refused),
	    cmocka_unit_test(lent_pages_come_out_as_they_are_when_read),
	    cmocka_unit_test(only_contents_of_lent_pages_are_not_summed_up),
	    cmocka_unit_test(lent_pages_that_cannot_be_are_refused_at_once),
	    cmocka_unit_test(heads_without_their_pages_are_refused),
	    cmocka_unit_test(one_bit_makes_a_page_not_zero),
	    cmocka_unit_test(shape_comes_out_as_it_went_in),
	    cmocka_unit_test(memory_map_that_cannot_be_is_refused),
	    cmocka_unit_test(what_a_cpu_lacks_is_said_in_words),
	    cmocka_unit_test(audit_sees_every_page_and_no_hole),
	    cmocka_unit_test(hash_of_a_page_is_its_crc),
	    cmocka_unit_test(audit_difference_is_the_page_that_differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
