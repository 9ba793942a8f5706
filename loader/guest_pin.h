/* SPDX-License-Identifier: MIT */
/*
 * A guest's setting pin=N[,N...]: the CPUs that its vCPUs stay on, the first
 * for vCPU 0 and so on, from the beginning again when there are fewer. Without
 * the setting a vCPU runs wherever there is room.
 */
#ifndef LOADER_GUEST_PIN_H
#define LOADER_GUEST_PIN_H

#include "lib/err.h"
#include "lib/types.h"
#include "loader/guest_plan.h"

#define GUEST_PIN_NONE UINT32_MAX

struct guest_pins {
	u32 count; /* 0: floating */
	u32 cpus[GUEST_CPUS_MAX];
};

/*
 * ERR_BAD_FORMAT: no such list. ERR_RANGE: a CPU beyond `cpu_count`, or more
 * of them than a guest has vCPUs at the most. NULL is no setting.
 */
MUST_CHECK enum err guest_pin_parse(const char *text, u32 cpu_count,
				    struct guest_pins *pins);

/* The CPU of a vCPU, or GUEST_PIN_NONE. */
u32 guest_pin_of(const struct guest_pins *pins, u32 vcpu);

#endif
