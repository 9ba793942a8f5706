/* SPDX-License-Identifier: MIT */
/* This machine as the source: what migrate/source.h asks for. */
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/vcpu.h"
#include "core/console.h"
#include "core/guests.h"
#include "core/migration_parts.h"
#include "core/sched.h"
#include "core/settings.h"
#include "core/vm_record.h"
#include "lib/check.h"
#include "lib/crc32c.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"

#define DOWNTIME_NS        300000000UL
#define STILL_NS           3600000000000UL
#define ROUNDS_MAX         30
#define FIXED_NS           20000000UL /* pausing, state, the peer's answers */
#define SAY_NS             200000000UL
#define RELAX_BYTES        (32 * MIB) /* in one step */
#define NS_PER_MS          1000000UL
#define RECALL_NS          2000000000UL /* then the link's device is reset */

/* What was sent, for deltas: of the guest's memory, and of what is free. */
#define SENT_PART_OF_GUEST 8
#define SENT_PART_OF_FREE  4
#define SENT_BYTES_MIN     (2 * MIB) /* also for a small guest */
#define SENT_BYTES_MAX     (64 * MIB)

static struct migration_wishes all_wishes[GUESTS_MAX];

/* --- Settings ------------------------------------------------------------- */

static const struct migration_wishes defaults = {
    .downtime_ns = DOWNTIME_NS,
    .audit = AUDIT_FULL,
    .stuck = SOURCE_STUCK_FAIL,
    .features = WIRE_FEATURES_PAGES,
};

/* "300ms", "2s" or milliseconds. */
static enum err parse_time(const char *text, u64 *ns)
{
	u64 value = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9' && value < 1000000; at++)
		value = value * 10 + (u64)(*at - '0');
	if (at == text ||
	    (*at && strcmp(at, "ms") != 0 && strcmp(at, "s") != 0))
		return ERR_BAD_FORMAT;
	*ns = value * NS_PER_MS * (strcmp(at, "s") == 0 ? 1000 : 1);
	return OK;
}

enum wish {
	WISH_DOWNTIME,
	WISH_AUDIT,
	WISH_STUCK,
	WISH_COMPRESS,
	WISH_COUNT,
};

#define WORDS_MAX 3

static const struct {
	const char *key;
	const char *words[WORDS_MAX]; /* by value, if it is not a time */
	const char *said;
} rules[WISH_COUNT] = {
    [WISH_DOWNTIME] = {"downtime",
		       {NULL},
		       "milliseconds (300ms) or seconds (2s)"},
    [WISH_AUDIT] = {"audit", {"off", "full", "sent"}, "off, sent or full"},
    [WISH_STUCK] = {"stuck", {"fail", "switch"}, "fail or switch"},
    [WISH_COMPRESS] = {"compress", {"off", "lz4", "on"}, "off, lz4 or on"},
};

static const u64 features_of[WORDS_MAX] = {0, WIRE_FEATURE_LZ4,
					   WIRE_FEATURES_PAGES};
_Static_assert(AUDIT_OFF == 0 && AUDIT_FULL == 1 && AUDIT_SENT == 2,
	       "the words of audit= are in this order");

/* WORDS_MAX: none of them. */
static u32 find_word(enum wish wish, const char *value)
{
	u32 choice = 0;

	while (choice < WORDS_MAX &&
	       (!rules[wish].words[choice] ||
		strcmp(value, rules[wish].words[choice]) != 0))
		choice++;
	return choice;
}

static enum err take_wish(struct migration_wishes *wishes, enum wish wish,
			  const char *value)
{
	u32 choice;

	if (wish == WISH_DOWNTIME)
		return parse_time(value, &wishes->downtime_ns);
	choice = find_word(wish, value);
	if (choice == WORDS_MAX)
		return ERR_BAD_FORMAT;
	if (wish == WISH_AUDIT)
		wishes->audit = (enum audit_mode)choice;
	else if (wish == WISH_COMPRESS)
		wishes->features = features_of[choice];
	else
		wishes->stuck =
		    choice ? SOURCE_STUCK_SWITCH : SOURCE_STUCK_FAIL;
	return OK;
}

static enum track_mode read_track(const struct guest_plan *plan)
{
	const char *text = setting_text(plan, "dirty");
	enum track_policy policy = TRACK_POLICY_AUTO;
	enum track_mode mode;

