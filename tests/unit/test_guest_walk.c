/* SPDX-License-Identifier: MIT */
/*
 * mm/guest_walk.c: every kind of paging and page size; every combination of
 * rights against the manual's rules, written down here once more as rules per
 * access and not as a walk; flags, reserved bits, error codes, tables that
 * are nowhere or change under the walk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mm/frame_alloc.h"
#include "mm/guest_walk.h"
#include "mm/phys.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/support.h"

#define MEMORY  (4 * MIB)
#define ROM     (6 * MIB)
#define NOWHERE (16 * MIB)

/* Tables of every level, and a frame for what is mapped. */
#define PML4    0x10000ull
#define PDPT    0x11000ull
#define PD      0x12000ull
#define PT      0x13000ull
#define FRAME   0x20000ull

#define CR0_PG  BIT(31)
#define CR0_WP  BIT(16)
#define CR4_PSE BIT(4)
#define CR4_PAE BIT(5)
#define SMEP    BIT(20)
#define SMAP    BIT(21)
#define LMA     BIT(10)
#define NXE     BIT(11)
#define AC      BIT(18)

#define P       BIT(0)
#define W       BIT(1)
#define U       BIT(2)
#define A       BIT(5)
#define D       BIT(6)
#define PS      BIT(7)
#define NX      BIT(63)

static struct guest_mem mem;
static struct guest_paging paging;
static struct guest_page page;

static int set_up(void **state)
{
	(void)state;
	frame_alloc_init();
	assert_int_equal(frame_alloc_add(hpa(0), 64 * MIB), OK);
	assert_int_equal(guest_mem_create(&mem, gpa(NOWHERE), "test"), OK);
	assert_int_equal(guest_mem_add(&mem, gpa(0), MEMORY), OK);
	assert_int_equal(guest_mem_add(&mem, gpa(ROM), PAGE_2M), OK);
	assert_int_equal(guest_mem_make_rom(&mem, gpa(ROM)), OK);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	guest_mem_destroy(&mem);
	return 0;
}

static void put(u64 table, u64 index, u64 entry)
{
	assert_int_equal(
	    guest_mem_write_u64(&mem, gpa(table + index * 8), entry), OK);
}

static u64 get(u64 table, u64 index)
{
	u64 entry;

	assert_int_equal(
	    guest_mem_read_u64(&mem, gpa(table + index * 8), &entry), OK);
	return entry;
}

static void put32(u64 table, u64 index, u32 entry)
{
	assert_int_equal(
	    guest_mem_write_u32(&mem, gpa(table + index * 4), entry), OK);
}

static u32 get32(u64 table, u64 index)
{
	u32 entry;

	assert_int_equal(
	    guest_mem_read_u32(&mem, gpa(table + index * 4), &entry), OK);
	return entry;
}

/* Linear 0 and up: one chain of tables, everything allowed. */
static void start_4_level(void)
{
	paging = (struct guest_paging){
	    .cr0 = CR0_PG | CR0_WP | 1,
	    .cr3 = PML4 | 0x18, /* PCD, PWT: no part of the address */
	    .cr4 = CR4_PAE,
	    .efer = LMA | NXE,
	    .phys_bits = 40,
	    .has_1g_pages = true,
	};
	for (u64 table = PML4; table <= PT; table += PAGE_4K)
		assert_int_equal(guest_mem_zero(&mem, gpa(table), PAGE_4K), OK);
	put(PML4, 0, PDPT | P | W | U);
	put(PDPT, 0, PD | P | W | U);
	put(PD, 0, PT | P | W | U);
	put(PT, 0, FRAME | P | W | U);
}

static void start_pae(void)
{
	start_4_level();
	paging.efer = NXE;
	paging.cr3 = 0xdead; /* not used: the pointers are in registers */
	paging.pdptes[0] = PD | P;
}

static void start_32(void)
{
	start_4_level();
	paging.efer = 0;
	paging.cr4 = CR4_PSE;
	paging.cr3 = PD;
	assert_int_equal(guest_mem_zero(&mem, gpa(PD), 2 * PAGE_4K), OK);
	put32(PD, 0, PT | P | W | U);
	put32(PT, 0, FRAME | P | W | U);
}

