/* SPDX-License-Identifier: MIT */
/*
 * The source of a migration with a hostile peer. The input is a list of what
 * happens: bytes of the raw stream, sealed records of any type and content,
 * good answers, time that passes, a cancel, a lost link; between two of them
 * the source does whatever it wants to.
 *
 * Whatever comes: once COMMIT is built the guest never runs here again, and
 * until then it always can.
 */
#include "migrate/source.h"
#include "mm/frame_alloc.h"
#include "tests/fuzz/fuzz.h"

#define VM_BYTES (512 * KIB)
#define SESSION  0x5e5510UL

static struct source source;
static struct guest_mem mem;
static struct vm_shape shape;
static struct dirty_word words[2];
static u8 rooms[3][WIRE_RECORD_BYTES];
static struct wire_outbox peer = {.room = rooms[2]};
static u64 now_ns;
static bool runs, committed;

static void work(void)
{
	static const u8 state[100] = {1};

	for (u32 i = 0; i < 100; i++) {
		struct source_request asked = source_step(&source, now_ns);

		committed |= !source_is_owner(&source);
		REQUIRE(!(committed && runs));
		if (asked.wants == SOURCE_WANTS_SEND) {
			source_sent(&source, asked.byte_count);
		} else if (asked.wants == SOURCE_WANTS_HARVEST) {
			source_harvested(&source,
					 dirty_log_take(&mem.log, asked.from,
							asked.to, asked.batch));
		} else if (asked.wants == SOURCE_WANTS_PAUSE) {
			runs = false;
			source_paused(&source, state, sizeof(state));
		} else if (asked.wants == SOURCE_WANTS_RESUME) {
			REQUIRE(!committed);
			runs = true;
			source_resumed(&source);
		} else {
			return;
		}
	}
}

static void feed_sealed(enum wire_type type, const struct wire_writer *writer)
{
	wire_seal(&peer, type, writer);
	peer.sent = peer.filled;
	source_feed(&source, peer.room, peer.filled, now_ns);
}

/* What a good peer would say to what the source has said. */
static void feed_good(void)
{
	static const enum wire_type due[SOURCE_PHASES] = {
	    [SOURCE_WELCOME] = WIRE_WELCOME, [SOURCE_ACCEPT] = WIRE_ACCEPT,
	    [SOURCE_SEEN] = WIRE_ROUND_SEEN, [SOURCE_PREPARED] = WIRE_PREPARED,
	    [SOURCE_READY] = WIRE_READY,     [SOURCE_RUNNING] = WIRE_RUNNING,
	};
	enum wire_type type = due[source.phase];
	struct wire_writer writer = wire_begin(&peer);

	if (!type)
		return;
	if (type == WIRE_WELCOME) {
		wire_put_u64(&writer, WIRE_MAGIC);
		wire_put_u64(&writer, WIRE_VERSION);
	}
	wire_put_u64(&writer, type == WIRE_ROUND_SEEN ? source.round : SESSION);
	if (type == WIRE_WELCOME)
		wire_put_u64(&writer, source.config.audit == AUDIT_SENT
					  ? WIRE_FEATURE_AUDIT_SENT |
						source.config.features
					  : 0);
	if (type == WIRE_READY) {
		wire_put_u32(&writer, source.state_crc);
		wire_put_u32(&writer, source.root);
	}
	feed_sealed(type, &writer);
}

static void feed_record(const uint8_t *data, u32 bytes)
{
	struct wire_writer writer = wire_begin(&peer);

	if (!bytes)
		return;
	wire_put_bytes(&writer, data + 1, bytes - 1);
	feed_sealed((enum wire_type)data[0], &writer);
}

/* One thing happens; returns how much of the input it took. */
static size_t happen(const uint8_t *data, size_t size)
{
	u32 bytes = data[1] < size - 2 ? data[1] : (u32)size - 2;
	bool was_owner = source_is_owner(&source);

	switch (data[0] % 7) {
	case 0:
		source_feed(&source, data + 2, bytes, now_ns);
		return 2 + bytes;
	case 1:
		feed_record(data + 2, bytes);
		return 2 + bytes;
	case 2:
		now_ns += (u64)data[1] << 20;
		break;
	case 3:
		REQUIRE((source_cancel(&source, "fuzz") == OK) == was_owner);
		break;
	case 4:
		source_link_lost(&source, "fuzz");
		break;
	default:
		feed_good();
		break;
	}
	return 2;
}

static void begin(enum audit_mode audit, u64 features)
{
	static u64 audited[VM_BYTES / AUDIT_GROUP_BYTES];
	struct source_config config = {
	    .mem = &mem,
	    .shape = &shape,
	    .session = SESSION,
	    .downtime_ns = 1000000,
	    .silence_ns = 1000000000,
	    .rounds_max = 3,
	    .stuck = SOURCE_STUCK_SWITCH,
	    .audit = audit,
	    .audited = audited,
	    .features = features,
	    .in = rooms[0],
	    .out = rooms[1],
	    .words = words,
	    .word_count = ARRAY_COUNT(words),
	};

	frame_alloc_init();
	REQUIRE(frame_alloc_add(hpa(0), 4 * MIB) == OK);
	REQUIRE(guest_mem_create(&mem, gpa(VM_BYTES), "fuzz") == OK);
	REQUIRE(guest_mem_add(&mem, gpa(0), VM_BYTES) == OK);
	REQUIRE(guest_mem_write_u8(&mem, gpa(3 * PAGE_4K), 1) == OK);
	shape = (struct vm_shape){.cpu_count = 1};
	shape_take_memory(&shape, &mem);
	peer.sequence = peer.filled = peer.sent = 0;
	now_ns = 0;
	runs = true;
	committed = false;
	source_begin(&source, &config, now_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	u32 choice = size ? data[size - 1] : AUDIT_FULL;

	begin((enum audit_mode)(choice % 3),
	      choice & 0x80 ? WIRE_FEATURE_LIVE : 0);
	work();
	while (size >= 2) {
		size_t taken = happen(data, size);

		work();
		data += taken;
		size -= taken;
	}
	source_link_lost(&source, "the input is over");
	work();
	/* Moved or unconfirmed: stopped. Everything else: it runs. */
	REQUIRE(runs == (source.phase == SOURCE_FAILED));
	REQUIRE(runs == !committed);
	guest_mem_destroy(&mem);
	return 0;
}