	/* "mixed" is core/loopback.h's. */
	if (text && strcmp(text, "mixed") != 0 &&
	    track_policy_parse(text, &policy) != OK)
		log_warn("guest %s: dirty=%s: it can be pml, wp or auto; it is "
			 "auto",
			 plan->name, text);
	if (policy == TRACK_POLICY_AUTO ||
	    track_choose(policy,
			 vmx_capability.has_pml ? TRACK_CPU_HAS_PML
						: TRACK_CPU_PLAIN,
			 &mode) != OK)
		return vmx_capability.has_pml ? TRACK_PML : TRACK_WP;
	return mode;
}

enum err migration_plan(const struct vm *vm, const struct guest_plan *plan)
{
	struct migration_wishes *wishes = &all_wishes[vm->index];

	*wishes = defaults;
	wishes->track = read_track(plan);
	for (u32 i = 0; i < WISH_COUNT; i++) {
		const char *value = setting_text(plan, rules[i].key);

		if (!value || take_wish(wishes, (enum wish)i, value) == OK)
			continue;
		log_error("guest %s: %s=%s: it can be %s", plan->name,
			  rules[i].key, value, rules[i].said);
		return ERR_BAD_FORMAT;
	}
	return OK;
}

void migration_came(const struct vm *vm)
{
	all_wishes[vm->index] = defaults;
	all_wishes[vm->index].track =
	    vmx_capability.has_pml ? TRACK_PML : TRACK_WP;
}

#define WORD_BYTES 40

/* One word "key=value" of what was typed; returns what follows it. */
static const char *take_word(struct migration_wishes *wishes, const char *text,
			     enum err *err)
{
	char word[WORD_BYTES] = "";
	u32 length = 0, key;

	for (; *text && *text != ' '; text++)
		if (length < WORD_BYTES - 1)
			word[length++] = *text;
	for (key = 0; key < WISH_COUNT; key++) {
		size_t bytes = strlen(rules[key].key);

		if (!memcmp(word, rules[key].key, bytes) && word[bytes] == '=')
			break;
	}
	if (key == WISH_COUNT ||
	    take_wish(wishes, (enum wish)key,
		      word + strlen(rules[key].key) + 1) != OK)
		*err = ERR_BAD_FORMAT;
	return *text ? text + 1 : text;
}

static enum err take_words(struct migration_wishes *wishes, const char *text)
{
	enum err err = OK;

	while (*text)
		text = take_word(wishes, text, &err);
	return err;
}

/* --- Beginning ------------------------------------------------------------ */

/* What hashing a page takes, here and then there. */
static u64 audit_page_ns(const struct vm *vm)
{
	const struct guest_slot *slot = &vm->memory.slots[0];
	const void *page = guest_mem_ptr(&vm->memory, slot->base, PAGE_4K);
	u64 start, ticks;

	if (!page)
		return 0;
	(void)crc32c(0, page, PAGE_4K); /* tables and caches are filled */
	start = insn_rdtsc();
	(void)crc32c(0, page, PAGE_4K);
	ticks = insn_rdtsc() - start;
	return tsc_to_ns(ticks) * 2;
}

/*
 * Deltas are made against it. Without it, and where it is smaller than what
 * the guest writes, pages are only more bytes.
 */
static void allocate_sent(struct migration *m, const struct vm *vm)
{
	u64 bytes = vm->memory.bytes / SENT_PART_OF_GUEST;
	struct frame_stats stats;
	hpa_t block;

	frame_stats(&stats);
	if (bytes < SENT_BYTES_MIN)
		bytes = SENT_BYTES_MIN;
	if (bytes > SENT_BYTES_MAX)
		bytes = SENT_BYTES_MAX;
	m->sent_order = frame_order_for(bytes);
	if (frame_bytes(m->sent_order) > stats.free_bytes / SENT_PART_OF_FREE ||
	    frame_alloc_try(m->sent_order, &block) != OK)
		return;
	m->sent = phys_ptr(block);
}

/* Which pages an audit of what was sent is of: a bit for each. */
static void allocate_audited(struct migration *m, const struct vm *vm)
{
	hpa_t block;

	m->audited_order =
	    frame_order_for(vm->memory.log.word_count * sizeof(u64));
	if (frame_alloc_try(m->audited_order, &block) == OK)
		m->audited = phys_ptr(block);
	else
		log_warn("migration: no memory to note what is sent: the "
			 "audit is a full one");
}

static void free_notes(struct migration *m)
{
	if (m->sent)
		frame_free(phys_of(m->sent), m->sent_order);
	if (m->audited)
		frame_free(phys_of(m->audited), m->audited_order);
	m->sent = NULL;
	m->audited = NULL;
}