static enum err walk(u64 linear, enum guest_access access)
{
	return guest_walk(&mem, &paging, gva(linear), access, &page);
}

static void expect_page(u64 linear, u64 physical, u64 bytes)
{
	assert_int_equal(walk(linear, GUEST_READ), OK);
	assert_int_equal(gpa_raw(page.address), physical);
	assert_int_equal(page.page_bytes, bytes);
}

static void expect_fault(u64 linear, enum guest_access access, u64 error_code)
{
	assert_int_equal(walk(linear, access), ERR_RANGE);
	assert_int_equal(page.error_code, error_code);
}

/* --- Translation ---------------------------------------------------------- */

static void without_paging_linear_is_physical(void **state)
{
	(void)state;
	start_4_level();
	paging.cr0 = 1;
	expect_page(0xfee00020, 0xfee00020, PAGE_4K);
}

static void four_levels_translate_every_index(void **state)
{
	const u64 linear = 0xffffa5a5a5a5a5a5;
	const u64 indices[] = {linear >> 39 & 511, linear >> 30 & 511,
			       linear >> 21 & 511, linear >> 12 & 511};

	(void)state;
	start_4_level();
	put(PML4, indices[0], PDPT | P);
	put(PDPT, indices[1], PD | P);
	put(PD, indices[2], PT | P);
	put(PT, indices[3], 0x7f12345000 | P); /* need not be memory */
	expect_page(linear, 0x7f123455a5, PAGE_4K);
}

static void large_pages_end_the_walk(void **state)
{
	(void)state;
	start_4_level();
	put(PD, 1, 0xc0200000 | BIT(12) | PS | P); /* bit 12 is PAT */
	expect_page(0x3fffff, 0xc03fffff, PAGE_2M);
	put(PDPT, 1, 0x140000000 | PS | P);
	expect_page(0x7fffffff, 0x17fffffff, PAGE_1G);
}

static void pae_starts_at_the_registers(void **state)
{
	(void)state;
	start_pae();
	paging.pdptes[3] = PD | P;
	put(PD, 511, PT | P);
	put(PT, 511, FRAME | P);
	expect_page(0xfffffabc, FRAME + 0xabc, PAGE_4K);
	put(PD, 511, 0x200000 | PS | P);
	expect_page(0xfffffabc, 0x3ffabc, PAGE_2M);
	expect_fault(0x40000000, GUEST_WRITE, PF_WRITE); /* pointer absent */
}

static void two_levels_of_1024_entries(void **state)
{
	(void)state;
	start_32();
	put32(PD, 1023, PT | P);
	put32(PT, 1023, 0xabcde000 | P);
	expect_page(0xffffffff, 0xabcdefff, PAGE_4K);
	/* PSE-36: physical bits 39:32 stand at 20:13. */
	put32(PD, 512, 0x80400000 | 0xa5 << 13 | PS | P);
	expect_page(0x80123456, 0xa580523456, 4 * MIB);
	/* Without CR4.PSE the same entry names a table. */
	paging.cr4 = 0;
	assert_int_equal(walk(0x80123456, GUEST_READ), ERR_NOT_FOUND);
}

/* --- Rights --------------------------------------------------------------- */

struct rights {
	bool writable, user, executable;
};

/* The manual's rules, by access. */
static bool allowed(const struct rights *r, enum guest_access access)
{
	bool system =
	    access == GUEST_SYSTEM_READ || access == GUEST_SYSTEM_WRITE;
	bool supervisor = paging.cpl < 3 || system;
	bool smap_on = (paging.cr4 & SMAP) && (system || !(paging.rflags & AC));

	switch (access) {
	case GUEST_LOOK:
		return true;
	case GUEST_FETCH:
		if (supervisor)
			return r->executable &&
			       !(r->user && (paging.cr4 & SMEP));
		return r->user && r->executable;
	case GUEST_READ:
	case GUEST_SYSTEM_READ:
		return supervisor ? !(r->user && smap_on) : r->user;
	case GUEST_WRITE:
	case GUEST_SYSTEM_WRITE:
		if (supervisor)
			return !(r->user && smap_on) &&
			       (r->writable || !(paging.cr0 & CR0_WP));
		return r->user && r->writable;
	}
	return false;
}

