/* SPDX-License-Identifier: MIT */
/* Reading the list of CPUs that a guest is pinned to. */
#include "loader/guest_pin.h"

#define DIGITS_MAX 4

/* A number; *text is moved behind it. */
static enum err read_number(const char **text, u32 *number)
{
	u32 digits = 0;

	*number = 0;
	for (; **text >= '0' && **text <= '9'; (*text)++) {
		if (++digits > DIGITS_MAX)
			return ERR_RANGE;
		*number = *number * 10 + (u32)(**text - '0');
	}
	return digits ? OK : ERR_BAD_FORMAT;
}

enum err guest_pin_parse(const char *text, u32 cpu_count,
			 struct guest_pins *pins)
{
	struct guest_pins read = {0};

	while (text) {
		u32 cpu;
		enum err err = read_number(&text, &cpu);

		if (err != OK)
			return err;
		if (cpu >= cpu_count || read.count == GUEST_CPUS_MAX)
			return ERR_RANGE;
		read.cpus[read.count++] = cpu;
		if (*text == '\0')
			break;
		if (*text++ != ',')
			return ERR_BAD_FORMAT;
	}
	*pins = read;
	return OK;
}

u32 guest_pin_of(const struct guest_pins *pins, u32 vcpu)
{
	return pins->count ? pins->cpus[vcpu % pins->count] : GUEST_PIN_NONE;
}