static u32 sent_count(const struct migration *m)
{
	return m->sent ? (u32)(frame_bytes(m->sent_order) /
			       sizeof(struct sent_page))
		       : 0;
}

/* After each round: who has written much in it does without some time. */
static void throttle(struct migration *m, u32 percent)
{
	const struct vm *vm = m->vm;
	u64 total = 0;

	for (u32 i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = vm->vcpus[i];
		u64 writes = vcpu_writes(vcpu);

		vcpu->schedule.writes_new = writes - vcpu->schedule.writes;
		vcpu->schedule.writes = writes;
		total += vcpu->schedule.writes_new;
	}
	for (u32 i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = vm->vcpus[i];
		bool is_due = source_throttles(vcpu->schedule.writes_new, total,
					       vm->vcpu_count);

		__atomic_store_n(&vcpu->schedule.throttle_percent,
				 is_due ? percent : 0, __ATOMIC_RELAXED);
	}
	m->rounds_throttled = m->room->source.stats.rounds;
}

static void begin(struct migration *m, struct vm *vm)
{
	const struct migration_wishes *wish = &all_wishes[vm->index];
	struct migration_room *room = m->room;
	struct source_config config = {
	    .mem = &vm->memory,
	    .shape = &room->shape,
	    .session = insn_rdtsc() ^ (u64)vm->index << 56,
	    .downtime_ns = wish->downtime_ns,
	    .fixed_ns = FIXED_NS,
	    .silence_ns = m->silence_ns,
	    .rounds_max = ROUNDS_MAX,
	    .stuck = wish->stuck,
	    .audit = wish->audit,
	    .features = wish->features |
			(link_can_lend(m->link) ? WIRE_FEATURE_LIVE : 0),
	    .in = room->in,
	    .out = room->out,
	    .words = room->words,
	    .word_count = MIGRATION_WORDS,
	};

	if (wish->audit != AUDIT_OFF)
		config.audit_page_ns = audit_page_ns(vm);
	if (wish->audit == AUDIT_SENT)
		allocate_audited(m, vm);
	config.audited = m->audited;
	if (wish->audit == AUDIT_SENT && !m->audited)
		config.audit = AUDIT_FULL;
	if (!vm->has_started) /* it stands still as it is */
		config.downtime_ns = STILL_NS;
	vm_record_shape(vm, &room->shape);
	if (wish->features & WIRE_FEATURE_DELTA)
		allocate_sent(m, vm);
	config.sent = m->sent;
	config.sent_count = sent_count(m);
	source_begin(&room->source, &config, migration_now_ns());
	m->vm = vm;
	m->link_said = false;
	m->said_ns = 0;
	m->rounds_said = 0;
	throttle(m, 0);
	vm_count_writes(vm, &m->writes);
	m->began_ns = migration_now_ns();
	m->phase = MIGRATION_SENDING;
	log_info("migration: guest %s goes over %s: at most %lu ms of "
		 "standstill; audit %s",
		 vm->name, m->link->name, config.downtime_ns / NS_PER_MS,
		 audit_mode_name(config.audit));
}

static enum err start_tracking(struct migration *m, struct vm *vm)
{
	enum err err;

	m->is_tracking = false;
	if (!vm->track.ept) /* without VMX: nobody but Umbra writes */
		return OK;
	err = vm_track_start(vm, all_wishes[vm->index].track);
	m->is_tracking = err == OK;
	return err;
}

/* To a front end, which waits for an end else; why has been said. */
static void say_not_begun(void)
{
	console_record("not_begun");
}

static void begin_tracked(struct migration *m, struct vm *vm)
{
	enum err err = start_tracking(m, vm);

	if (err == OK) {
		begin(m, vm);
		return;
	}
	log_error("migration: guest %s: its writes cannot be tracked: %s",
		  vm->name, err_text(err));
	say_not_begun();
}

/* The last one is over, but for its traces: the next one may be asked for. */
static bool is_clearing_up(const struct migration *m)
{
	return m->phase == MIGRATION_RELAXING || m->phase == MIGRATION_SETTLING;
}

/* What cannot be is said. */
static bool can_begin(const struct migration *m, const struct vm *vm,
		      const char *wishes)
{
	struct migration_wishes taken;

	if (!m->link) {
		log_error("migration: there is no link: start Umbra with "
			  "link=KIND");
		return false;
	}
	if (!vm || vm_has_ended(vm)) {
		log_error("migration: no such guest is running; \"guests\" "
			  "lists them");
		return false;
	}
	taken = all_wishes[vm->index];
	if (take_words(&taken, wishes) != OK) {
		log_error("migration: \"%s\": it can be downtime=TIME, "
			  "audit=off|sent|full, stuck=fail|switch, "
			  "compress=off|lz4|on",
			  wishes);
		return false;
	}
	all_wishes[vm->index] = taken;
	return true;
}