static u64 expected_error(enum guest_access access, bool has_nx)
{
	bool system =
	    access == GUEST_SYSTEM_READ || access == GUEST_SYSTEM_WRITE;
	u64 error = PF_PRESENT;

	if (access == GUEST_WRITE || access == GUEST_SYSTEM_WRITE)
		error |= PF_WRITE;
	if (paging.cpl == 3 && !system)
		error |= PF_USER;
	if (access == GUEST_FETCH && (has_nx || (paging.cr4 & SMEP)))
		error |= PF_FETCH;
	return error;
}

static void check_all_accesses(const struct rights *rights, bool has_nx)
{
	for (enum guest_access access = GUEST_LOOK;
	     access <= GUEST_SYSTEM_WRITE; access++) {
		if (allowed(rights, access))
			assert_int_equal(walk(0, access), OK);
		else
			expect_fault(0, access, expected_error(access, has_nx));
	}
}

/* All registers that rights depend on, in all combinations. */
static void check_all_modes(const struct rights *rights, bool has_nx)
{
	for (u32 mode = 0; mode < 32; mode++) {
		u64 cr4 = paging.cr4 & ~(SMEP | SMAP);

		paging.cpl = mode & 1 ? 3 : 0;
		paging.cr0 = CR0_PG | 1 | (mode & 2 ? CR0_WP : 0);
		paging.cr4 =
		    cr4 | (mode & 4 ? SMEP : 0) | (mode & 8 ? SMAP : 0);
		paging.rflags = mode & 16 ? AC : 0;
		check_all_accesses(rights, has_nx);
	}
}

/* Each right is taken away at one level in turn, or nowhere. */
static void rights_of_all_levels_combine(void **state)
{
	static const u64 tables[] = {PML4, PDPT, PD, PT, 0};

	(void)state;
	for (u32 choice = 0; choice < 125; choice++) {
		u64 no_w = tables[choice % 5];
		u64 no_u = tables[choice / 5 % 5];
		u64 no_x = tables[choice / 25];
		struct rights rights = {!no_w, !no_u, !no_x};

		start_4_level();
		if (no_w)
			put(no_w, 0, get(no_w, 0) & ~W);
		if (no_u)
			put(no_u, 0, get(no_u, 0) & ~U);
		if (no_x)
			put(no_x, 0, get(no_x, 0) | NX);
		check_all_modes(&rights, true);
	}
}

static void rights_in_32_bit_paging_have_no_nx(void **state)
{
	(void)state;
	for (u32 choice = 0; choice < 16; choice++) {
		struct rights rights = {(choice & 3) == 3, (choice & 12) == 12,
					true};

		start_32();
		put32(PD, 0,
		      PT | P | (choice & 1 ? W : 0) | (choice & 4 ? U : 0));
		put32(PT, 0,
		      FRAME | P | (choice & 2 ? W : 0) | (choice & 8 ? U : 0));
		check_all_modes(&rights, false);
	}
}

static void looking_ignores_rights_but_not_holes(void **state)
{
	(void)state;
	start_4_level();
	put(PT, 0, FRAME | P | NX);
	assert_int_equal(walk(0, GUEST_LOOK), OK);
	put(PT, 0, FRAME);
	expect_fault(0, GUEST_LOOK, 0);
}

/* --- Flags ---------------------------------------------------------------- */

static void flags_are_set_as_the_cpu_would(void **state)
{
	(void)state;
	start_4_level();
	assert_int_equal(walk(0, GUEST_LOOK), OK);
	assert_int_equal(get(PML4, 0) & (A | D), 0);
	assert_int_equal(walk(0, GUEST_READ), OK);
	assert_int_equal(get(PML4, 0), PDPT | P | W | U | A);
	assert_int_equal(get(PDPT, 0), PD | P | W | U | A);
	assert_int_equal(get(PD, 0), PT | P | W | U | A);
	assert_int_equal(get(PT, 0), FRAME | P | W | U | A);
	assert_int_equal(walk(0, GUEST_WRITE), OK);
	assert_int_equal(get(PD, 0) & D, 0);
	assert_int_equal(get(PT, 0), FRAME | P | W | U | A | D);
}

