/* SPDX-License-Identifier: MIT */
/*
 * The prompt on the serial console: what is going on, and leaving.
 * Runs on the first CPU, one character at a time; see "help".
 */
#ifndef CORE_MONITOR_H
#define CORE_MONITOR_H

#include "lib/types.h"

/* A character for the monitor was typed. */
void monitor_input(u8 byte);

/* Shows the prompt; on a plain terminal, input goes to the monitor then. */
void monitor_prompt(void);

#endif