void migration_send(struct vm *vm, const char *wishes)
{
	struct migration *m = &migration;

	if (m->phase != MIGRATION_IDLE && !is_clearing_up(m)) {
		log_error("migration: another one is under way; \"status\" "
			  "says more");
		return;
	}
	if (!can_begin(m, vm, wishes)) {
		say_not_begun();
		return;
	}
	if (!is_clearing_up(m)) {
		begin_tracked(m, vm);
		return;
	}
	m->next_vm = vm;
	log_info("migration: guest %s goes when the last one is cleared up",
		 vm->name);
}

void migration_send_next(struct migration *m)
{
	struct vm *vm = m->next_vm;

	m->next_vm = NULL;
	if (vm && vm_has_ended(vm))
		say_not_begun();
	else if (vm)
		begin_tracked(m, vm);
}

static void cancel_next(struct migration *m)
{
	log_info("migration: guest %s stays here: cancelled by hand",
		 m->next_vm->name);
	m->next_vm = NULL;
	say_not_begun();
}

void migration_cancel(void)
{
	struct source *source = &migration.room->source;

	if (migration.next_vm)
		cancel_next(&migration);
	else if (!migration.link || migration.phase != MIGRATION_SENDING)
		log_info("migration: there is nothing to cancel");
	else if (source_cancel(source, "cancelled by hand") != OK)
		log_info("migration: too late, it has been handed over");
}

/* --- What is said --------------------------------------------------------- */

static void say_progress(struct migration *m)
{
	const struct source *source = &m->room->source;
	const struct source_stats *stats = &source->stats;
	u64 now_ns = migration_now_ns();

	if (now_ns - m->said_ns < SAY_NS)
		return;
	m->said_ns = now_ns;
	console_record(
	    "migration round=%u left=%lu total=%lu sent=%lu rate=%lu "
	    "dirty=%lu throttle=%u downtime_us=%lu phase=%u",
	    source->round, dirty_log_count(&m->vm->memory.log),
	    m->vm->memory.bytes / PAGE_4K, stats->sent_bytes, stats->bandwidth,
	    stats->dirty_rate, source->throttle_percent,
	    stats->estimated_downtime_ns / 1000, source->phase);
}

static u64 us_between(u64 from_ns, u64 to_ns)
{
	return to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;
}

/* Each round once, when the peer has it; and how its writes were found. */
static void say_round(struct migration *m)
{
	const struct source_stats *stats = &m->room->source.stats;
	const struct source_round *last = &stats->last_round;
	struct vm_writes now = {0};

	if (stats->rounds == m->rounds_said)
		return;
	m->rounds_said = stats->rounds;
	vm_count_writes(m->vm, &now);
	console_record("round number=%u raw=%lu zero=%lu bytes=%lu us=%lu "
		       "left=%lu logged=%lu faults=%lu l2_logged=%lu "
		       "l2_faults=%lu",
		       stats->rounds - 1, last->raw, last->zero, last->bytes,
		       last->ns / 1000, dirty_log_count(&m->vm->memory.log),
		       now.logged - m->writes.logged,
		       now.faults - m->writes.faults,
		       now.l2_logged - m->writes.l2_logged,
		       now.l2_faults - m->writes.l2_faults);
}

static void say_end(struct migration *m, const char *result)
{
	const struct source *source = &m->room->source;
	const struct source_stats *s = &source->stats;

	console_record("migrated result=%s rounds=%u raw=%lu lz4=%lu "
		       "delta=%lu lent=%lu zero=%lu bytes=%lu rate=%lu "
		       "dirty=%lu time_us=%lu audit=%s groups=%lu throttle=%u",
		       result, s->rounds, s->raw_pages, s->lz4_pages,
		       s->delta_pages, s->lent_pages, s->zero_pages,
		       s->sent_bytes, s->bandwidth, s->dirty_rate,
		       us_between(m->began_ns, migration_now_ns()),
		       audit_mode_name(source->audit), source->group_count,
		       source->throttle_percent);
	console_record(
	    "downtime_us total=%lu pause=%lu copy=%lu state=%lu audit=%lu "
	    "answer=%lu start=%lu pages=%lu bytes=%lu",
	    us_between(s->pause_ns, s->running_ns),
	    us_between(s->pause_ns, s->paused_ns),
	    us_between(s->paused_ns, s->copied_ns),
	    us_between(s->copied_ns, s->told_ns),
	    us_between(s->told_ns, s->sealed_ns),
	    us_between(s->sealed_ns, s->ready_ns),
	    us_between(s->ready_ns, s->running_ns), s->last_round.raw,
	    s->last_round.bytes);
}

