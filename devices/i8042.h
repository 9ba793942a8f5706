/* SPDX-License-Identifier: MIT */
/*
 * An 8042 keyboard controller without keyboard or mouse: enough for software
 * to find that out quickly, and to reset the machine through it.
 */
#ifndef DEVICES_I8042_H
#define DEVICES_I8042_H

#include "lib/bits.h"
#include "lib/types.h"

struct i8042_state {
	u8 status;      /* without the output-buffer bit */
	u8 output;      /* the byte in the output buffer */
	u8 output_full; /* 0 or 1 */
	u8 configuration;
	u8 output_port;
	u8 command; /* the command whose data byte comes next, or 0 */
};

void i8042_reset(struct i8042_state *controller);

u8 i8042_read_data(struct i8042_state *controller);
u8 i8042_read_status(const struct i8042_state *controller);

enum i8042_effect { I8042_NONE, I8042_RESET_MACHINE };

enum i8042_effect i8042_write_data(struct i8042_state *controller, u8 value);
enum i8042_effect i8042_write_command(struct i8042_state *controller,
				      u8 command);

#endif
