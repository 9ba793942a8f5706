/* SPDX-License-Identifier: MIT */
/*
 * The machine's own NMIs: no guest ever sees them. One that nobody has sent,
 * as of a watchdog or of a server's button, is counted; the monitor sends one
 * to learn where a CPU is that does not answer.
 */
#ifndef CORE_NMI_H
#define CORE_NMI_H

#include "lib/types.h"

/*
 * For the monitor: sends CPU `index` an NMI and says what it was doing. Waits
 * for it, but not for ever.
 */
void nmi_ask(u32 index);

#endif