void migration_say_status(void)
{
	const struct migration *m = &migration;
	const struct source *source;

	if (!m->link) {
		log_info("migration: no link");
		return;
	}
	log_info("migration: link %s is %s%s", m->link->name,
		 m->link->state == LINK_UP           ? "up"
		 : m->link->state == LINK_CONNECTING ? "waiting for the peer"
						     : "lost: ",
		 m->link->state == LINK_LOST ? m->link->why : "");
	source = &m->room->source;
	if (m->phase == MIGRATION_SENDING)
		log_info("migration: guest %s goes: round %u, %lu pages left",
			 m->vm->name, source->round,
			 dirty_log_count(&m->vm->memory.log));
	else if (m->phase == MIGRATION_UNDECIDED)
		log_info("migration: guest %s was handed over and is stopped; "
			 "\"destroy\" it if it runs at the peer, \"resume\" it "
			 "if it does not",
			 m->vm->name);
	else if (m->phase == MIGRATION_RECEIVING)
		log_info("migration: a guest comes");
	else
		log_info("migration: nothing is under way");
}

/* --- What it asks for ----------------------------------------------------- */

/* Of one step. */
enum progress { GOES_ON, WAITS };

static void harvest(struct migration *m, const struct source_request *asked)
{
	gpa_t next;

	if (!m->is_tracking) {
		next = dirty_log_take(&m->vm->memory.log, asked->from,
				      asked->to, asked->batch);
	} else {
		/* Running vCPUs drain what they have logged so far. */
		if (gpa_equal(asked->from, gpa(0)))
			vm_sync(m->vm);
		next = vm_harvest(m->vm, asked->from, asked->to, asked->batch);
	}
	source_harvested(&m->room->source, next);
}

/* Before it was handed over: there is nobody to ask. */
static void end_early(struct migration *m)
{
	CHECK(source_cancel(&m->room->source, "it has ended") == OK);
}

static enum progress pause(struct migration *m)
{
	struct migration_room *room = m->room;
	u32 bytes;

	vm_pause(m->vm);
	if (vm_has_ended(m->vm)) {
		end_early(m);
		return GOES_ON;
	}
	if (m->vm->state != VM_STARTING)
		sched_unload(m->vm);
	console_record("paused");
	bytes = vm_record_save(m->vm, vm_record_moment(m->vm), room->state,
			       sizeof(room->state));
	source_paused(&room->source, room->state, bytes);
	return GOES_ON;
}

static void stop_tracking(struct migration *m)
{
	throttle(m, 0);
	if (m->is_tracking) {
		vm_track_stop(m->vm);
		vm_sync(m->vm);
	}
	m->relaxed_to = gpa(0);
	m->phase = m->is_tracking ? MIGRATION_RELAXING : m->phase;
	if (!m->is_tracking)
		migration_over();
}

static void resume(struct migration *m)
{
	vm_resume(m->vm);
	source_resumed(&m->room->source);
}

/* The engine takes no step any more. */
static void end(struct migration *m, const char *result)
{
	say_end(m, result);
	free_notes(m);
}

static void stays(struct migration *m)
{
	end(m, "failed");
	stop_tracking(m);
}

/* Large pages come back in place, a piece at a time, while the guest runs. */
void migration_relax(struct migration *m)
{
	m->relaxed_to = vm_relax(m->vm, m->relaxed_to, RELAX_BYTES);
	if (gpa_raw(m->relaxed_to) >= gpa_raw(dirty_log_end(m->vm->track.log)))
		migration_over();
}

/* Its memory goes when the link's device has read all that it was lent. */
static void destroy(struct migration *m)
{
	m->returning_ns = migration_now_ns();
	m->recalled = false;
	m->phase = MIGRATION_RETURNING;
	migration_step_return(m);
}

static bool may_be_freed(struct migration *m)
{
	u64 waited_ns = migration_now_ns() - m->returning_ns;

	if (link_has_returned(m->link))
		return true;
	if (m->recalled || waited_ns < RECALL_NS)
		return false;
	m->recalled = true; /* once: else it is never freed */
	return migration_recall(m);
}

