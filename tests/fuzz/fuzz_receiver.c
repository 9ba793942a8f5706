/* SPDX-License-Identifier: MIT */
/*
 * The destination of a migration, fed by somebody hostile. The first byte says
 * which audit a good source would agree on, how checksums are made (with the
 * CPU's instruction, so that there are many runs, or in the way whose every
 * read the sanitizer sees), and whether what follows is the raw stream, or a
 * list of records: type, two bytes of length, payload, which are sealed here,
 * or the fuzzer would hardly ever get past a CRC. Types with the top bit set
 * stand for whole records of a good source, so that every phase is reached.
 *
 * Whatever comes: the guest is let run only after a COMMIT of this session,
 * nothing outside the VM is written (the sanitizers), and every refusal has
 * one reason.
 */
#include "lib/crc32c.h"
#include "migrate/pages.h"
#include "migrate/receiver.h"
#include "mm/frame_alloc.h"
#include "tests/fuzz/fuzz.h"

#define VM_BYTES    (264 * KIB) /* two groups of the audit, one not full */
#define STATE_BYTES 64
#define SESSION     0x5e5510UL
#define GOOD        0x80

static struct receiver receiver;
static struct guest_mem mem;
static bool mem_exists, ran, commit_was_sent;
static u64 offered; /* features */
static u8 rooms[4][WIRE_RECORD_BYTES];
static struct wire_outbox source = {.room = rooms[2]};

static const struct cpu_model cpu = {
    .vendor = "GenuineIntel",
    .physical_bits = 40,
};

static void make_memory(void)
{
	REQUIRE(guest_mem_create(&mem, gpa(VM_BYTES), "fuzz") == OK);
	REQUIRE(guest_mem_add(&mem, gpa(0), VM_BYTES) == OK);
	mem_exists = true;
}

/* As core does: a VM of that shape, if there is such a one. */
static void create(void)
{
	static struct vm_shape ours;

	make_memory();
	shape_take_memory(&ours, &mem);
	if (shape_is_of(&receiver.shape, &mem))
		receiver_created(&receiver, &mem);
	else
		receiver_refuse(&receiver, "no room for such a VM");
}

static void answer(void)
{
	for (;;) {
		struct receiver_request asked = receiver_step(&receiver, 0);

		switch (asked.wants) {
		case RECEIVER_WANTS_SEND:
			receiver_sent(&receiver, asked.byte_count);
			break;
		case RECEIVER_WANTS_CREATE:
			create();
			break;
		case RECEIVER_WANTS_LOAD:
			receiver_loaded(&receiver);
			break;
		case RECEIVER_WANTS_RUN:
			REQUIRE(commit_was_sent);
			ran = true;
			receiver_running(&receiver);
			break;
		case RECEIVER_WANTS_DESTROY:
			REQUIRE(!ran && receiver.why[0]);
			return;
		case RECEIVER_WANTS_BYTES:
		case RECEIVER_WANTS_NOTHING:
			return;
		}
	}
}

static void feed(const u8 *data, u64 bytes)
{
	while (bytes) {
		u64 taken = receiver_feed(&receiver, data, bytes, 0);

		answer();
		data += taken;
		bytes -= taken;
	}
}

/* --- What a good source would say ----------------------------------------- */

static void put_hello(struct wire_writer *writer)
{
	wire_put_u64(writer, WIRE_MAGIC);
	wire_put_u16(writer, WIRE_VERSION);
	wire_put_u16(writer, 0);
	wire_put_u32(writer, 0);
	wire_put_u64(writer, SESSION);
	wire_put_u64(writer, offered);
	wire_put_u64(writer, 0);
}

static void put_shape(struct wire_writer *writer)
{
	const struct vm_shape shape = {
	    .name = "fuzz",
	    .cpu_count = 1,
	    .cpu = cpu,
	    .slot_count = 1,
	    .slots = {{gpa(0), VM_BYTES, GUEST_RAM}},
	};

	shape_put(writer, &shape);
}

static void put_round(struct wire_writer *writer)
{
	wire_put_u32(writer, receiver.round);
	wire_put_u32(writer, receiver.phase == RECEIVER_LAST_ROUND);
	wire_put_u64(writer, receiver.in_round.raw);
	wire_put_u64(writer, receiver.in_round.zero);
}

static void put_state(struct wire_writer *writer)
{
	static const u8 state[STATE_BYTES];

	wire_put_u32(writer, 0);
	wire_put_u32(writer, STATE_BYTES);
	wire_put_bytes(writer, state, STATE_BYTES);
}

