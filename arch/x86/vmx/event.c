/* SPDX-License-Identifier: MIT */
/* Events on top of each other. */
#include "arch/x86/vmx/event.h"
#include "lib/x86.h"

static bool is_contributory(u32 vector)
{
	switch (vector) {
	case EXCEPTION_DE:
	case EXCEPTION_TS:
	case EXCEPTION_NP:
	case EXCEPTION_SS:
	case EXCEPTION_GP:
	case EXCEPTION_CP:
		return true;
	default:
		return false;
	}
}

/* SDM vol. 3, "Conditions for Generating a Double Fault". */
static bool makes_double_fault(u32 first, u32 second)
{
	if (first == EXCEPTION_PF)
		return second == EXCEPTION_PF || is_contributory(second);
	return is_contributory(first) && is_contributory(second);
}

static enum event_outcome raise_on_exception(struct vcpu_event *current,
					     const struct vcpu_event *exception)
{
	u32 first = current->info & (u32)EVENT_VECTOR;

	if (first == EXCEPTION_DF)
		return EVENT_SHUTDOWN;
	if (makes_double_fault(first, exception->info & (u32)EVENT_VECTOR))
		*current = (struct vcpu_event){
		    .info = (u32)(EVENT_VALID | EVENT_HAS_ERROR_CODE |
				  EVENT_HARDWARE_EXCEPTION << 8 | EXCEPTION_DF),
		};
	else
		*current = *exception;
	return EVENT_GOES_IN;
}

enum event_outcome event_raise(struct vcpu_event *current,
			       const struct vcpu_event *exception, u32 *later)
{
	*later = 0;
	if (current->info & EVENT_VALID) {
		switch (event_type(current->info)) {
		case EVENT_HARDWARE_EXCEPTION:
			return raise_on_exception(current, exception);
		case EVENT_EXTERNAL_INTERRUPT:
		case EVENT_NMI:
			*later = current->info;
			break;
		case EVENT_SOFTWARE_INTERRUPT:
		case EVENT_PRIVILEGED_SOFTWARE_EXCEPTION:
		case EVENT_SOFTWARE_EXCEPTION:
		case EVENT_OTHER:
			break;
		}
	}
	*current = *exception;
	return EVENT_GOES_IN;
}

enum event_outcome event_raise_in_l2(struct vcpu_event *current,
				     const struct vcpu_event *exception,
				     u32 bitmap, struct vcpu_event *exits,
				     u32 *later)
{
	enum event_outcome outcome = event_raise(current, exception, later);

	if (outcome == EVENT_GOES_IN) {
		if ((current->info & EVENT_VECTOR) != EXCEPTION_DF ||
		    !(bitmap >> EXCEPTION_DF & 1))
			return EVENT_GOES_IN;
		*exits = *current;
		outcome = EVENT_EXITS;
	}
	current->info = 0;
	return outcome;
}
