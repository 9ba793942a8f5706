/* SPDX-License-Identifier: MIT */
/*
 * Hostile EPT12: any entries at any place of some pages of L1's, accesses of
 * L2's, INVEPT and tracking, in any order. The shadow never grants more than
 * EPT01, never uses more tables than its limit, and keeps its chains.
 */
#include <stdio.h>
#include <string.h>

#define W_RAM        (2 * 1024UL * 1024)
#define W_FRAMES_MAX (8 * 1024UL * 1024)

#include "tests/fuzz/fuzz.h"
#include "tests/unit/shadow_world.h"

#define TABLES 6

static struct world w;
static u64 tables[TABLES];
static enum shadow_way way;

struct action {
	u8 kind, table, index, rights;
	u64 value;
};

static const u64 indexes[] = {0, 1, 2, 510, 511};

static void begin(u8 options)
{
	const struct shadow_config config = {
	    .table_limit = options & 2 ? 9 : 0,
	};

	way = options & 8 ? SHADOW_BY_D : SHADOW_BY_W;
	w_begin_with(&w, config);
	l1_new_ept(&w, options & 1 ? EPT12_POINTER_AD : 0);
	if (options & 4)
		l1_log(&w, 0x3000, 3);
	if (options & 16)
		w.log.entries = NULL;
	tables[0] = w.pointer & EPT12_POINTER_TABLE;
	for (u32 i = 1; i < TABLES; i++)
		tables[i] = l1_new_table(&w);
}

static void toggle_tracking(void)
{
	if (w.shadow.tracking) {
		track_stop(&w.track);
		shadow_track_stop(&w.shadow);
	} else if (track_start(&w.track, TRACK_WP) == OK) {
		shadow_track_start(&w.shadow, way);
	}
}

static void edit(const struct action *a)
{
	u64 slot = tables[a->table % TABLES] +
		   8 * indexes[a->index % ARRAY_COUNT(indexes)];
	u64 entry = a->value;

	/* Mostly something that leads somewhere. */
	if (a->rights & 8)
		entry = tables[a->value % TABLES] | (a->rights & EPT_RWX) |
			((u64)a->rights & 0xc0) << 2;
	l1_store(&w, slot, entry);
}

static void act(const struct action *a)
{
	switch (a->kind % 8) {
	case 0:
	case 1:
	case 2:
		edit(a);
		break;
	case 3:
		l1_invept(&w);
		break;
	case 4:
		toggle_tracking();
		break;
	default:
		l2_access(&w, a->value,
			  (a->rights & EPT12_ACCESS) | EPT12_LINEAR_VALID |
			      (a->rights & 8 ? EPT12_TRANSLATED : 0));
		break;
	}
	REQUIRE(w.shadow.table_count <= w.shadow.table_limit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct action a;

	if (size < 1 || size > 200 * sizeof(a))
		return 0;
	begin(data[0]);
	data++;
	size--;
	for (; size >= sizeof(a); data += sizeof(a), size -= sizeof(a)) {
		memcpy(&a, data, sizeof(a));
		act(&a);
	}
	check_world(&w);
	w_end(&w);
	return 0;
}