static void flags_of_32_bit_entries_leave_the_neighbour_alone(void **state)
{
	(void)state;
	start_32();
	put32(PT, 1, 0xffffffff & ~(A | D));
	assert_int_equal(walk(0, GUEST_WRITE), OK);
	assert_int_equal(get32(PT, 0), FRAME | P | W | U | A | D);
	assert_int_equal(get32(PT, 1), 0xffffffff & ~(A | D));
}

static void refused_access_sets_no_dirty_flag(void **state)
{
	(void)state;
	start_4_level();
	put(PT, 0, FRAME | P);
	expect_fault(0, GUEST_WRITE, PF_PRESENT | PF_WRITE);
	assert_int_equal(get(PT, 0), FRAME | P);
}

/* Flags are set through guest_mem, so that the dirty log knows. */
static void setting_flags_marks_the_tables(void **state)
{
	static struct dirty_word words[NOWHERE / PAGE_4K / 64];
	struct dirty_batch batch = {words, ARRAY_COUNT(words), 0};

	(void)state;
	start_4_level();
	dirty_log_take(&mem.log, gpa(0), dirty_log_end(&mem.log), &batch);
	batch.count = 0;
	assert_int_equal(walk(0, GUEST_READ), OK);
	dirty_log_take(&mem.log, gpa(0), dirty_log_end(&mem.log), &batch);
	assert_int_equal(batch.count, 1);
	assert_int_equal(batch.words[0].bits, BITS(PT >> 12, PML4 >> 12));
}

/* --- Reserved bits -------------------------------------------------------- */

static void reserved_bits_fault_at_every_level(void **state)
{
	static const struct {
		u64 table, bits;
	} cases[] = {
	    {PML4, PS},         {PML4, BIT(40)},      {PDPT, BIT(51)},
	    {PD, BIT(45)},      {PT, BIT(40)},        {PD, PS | BIT(13)},
	    {PD, PS | BIT(20)}, {PDPT, PS | BIT(29)},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
		u64 entry;

		start_4_level();
		entry = get(cases[i].table, 0);
		if (cases[i].bits & PS) /* else its frame bits interfere */
			entry = P | W | U;
		put(cases[i].table, 0, entry | cases[i].bits);
		expect_fault(0, GUEST_WRITE,
			     PF_PRESENT | PF_WRITE | PF_RESERVED);
	}
	/* Bits 62:52 and 11:9 are the guest's own in 4-level paging... */
	start_4_level();
	put(PT, 0, FRAME | P | BITS(62, 52) | BITS(11, 9));
	assert_int_equal(walk(0, GUEST_READ), OK);
	/* ... but not in PAE paging. */
	start_pae();
	put(PT, 0, FRAME | P | BIT(52));
	expect_fault(0, GUEST_READ, PF_PRESENT | PF_RESERVED);
}

static void features_that_are_off_make_bits_reserved(void **state)
{
	(void)state;
	start_4_level();
	put(PT, 0, FRAME | P | NX);
	paging.efer = LMA;
	expect_fault(0, GUEST_FETCH, PF_PRESENT | PF_RESERVED);

	start_4_level();
	put(PDPT, 0, P | PS);
	paging.has_1g_pages = false;
	expect_fault(0, GUEST_READ, PF_PRESENT | PF_RESERVED);

	start_32();
	paging.phys_bits = 36;
	put32(PD, 0, PS | P | BIT(16));
	assert_int_equal(walk(0, GUEST_READ), OK);
	put32(PD, 0, PS | P | BIT(17));
	expect_fault(0, GUEST_READ, PF_PRESENT | PF_RESERVED);
	put32(PD, 0, PS | P | BIT(21));
	paging.phys_bits = 52;
	expect_fault(0, GUEST_READ, PF_PRESENT | PF_RESERVED);
}

/* --- Tables in bad places ------------------------------------------------- */

static void tables_without_memory_are_said_to_be(void **state)
{
	(void)state;
	start_4_level();
	put(PD, 0, NOWHERE | P);
	assert_int_equal(walk(0, GUEST_READ), ERR_NOT_FOUND);
	start_4_level();
	paging.cr3 = BITS(51, 12);
	assert_int_equal(walk(0, GUEST_READ), ERR_NOT_FOUND);
	start_pae();
	paging.pdptes[0] = BITS(51, 12) | P;
	assert_int_equal(walk(0, GUEST_READ), ERR_NOT_FOUND);
}