void migration_step_return(struct migration *m)
{
	if (!may_be_freed(m))
		return;
	guests_moved(m->vm);
	m->vm = NULL;
	if (m->room->source.phase == SOURCE_MOVED)
		migration_done();
	else
		migration_over();
}

static void moved(struct migration *m)
{
	const struct source_stats *s = &m->room->source.stats;

	log_info("migration: guest %s runs at the peer: %u rounds, %lu pages "
		 "and %lu zero pages, %lu bytes, %lu us of standstill",
		 m->vm->name, s->rounds, s->raw_pages, s->zero_pages,
		 s->sent_bytes, us_between(s->pause_ns, s->running_ns));
	end(m, "moved");
	destroy(m);
}

void migration_decide(enum migration_decision decision)
{
	struct migration *m = &migration;

	if (m->phase != MIGRATION_UNDECIDED) {
		log_info("migration: there is nothing to decide");
		return;
	}
	if (decision == MIGRATION_DESTROY) {
		log_warn("migration: guest %s is destroyed here, because you "
			 "say so: it runs at the peer",
			 m->vm->name);
		console_record("decided what=destroyed guest=%u", m->vm->index);
		destroy(m);
		return;
	}
	log_warn("migration: guest %s goes on here, because you say so",
		 m->vm->name);
	console_record("decided what=resumed guest=%u", m->vm->index);
	dirty_log_mark_all(&m->vm->memory.log);
	stop_tracking(m);
	vm_resume(m->vm);
}

/* Its memory stays, so what is under way may end in its own time. */
void migration_vm_ended(const struct vm *vm)
{
	if (migration.link && migration.vm == vm &&
	    migration.phase == MIGRATION_SENDING &&
	    source_is_owner(&migration.room->source))
		end_early(&migration);
}

/* --- The step ------------------------------------------------------------- */

static enum progress send(struct migration *m, struct source *source,
			  const struct source_request *asked)
{
	u32 sent = asked->are_lent
		       ? link_lend(m->link, asked->bytes, asked->byte_count)
		       : link_send(m->link, asked->bytes, asked->byte_count);

	source_sent(source, sent);
	/* On its way while the next is made, and not with the last of them. */
	if (wire_outbox_is_empty(&source->outbox) || sent < asked->byte_count)
		link_poll(m->link, migration_now_ns());
	return sent == asked->byte_count ? GOES_ON : WAITS;
}

static enum progress step(struct migration *m, struct source *source)
{
	struct source_request asked = source_step(source, migration_now_ns());

	if (source->stats.rounds != m->rounds_throttled)
		throttle(m, source->throttle_percent);
	switch (asked.wants) {
	case SOURCE_WANTS_BYTES:
		return WAITS;
	case SOURCE_WANTS_SEND:
		return send(m, source, &asked);
	case SOURCE_WANTS_HARVEST:
		harvest(m, &asked);
		return GOES_ON;
	case SOURCE_WANTS_PAUSE:
		return pause(m);
	case SOURCE_WANTS_RESUME:
		resume(m);
		return GOES_ON;
	case SOURCE_WANTS_NOTHING:
		moved(m);
		break;
	case SOURCE_WANTS_DECISION:
		end(m, "unconfirmed");
		m->phase = MIGRATION_UNDECIDED;
		break;
	case SOURCE_WANTS_NO_MORE:
		stays(m);
		break;
	}
	return WAITS;
}

static bool feed(struct migration *m, struct source *source)
{
	u8 *bytes = m->room->received;
	u32 count = link_receive(m->link, bytes, MIGRATION_CHUNK);

	if (count)
		source_feed(source, bytes, count, migration_now_ns());
	else if (m->link->state == LINK_LOST && !m->link_said) {
		m->link_said = true;
		source_link_lost(source, m->link->why);
	}
	return count != 0;
}

void migration_step_source(struct migration *m)
{
	struct source *source = &m->room->source;

	for (u32 i = 0; i < MIGRATION_STEPS;) {
		bool has_come = feed(m, source);
		enum progress progress;

		say_round(m);
		progress = step(m, source);
		if (progress == WAITS && !has_come)
			break;
		if (m->phase != MIGRATION_SENDING)
			return;
		/* The pieces of a record are one step. */
		i += progress == WAITS || wire_outbox_is_empty(&source->outbox);
	}
	if (m->phase == MIGRATION_SENDING)
		say_progress(m);
}
