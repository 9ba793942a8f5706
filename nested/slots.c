/* SPDX-License-Identifier: MIT */
/* Parking VMCSs: see nested/slots.h. */
#include "nested/slots.h"

static bool is_parked(const struct nested_slot *slot)
{
	return gpa_raw(slot->address) != NESTED_NO_POINTER;
}

static void make_free(struct nested_slot *slot)
{
	slot->address = gpa(NESTED_NO_POINTER);
	slot->changed = slot->is_same = false;
	slot->is_new = true;
}

void nested_slots_reset(struct nested_slots *s)
{
	s->current = 0;
	s->clock = 0;
	for (u32 i = 0; i < NESTED_SLOTS; i++)
		make_free(&s->slots[i]);
}

void nested_slots_let_go(struct nested_slots *s)
{
	make_free(&s->slots[s->current]);
}

static void write_back(struct nested_slot *slot, struct guest_mem *mem)
{
	if (slot->changed)
		vmcs12_store(&slot->vmcs12, mem, slot->address);
	slot->changed = false;
}

/* The current VMCS's vmcs12 goes into its slot, if it has changed there. */
static void park(struct nested_state *state, const struct guest_mem *mem)
{
	struct nested_slots *s = state->slots;
	struct nested_slot *slot = &s->slots[s->current];

	slot->address = state->current;
	slot->parked_at = ++s->clock;
	slot->changed |= state->vmcs12_changed;
	if (!slot->is_same) {
		slot->revision = guest_mem_ptr(mem, slot->address, sizeof(u32));
		slot->vmcs12 = state->vmcs12;
	} else if (state->vmcs12_changed) {
		slot->vmcs12 = state->vmcs12;
	}
}

/* A free one, or else the one that was parked first. */
static u32 find_room(const struct nested_slots *s)
{
	u32 found = NESTED_SLOTS;

	for (u32 i = 0; i < NESTED_SLOTS; i++) {
		if (!is_parked(&s->slots[i]))
			return i;
		if (found == NESTED_SLOTS ||
		    s->slots[i].parked_at < s->slots[found].parked_at)
			found = i;
	}
	return found;
}

static void read_into(struct nested_state *state, struct guest_mem *mem,
		      gpa_t address)
{
	struct nested_slots *s = state->slots;
	u32 room = find_room(s);
	struct nested_slot *slot = &s->slots[room];

	if (is_parked(slot))
		write_back(slot, mem);
	make_free(slot);
	s->current = room;
	vmcs12_load(&state->vmcs12, mem, address);
}

void nested_slots_switch(struct nested_state *state, struct guest_mem *mem,
			 gpa_t address)
{
	struct nested_slots *s = state->slots;
	u32 found;

	if (nested_has_current(state))
		park(state, mem);
	found = nested_slots_find(s, address);
	if (found == NESTED_SLOTS) {
		read_into(state, mem, address);
	} else {
		struct nested_slot *slot = &s->slots[found];

		state->vmcs12 = slot->vmcs12;
		slot->address = gpa(NESTED_NO_POINTER);
		slot->is_same = true;
		s->current = found;
	}
	state->current = address;
	state->vmcs12_changed = false;
}

void nested_slots_drop(struct nested_state *state, struct guest_mem *mem,
		       gpa_t address)
{
	struct nested_slots *s = state->slots;
	u32 found = s ? nested_slots_find(s, address) : NESTED_SLOTS;

	if (found == NESTED_SLOTS)
		return;
	write_back(&s->slots[found], mem);
	make_free(&s->slots[found]);
}

void nested_slots_drop_all(struct nested_state *state, struct guest_mem *mem)
{
	struct nested_slots *s = state->slots;

	for (u32 i = 0; s && i < NESTED_SLOTS; i++)
		if (is_parked(&s->slots[i]))
			nested_slots_drop(state, mem, s->slots[i].address);
}

void nested_slots_write_back(struct nested_state *state, struct guest_mem *mem)
{
	struct nested_slots *s = state->slots;

	if (!s)
		return;
	for (u32 i = 0; i < NESTED_SLOTS; i++)
		if (is_parked(&s->slots[i]))
			write_back(&s->slots[i], mem);
	state->vmcs12_changed |= s->slots[s->current].changed;
}
