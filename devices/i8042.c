/* SPDX-License-Identifier: MIT */
/* See devices/i8042.h. The interrupts of its absent devices never come. */
#include "devices/i8042.h"
#include "lib/string.h"

#define STATUS_OUTPUT_FULL BIT(0)
#define STATUS_SYSTEM      BIT(2) /* self-test passed */
#define STATUS_COMMAND     BIT(3) /* the last write was a command */
#define STATUS_UNLOCKED    BIT(4)
#define STATUS_FROM_MOUSE  BIT(5)
#define STATUS_TIME_OUT    BIT(6)

#define OUTPUT_NOT_RESET   BIT(0)
#define OUTPUT_A20         BIT(1)

#define CONFIG_SYSTEM      BIT(2)
#define CONFIG_NO_KEYBOARD BIT(4)
#define CONFIG_NO_MOUSE    BIT(5)

enum command {
	READ_CONFIGURATION = 0x20,
	WRITE_CONFIGURATION = 0x60,
	DISABLE_MOUSE = 0xa7,
	ENABLE_MOUSE = 0xa8,
	TEST_MOUSE_PORT = 0xa9,
	TEST_CONTROLLER = 0xaa,
	TEST_KEYBOARD_PORT = 0xab,
	DISABLE_KEYBOARD = 0xad,
	ENABLE_KEYBOARD = 0xae,
	READ_OUTPUT_PORT = 0xd0,
	WRITE_OUTPUT_PORT = 0xd1,
	WRITE_KEYBOARD_OUTPUT = 0xd2,
	WRITE_MOUSE_OUTPUT = 0xd3,
	WRITE_MOUSE = 0xd4,
	PULSE_FIRST = 0xf0, /* bits 3:0 clear: lines of the output port */
};

#define SELF_TEST_PASSED 0x55
#define PORT_TEST_PASSED 0x00
#define REPLY_RESEND     0xfe /* what the controller says for a time-out */

void i8042_reset(struct i8042_state *controller)
{
	memset(controller, 0, sizeof(*controller));
	controller->status = STATUS_SYSTEM | STATUS_UNLOCKED;
	controller->configuration =
	    CONFIG_SYSTEM | CONFIG_NO_KEYBOARD | CONFIG_NO_MOUSE;
	controller->output_port = OUTPUT_NOT_RESET | OUTPUT_A20;
}

static void reply(struct i8042_state *controller, u8 value, u8 origin)
{
	controller->output = value;
	controller->output_full = 1;
	controller->status &= (u8) ~(STATUS_FROM_MOUSE | STATUS_TIME_OUT);
	controller->status |= origin;
}

/* No device answers: the controller reports a time-out in its place. */
static void no_device(struct i8042_state *controller, u8 origin)
{
	reply(controller, REPLY_RESEND, origin | STATUS_TIME_OUT);
}

u8 i8042_read_data(struct i8042_state *controller)
{
	controller->output_full = 0;
	return controller->output;
}

u8 i8042_read_status(const struct i8042_state *controller)
{
	return controller->output_full ? controller->status | STATUS_OUTPUT_FULL
				       : controller->status;
}

static enum i8042_effect set_output_port(struct i8042_state *controller,
					 u8 value)
{
	controller->output_port = value;
	return value & OUTPUT_NOT_RESET ? I8042_NONE : I8042_RESET_MACHINE;
}

enum i8042_effect i8042_write_data(struct i8042_state *controller, u8 value)
{
	u8 command = controller->command;

	controller->command = 0;
	controller->status &= (u8)~STATUS_COMMAND;
	switch (command) {
	case WRITE_CONFIGURATION:
		controller->configuration = value;
		break;
	case WRITE_OUTPUT_PORT:
		return set_output_port(controller, value);
	case WRITE_KEYBOARD_OUTPUT:
		reply(controller, value, 0);
		break;
	case WRITE_MOUSE_OUTPUT:
		reply(controller, value, STATUS_FROM_MOUSE);
		break;
	case WRITE_MOUSE:
		no_device(controller, STATUS_FROM_MOUSE);
		break;
	default:
		no_device(controller, 0);
		break;
	}
	return I8042_NONE;
}

enum i8042_effect i8042_write_command(struct i8042_state *controller,
				      u8 command)
{
	controller->status |= STATUS_COMMAND;
	controller->command = 0;
	switch (command) {
	case READ_CONFIGURATION:
		reply(controller, controller->configuration, 0);
		break;
	case DISABLE_MOUSE:
		controller->configuration |= CONFIG_NO_MOUSE;
		break;
	case ENABLE_MOUSE:
		controller->configuration &= (u8)~CONFIG_NO_MOUSE;
		break;
	case TEST_CONTROLLER:
		reply(controller, SELF_TEST_PASSED, 0);
		break;
	case TEST_MOUSE_PORT:
	case TEST_KEYBOARD_PORT:
		reply(controller, PORT_TEST_PASSED, 0);
		break;
	case DISABLE_KEYBOARD:
		controller->configuration |= CONFIG_NO_KEYBOARD;
		break;
	case ENABLE_KEYBOARD:
		controller->configuration &= (u8)~CONFIG_NO_KEYBOARD;
		break;
	case READ_OUTPUT_PORT:
		reply(controller, controller->output_port, 0);
		break;
	case WRITE_CONFIGURATION:
	case WRITE_OUTPUT_PORT:
	case WRITE_KEYBOARD_OUTPUT:
	case WRITE_MOUSE_OUTPUT:
	case WRITE_MOUSE:
		controller->command = command;
		break;
	default:
		if (command >= PULSE_FIRST && !(command & OUTPUT_NOT_RESET))
			return I8042_RESET_MACHINE;
		break;
	}
	return I8042_NONE;
}