static void flags_cannot_be_set_in_rom(void **state)
{
	u64 entry = FRAME | P;

	(void)state;
	start_4_level();
	put(PD, 0, ROM | P | A);
	assert_int_equal(guest_mem_load(&mem, gpa(ROM), &entry, sizeof(entry)),
			 OK);
	assert_int_equal(walk(0, GUEST_LOOK), OK);
	assert_int_equal(walk(0, GUEST_READ), ERR_NOT_FOUND);
	entry |= A; /* nothing to be set */
	assert_int_equal(guest_mem_load(&mem, gpa(ROM), &entry, sizeof(entry)),
			 OK);
	assert_int_equal(walk(0, GUEST_READ), OK);
}

/* A table that names itself: every index leads back to it. */
/* --- Translation below ---------------------------------------------------- */

/* What was asked, in order: everything lies BELOW further up. */
#define BELOW 0x100000ull

struct question {
	u64 physical;
	enum guest_access access;
	enum guest_target target;
};

static struct question questions[16];
static u32 question_count, refused_question;

static enum err ask_below(void *context, u64 physical, enum guest_access access,
			  enum guest_target target, gpa_t *address)
{
	assert_ptr_equal(context, &questions);
	if (question_count == refused_question)
		return ERR_STATE;
	questions[question_count++] =
	    (struct question){physical, access, target};
	*address = gpa(physical + BELOW);
	return OK;
}

static enum err walk_below(u64 linear, enum guest_access access)
{
	const struct guest_below asker = {ask_below, &questions};
	enum err err;

	question_count = 0;
	paging.below = &asker;
	err = guest_walk(&mem, &paging, gva(linear), access, &page);
	paging.below = NULL;
	return err;
}

static void move_tables_below(void)
{
	static const u64 tables[] = {PML4, PDPT, PD, PT};
	u8 bytes[PAGE_4K];

	for (u32 i = 0; i < ARRAY_COUNT(tables); i++) {
		assert_int_equal(
		    guest_mem_read(&mem, gpa(tables[i]), bytes, PAGE_4K), OK);
		assert_int_equal(guest_mem_write(&mem, gpa(tables[i] + BELOW),
						 bytes, PAGE_4K),
				 OK);
		memset(bytes, 0xee, PAGE_4K);
		assert_int_equal(
		    guest_mem_write(&mem, gpa(tables[i]), bytes, PAGE_4K), OK);
	}
}

static void tables_of_a_guests_guest_are_translated(void **state)
{
	static const u64 tables[] = {PML4, PDPT, PD, PT};

	(void)state;
	refused_question = ~0u;
	start_4_level();
	move_tables_below();
	assert_int_equal(walk_below(0x123, GUEST_READ), OK);
	assert_int_equal(gpa_raw(page.address), FRAME + BELOW + 0x123);
	assert_int_equal(page.page_bytes, PAGE_4K);
	for (u32 i = 0; i < 4; i++) {
		assert_int_equal(questions[i].physical, tables[i]);
		assert_int_equal(questions[i].access, GUEST_READ);
		assert_int_equal(questions[i].target, GUEST_TABLE_ENTRY);
	}
	/* Setting the accessed flags asks again, as a write. */
	for (u32 i = 4; i < 8; i++)
		assert_int_equal(questions[i].access, GUEST_WRITE);
	assert_int_equal(question_count, 9);
	assert_int_equal(questions[8].physical, FRAME + 0x123);
	assert_int_equal(questions[8].target, GUEST_PAGE);
	/* Now they are set. */
	assert_int_equal(walk_below(0x123, GUEST_FETCH), OK);
	assert_int_equal(question_count, 5);
	assert_int_equal(questions[4].access, GUEST_FETCH);
}

/* At any of the questions: four entries, their four flags, the page. */
static void what_is_refused_below_ends_the_walk(void **state)
{
	(void)state;
	for (u32 i = 0; i <= 8; i++) {
		start_4_level();
		move_tables_below();
		refused_question = i;
		assert_int_equal(walk_below(0, GUEST_READ), ERR_STATE);
		assert_int_equal(question_count, i);
	}
}

