/* SPDX-License-Identifier: MIT */
/* A link that does harm when told to: see migrate/link_fault.h. */
#include "migrate/link_fault.h"
#include "lib/check.h"
#include "lib/string.h"

static const char *const names[LINK_HARM_KINDS] = {
    [LINK_HARM_NONE] = "none",
    [LINK_HARM_CUT_BEFORE] = "cut-before",
    [LINK_HARM_CUT_INSIDE] = "cut-inside",
    [LINK_HARM_CUT_AFTER] = "cut-after",
    [LINK_HARM_DROP] = "drop",
    [LINK_HARM_CORRUPT] = "corrupt",
    [LINK_HARM_DUPLICATE] = "duplicate",
    [LINK_HARM_SWAP] = "swap",
    [LINK_HARM_DELAY] = "delay",
};

const char *link_harm_name(enum link_harm harm)
{
	return harm < LINK_HARM_KINDS ? names[harm] : "unknown";
}

static struct link_fault *fault_of(struct link *link)
{
	return (struct link_fault *)link;
}

_Static_assert(offsetof(struct link_fault, link) == 0, "fault_of is a cast");

/* --- Records -------------------------------------------------------------- */

/* How many bytes the record that is coming will have, as far as is known. */
static u32 record_goal(const struct link_fault *fault)
{
	return fault->record_bytes < WIRE_HEADER_BYTES
		   ? WIRE_HEADER_BYTES
		   : wire_record_bytes(fault->record);
}

static void put_out(struct link_fault *fault, u32 bytes)
{
	CHECK(fault->out_bytes + bytes <= sizeof(fault->out));
	memcpy(fault->out + fault->out_bytes, fault->record, bytes);
	fault->out_bytes += bytes;
}

static void corrupt(struct link_fault *fault)
{
	u64 mixed = (fault->plan.seed + 1) * 0x9e3779b97f4a7c15UL;
	u64 bit = (mixed >> 32) % (fault->record_bytes * 8UL);

	fault->record[bit / 8] ^= (u8)(1U << bit % 8);
}

static void harm(struct link_fault *fault)
{
	u32 whole = fault->record_bytes;

	fault->harmed = true;
	switch (fault->plan.harm) {
	case LINK_HARM_CUT_BEFORE:
		fault->cut_owed = true;
		break;
	case LINK_HARM_CUT_INSIDE:
		put_out(fault, whole / 2);
		fault->cut_owed = true;
		break;
	case LINK_HARM_CUT_AFTER:
		put_out(fault, whole);
		fault->cut_owed = true;
		break;
	case LINK_HARM_DROP:
		break;
	case LINK_HARM_CORRUPT:
		corrupt(fault);
		put_out(fault, whole);
		break;
	case LINK_HARM_DUPLICATE:
		put_out(fault, whole);
		put_out(fault, whole);
		break;
	case LINK_HARM_SWAP:
		put_out(fault, whole);
		fault->swap_owed = true;
		break;
	case LINK_HARM_DELAY:
		put_out(fault, whole);
		fault->held_until_ns = fault->now_ns + fault->plan.delay_ns;
		break;
	case LINK_HARM_NONE:
	case LINK_HARM_KINDS:
		put_out(fault, whole);
		break;
	}
}

/* The record that was held goes after the one that has come now. */
static void swap(struct link_fault *fault)
{
	u32 first = fault->out_bytes, second = fault->record_bytes;

	CHECK(first + second <= sizeof(fault->out));
	memmove(fault->out + second, fault->out, first);
	memcpy(fault->out, fault->record, second);
	fault->out_bytes += second;
	fault->swap_owed = false;
}

static void on_record(struct link_fault *fault)
{
	bool counts = !fault->plan.type ||
		      wire_record_type(fault->record) == fault->plan.type;
	bool due = !fault->harmed && fault->plan.harm != LINK_HARM_NONE &&
		   counts && fault->record_count == fault->plan.record;

	if (due)
		harm(fault);
	else if (fault->swap_owed)
		swap(fault);
	else
		put_out(fault, fault->record_bytes);
	fault->record_count += counts;
	fault->record_bytes = 0;
}

/* --- The link ------------------------------------------------------------- */

static bool is_flushed(const struct link_fault *fault)
{
	return fault->out_sent == fault->out_bytes;
}

static void push(struct link_fault *fault)
{
	if (fault->swap_owed || fault->now_ns < fault->held_until_ns)
		return;
	fault->out_sent += link_send(fault->inner, fault->out + fault->out_sent,
				     fault->out_bytes - fault->out_sent);
	if (!is_flushed(fault))
		return;
	fault->out_bytes = fault->out_sent = 0;
	if (fault->cut_owed && link_is_drained(fault->inner))
		link_close(fault->inner);
}

static u32 fault_send(struct link *link, const u8 *bytes, u32 count)
{
	struct link_fault *fault = fault_of(link);
	u32 taken = 0;

	while (taken < count && (is_flushed(fault) || fault->swap_owed) &&
	       !fault->cut_owed) {
		u32 here = record_goal(fault) - fault->record_bytes;

		here = here < count - taken ? here : count - taken;
		memcpy(fault->record + fault->record_bytes, bytes + taken,
		       here);
		fault->record_bytes += here;
		taken += here;
		if (fault->record_bytes == record_goal(fault))
			on_record(fault);
		push(fault);
	}
	return taken;
}

static u32 fault_receive(struct link *link, u8 *bytes, u32 room)
{
	return link_receive(fault_of(link)->inner, bytes, room);
}

static void fault_poll(struct link *link, u64 now_ns)
{
	struct link_fault *fault = fault_of(link);

	fault->now_ns = now_ns;
	push(fault);
	link_poll(fault->inner, now_ns);
	if (fault->inner->state == LINK_LOST)
		link_is_lost(link, fault->inner->why);
	else
		link->state = fault->inner->state;
}

static u32 fault_pending(struct link *link)
{
	const struct link_fault *fault = fault_of(link);

	return fault->out_bytes - fault->out_sent +
	       fault->inner->operations->pending(fault->inner);
}

static void fault_connect(struct link *link)
{
	struct link_fault *fault = fault_of(link);

	fault->cut_owed = fault->swap_owed = false;
	fault->record_count = fault->record_bytes = 0;
	fault->out_bytes = fault->out_sent = 0;
	fault->held_until_ns = 0;
	link_connect(fault->inner);
}

static void fault_close(struct link *link)
{
	link_close(fault_of(link)->inner);
}

static const struct link_operations operations = {
    .connect = fault_connect,
    .send = fault_send,
    .receive = fault_receive,
    .poll = fault_poll,
    .pending = fault_pending,
    .close = fault_close,
};

void link_fault_wrap(struct link_fault *fault, struct link *inner,
		     const struct link_fault_plan *plan)
{
	fault->link = (struct link){
	    .operations = &operations,
	    .name = inner->name,
	    .state = inner->state,
	};
	fault->inner = inner;
	fault->plan = *plan;
	fault->harmed = false;
	fault->now_ns = 0;
}
