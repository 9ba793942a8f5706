/* SPDX-License-Identifier: MIT */
/*
 * Linux bzImages: "The Linux/x86 Boot Protocol" (Documentation/arch/x86/
 * boot.rst) without the real-mode part, which would need a BIOS.
 */
#ifndef LOADER_LINUX_H
#define LOADER_LINUX_H

#include "loader/guest_load.h"

/* Whether the file has the setup header's magic, whatever its version. */
bool linux_is(const struct image_file *file);

/*
 * Takes the setup header apart. After one line in the log:
 * ERR_BAD_FORMAT   damaged
 * ERR_UNSUPPORTED  older than boot protocol 2.10, or not a bzImage
 */
MUST_CHECK enum err linux_read(const struct image_file *file,
			       struct linux_image *image);

/*
 * Decides where kernel, initrds and boot parameters go, and builds the
 * parameters. Modules of the guest's plan are its initrds, one behind the
 * other. Errors as guest_place (loader/guest_place.h) gives them.
 */
MUST_CHECK enum err linux_plan(struct guest_load *load,
			       const struct guest_plan *plan,
			       const struct boot_info *boot);

#endif