static void without_paging_the_page_is_translated(void **state)
{
	(void)state;
	refused_question = ~0u;
	paging = (struct guest_paging){.phys_bits = 40};
	assert_int_equal(walk_below(0x5678, GUEST_WRITE), OK);
	assert_int_equal(gpa_raw(page.address), 0x5678 + BELOW);
	assert_int_equal(questions[0].target, GUEST_PAGE);
	assert_int_equal(questions[0].access, GUEST_WRITE);
}

static void recursive_tables_end(void **state)
{
	(void)state;
	start_4_level();
	put(PML4, 0, PML4 | P | W);
	assert_int_equal(walk(0, GUEST_WRITE), OK);
	assert_int_equal(gpa_raw(page.address), PML4);
	assert_int_equal(get(PML4, 0), PML4 | P | W | A | D);
}

/* --- Paths ---------------------------------------------------------------- */

static struct guest_paths paths;

static void path_is_taken_without_a_walk(void **state)
{
	(void)state;
	start_4_level();
	memset(&paths, 0, sizeof(paths));
	paging.paths = &paths;
	expect_page(0x123, FRAME + 0x123, PAGE_4K);
	paths.of[0][0].page = gpa(FRAME + PAGE_4K);
	expect_page(0x456, FRAME + PAGE_4K + 0x456, PAGE_4K);
	/* A write and a fetch have their own. */
	assert_int_equal(walk(0, GUEST_FETCH), OK);
	assert_int_equal(gpa_raw(page.address), FRAME);
	assert_int_equal(get(PT, 0), FRAME | P | W | U | A);
	assert_int_equal(walk(0, GUEST_WRITE), OK);
	assert_int_equal(get(PT, 0), FRAME | P | W | U | A | D);
	expect_page(0x123, FRAME + 0x123, PAGE_4K);
}

/* What was looked at by a debugger says nothing of rights. */
static void looking_keeps_no_path(void **state)
{
	(void)state;
	start_4_level();
	put(PT, 0, FRAME | P);
	memset(&paths, 0, sizeof(paths));
	paging.paths = &paths;
	paging.cpl = 3;
	assert_int_equal(walk(0, GUEST_LOOK), OK);
	expect_fault(0, GUEST_READ, PF_PRESENT | PF_USER);
}

#define PML4_OTHER 0x14000ull

static void change_something(struct random *random)
{
	static const u64 bits[] = {P, W, U, A, D, NX, PAGE_4K, PS};
	u64 bit = bits[random_below(random, ARRAY_COUNT(bits))];
	u64 table = PML4 + random_below(random, 5) * PAGE_4K;

	switch (random_below(random, 8)) {
	case 0:
		paging.cr0 ^= CR0_WP;
		break;
	case 1:
		paging.cr3 ^= PML4 ^ PML4_OTHER;
		break;
	case 2:
		paging.cr4 ^= random_below(random, 2) ? SMEP : SMAP;
		break;
	case 3:
		paging.cpl ^= 3;
		break;
	case 4:
		paging.rflags ^= AC;
		break;
	case 5:
		paging.efer ^= NXE;
		break;
	default:
		put(table, table == PT ? random_below(random, 6) : 0,
		    get(table, 0) ^ bit);
	}
}

/* Nothing that one by the tables alone would still write, or find otherwise. */
static void walk_twice(u64 linear, enum guest_access access)
{
	struct guest_page found = {0};
	u8 before[5 * PAGE_4K], after[5 * PAGE_4K];
	enum err err;

	paging.paths = &paths;
	page = found;
	err = walk(linear, access);
	found = page;
	paging.paths = NULL;
	assert_int_equal(
	    guest_mem_read(&mem, gpa(PML4), before, sizeof(before)), OK);
	assert_int_equal(walk(linear, access), err);
	assert_int_equal(guest_mem_read(&mem, gpa(PML4), after, sizeof(after)),
			 OK);
	assert_memory_equal(before, after, sizeof(before));
	if (err == OK)
		assert_int_equal(gpa_raw(page.address), gpa_raw(found.address));
	else if (err == ERR_RANGE)
		assert_int_equal(page.error_code, found.error_code);
}

