/* SPDX-License-Identifier: MIT */
/* The image's side of lib/log.h: how much of it is shown. */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "lib/log.h"

void log_set_level(enum log_level level);

#endif
