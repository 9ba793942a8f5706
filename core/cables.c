/* SPDX-License-Identifier: MIT */
/* The cables by their labels: see core/cables.h. */
#include "core/cables.h"
#include "arch/x86/vmx/vcpu.h"
#include "arch/x86/vmx/vm.h"
#include "core/settings.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"

/* Guests are made once, when Umbra starts; cables are never taken away. */
struct labelled {
	char label[GUEST_SETTING_BYTES];
	char names[CABLE_ENDS][GUEST_NAME_BYTES]; /* of its guests */
	u32 end_count;
	struct cable *cable;
};

static struct labelled cables[GUESTS_MAX];
static u32 cable_count;

static struct labelled *find(const char *label)
{
	u32 i = 0;

	while (i < cable_count && strcmp(cables[i].label, label) != 0)
		i++;
	return i < GUESTS_MAX ? &cables[i] : NULL;
}

static enum err make(struct labelled *new, const char *label)
{
	hpa_t block;
	enum err err = frame_alloc_zeroed(frame_order_for(sizeof(struct cable)),
					  "a cable", &block);

	if (err != OK)
		return err;
	new->cable = phys_ptr(block);
	cable_init(new->cable);
	memcpy(new->label, label, strnlen(label, GUEST_SETTING_BYTES - 1) + 1);
	cable_count++;
	return OK;
}

enum err cables_join(struct vm *vm, const struct guest_plan *plan)
{
	const char *label = setting_text(plan, "connect");
	struct labelled *found;
	enum err err;

	if (!label)
		return OK;
	found = find(label);
	if (!found)
		return ERR_NO_MEMORY;
	if (found->end_count == CABLE_ENDS) {
		log_error("guest %s: connect=%s: a cable has two ends, and "
			  "guests %s and %s have them",
			  plan->name, label, found->names[0], found->names[1]);
		return ERR_BUSY;
	}
	err = found->cable ? OK : make(found, label);
	if (err != OK)
		return err;
	memcpy(found->names[found->end_count], plan->name, GUEST_NAME_BYTES);
	vm->cable = found->cable;
	vm->cable_end = found->end_count++;
	return OK;
}

void cables_check(void)
{
	for (u32 i = 0; i < cable_count; i++)
		if (cables[i].end_count < CABLE_ENDS)
			log_warn("guest %s: connect=%s: no other guest has "
				 "that label; its port stays closed",
				 cables[i].names[0], cables[i].label);
}

/* With the cable's lock held: that the vCPU is there is cables_unplug()'s. */
static void call(void *context)
{
	struct vm *vm = context;

	platform_call_port(&vm->platform);
	vcpu_kick(vm->vcpus[0]);
}

void cables_plug(struct vm *vm)
{
	if (vm->cable)
		cable_plug(vm->cable, vm->cable_end, call, vm);
}

void cables_unplug(struct vm *vm)
{
	if (vm->cable)
		cable_plug(vm->cable, vm->cable_end, NULL, NULL);
}

void cables_close(struct vm *vm)
{
	if (vm->cable)
		cable_set_port(vm->cable, vm->cable_end, PLATFORM_PORT_CLOSED);
}