static void walk_by_paths(u64 seed)
{
	struct random random = random_from(seed);
	u32 found_count = 0;

	start_4_level();
	memset(&paths, 0, sizeof(paths));
	put(PML4_OTHER, 0, PDPT | P | W | U);
	for (u64 i = 0; i < 6; i++)
		put(PT, i, (FRAME + i * PAGE_4K) | P | W | U);
	for (u32 i = 0; i < 400; i++) {
		u64 linear = random_below(&random, 6 * PAGE_4K);

		walk_twice(linear,
			   (enum guest_access)(GUEST_READ +
					       (u32)random_below(&random, 3)));
		found_count += page.page_bytes != 0;
		if (random_below(&random, 3) == 0)
			change_something(&random);
		if (random_below(&random, 30) == 0)
			for (u64 k = 0; k < 6; k++)
				put(PT, k, (FRAME + k * PAGE_4K) | P | W | U);
	}
	assert_true(found_count);
}

static void paths_lead_where_walks_do(void **state)
{
	(void)state;
	for_seeds(200, walk_by_paths);
}

/* Any bytes as tables, any registers: no crash, no address out of thin air. */
static void walk_random_tables(u64 seed)
{
	struct random random = random_from(seed);

	start_4_level();
	for (u64 at = PML4; at < PT + PAGE_4K; at += 8) {
		u64 entry = random_next(&random);

		if (random_below(&random, 4))
			entry = PML4 + (entry & 3) * PAGE_4K + (entry >> 56);
		put(at, 0, entry);
	}
	for (u32 i = 0; i < 200; i++) {
		u64 options = random_next(&random);

		paging.cr0 = CR0_PG | 1 | (options & CR0_WP);
		paging.cr4 = options & (CR4_PSE | CR4_PAE | SMEP | SMAP);
		paging.efer = options >> 8 & (LMA | NXE);
		paging.cpl = options & 3;
		paging.phys_bits = 32 + (u32)(options >> 40) % 21;
		paging.cr3 = PML4;
		for (u32 p = 0; p < 4; p++)
			paging.pdptes[p] = get(PML4, p);
		if (walk(random_next(&random), options >> 32 & 3) == OK)
			assert_true(
			    gpa_raw(page.address) <
			    BIT(paging.phys_bits > 40 ? paging.phys_bits : 40));
	}
}

static void random_tables_are_safe(void **state)
{
	(void)state;
	for_seeds(50, walk_random_tables);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_paging_linear_is_physical),
	    cmocka_unit_test(four_levels_translate_every_index),
	    cmocka_unit_test(large_pages_end_the_walk),
	    cmocka_unit_test(pae_starts_at_the_registers),
	    cmocka_unit_test(two_levels_of_1024_entries),
	    cmocka_unit_test(rights_of_all_levels_combine),
	    cmocka_unit_test(rights_in_32_bit_paging_have_no_nx),
	    cmocka_unit_test(looking_ignores_rights_but_not_holes),
	    cmocka_unit_test(flags_are_set_as_the_cpu_would),
	    cmocka_unit_test(flags_of_32_bit_entries_leave_the_neighbour_alone),
	    cmocka_unit_test(refused_access_sets_no_dirty_flag),
	    cmocka_unit_test(setting_flags_marks_the_tables),
	    cmocka_unit_test(reserved_bits_fault_at_every_level),
	    cmocka_unit_test(features_that_are_off_make_bits_reserved),
	    cmocka_unit_test(tables_without_memory_are_said_to_be),
	    cmocka_unit_test(flags_cannot_be_set_in_rom),
	    cmocka_unit_test(tables_of_a_guests_guest_are_translated),
	    cmocka_unit_test(what_is_refused_below_ends_the_walk),
	    cmocka_unit_test(without_paging_the_page_is_translated),
	    cmocka_unit_test(recursive_tables_end),
	    cmocka_unit_test(path_is_taken_without_a_walk),
	    cmocka_unit_test(looking_keeps_no_path),
	    cmocka_unit_test(paths_lead_where_walks_do),
	    cmocka_unit_test(random_tables_are_safe),
	};

	return cmocka_run_group_tests_name("guest_walk", tests, set_up,
					   tear_down);
}