static void put_audit(struct wire_writer *writer)
{
	u64 group = receiver.next_group;

	wire_put_u64(writer, group);
	for (u32 i = 0; i < 4 && mem_exists && group != AUDIT_NO_GROUP; i++) {
		wire_put_u32(writer,
			     audit_group_hash(&mem, group, AUDIT_ALL_PAGES));
		group = audit_next_group(&mem, group + 1);
	}
}

static void put_audit_sent(struct wire_writer *writer)
{
	u64 group = receiver.next_group;
	u64 count = mem_exists ? audit_known_pages(&mem, group) & 0xff0f : 0;

	wire_put_u64(writer, group);
	wire_put_u64(writer, count);
	wire_put_u32(writer, count ? audit_group_hash(&mem, group, count) : 0);
}

static void put_seal(struct wire_writer *writer)
{
	wire_put_u64(writer, SESSION);
	wire_put_u32(writer, receiver.state_bytes);
	wire_put_u32(writer, crc32c(0, rooms[3], receiver.state_bytes));
	wire_put_u32(writer, !receiver.group_count            ? AUDIT_OFF
			     : offered == WIRE_FEATURES_KNOWN ? AUDIT_SENT
							      : AUDIT_FULL);
	wire_put_u32(writer, receiver.root);
	wire_put_u64(writer, receiver.group_count);
}

static void put_good(struct wire_writer *writer, u32 type)
{
	if (type == WIRE_HELLO)
		put_hello(writer);
	else if (type == WIRE_VM)
		put_shape(writer);
	else if (type == WIRE_ROUND)
		put_round(writer);
	else if (type == WIRE_STATE)
		put_state(writer);
	else if (type == WIRE_AUDIT)
		put_audit(writer);
	else if (type == WIRE_AUDIT_SENT)
		put_audit_sent(writer);
	else if (type == WIRE_SEAL)
		put_seal(writer);
	else
		wire_put_u64(writer, SESSION);
}

/* As far as there is room. */
static void lend(struct wire_writer *writer, u32 pages)
{
	static u8 page[PAGE_4K] = {1};

	for (; pages && writer->room - writer->filled >= PAGE_4K; pages--)
		wire_lend_page(writer, page);
}

/* One record of the list; returns how much of the input it took. */
static size_t send_record(const uint8_t *data, size_t size)
{
	struct wire_writer writer = wire_begin(&source);
	u32 type = data[0] & ~GOOD & 0xff;
	u32 bytes = data[1] | (u32)data[2] << 8;

	bytes = bytes < size - 3 ? bytes : (u32)size - 3;
	bytes = bytes < writer.room ? bytes : writer.room;
	if (data[0] & GOOD) {
		put_good(&writer, type);
		bytes = 0;
	} else {
		wire_put_bytes(&writer, data + 3, bytes);
	}
	if (type == WIRE_COMMIT)
		commit_was_sent = true;
	if (type == WIRE_LIVE)
		lend(&writer, data[1] >> 6);
	wire_seal(&source, (enum wire_type)type, &writer);
	while (!wire_outbox_is_empty(&source)) {
		struct wire_piece piece = wire_next_piece(&source);

		source.sent += piece.bytes;
		feed(piece.at, piece.bytes);
	}
	return 3 + bytes;
}

static void choose_crc(enum crc32c_way way)
{
	static enum crc32c_way chosen = CRC32C_TABLE;

	if (way != CRC32C_TABLE && !__builtin_cpu_supports("sse4.2"))
		return;
	if (way != chosen)
		crc32c_choose(way);
	chosen = way;
}

static void begin(void)
{
	static const struct receiver_config config = {
	    .cpu = &cpu,
	    .silence_ns = 1,
	    .in = rooms[0],
	    .out = rooms[1],
	    .state = rooms[3],
	    .state_room = STATE_BYTES,
	};

	frame_alloc_init();
	REQUIRE(frame_alloc_add(hpa(0), 4 * MIB) == OK);
	mem_exists = ran = commit_was_sent = false;
	source.sequence = source.filled = source.sent = 0;
	receiver_begin(&receiver, &config, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	begin();
	choose_crc(data[0] & 4 ? CRC32C_TABLE : CRC32C_INSTRUCTION);
	offered = data[0] & 2 ? WIRE_FEATURES_KNOWN : WIRE_FEATURES_PAGES;
	if (data[0] & 1) {
		commit_was_sent = true; /* may be in there */
		feed(data + 1, size - 1);
	} else {
		for (data++, size--; size >= 3;) {
			size_t taken = send_record(data, size);

			data += taken;
			size -= taken;
		}
	}
	receiver_link_lost(&receiver, "the input is over");
	answer();
	REQUIRE(ran == receiver_is_owner(&receiver));
	if (mem_exists)
		guest_mem_destroy(&mem);
	return 0;
}
