/* SPDX-License-Identifier: MIT */
/*
 * Which guests to start, from the strings of the boot modules:
 *
 *	[filename] guest [name=NAME] [mem=64M] [cpus=1] [nested=on|off]
 *	           [key=value]... [-- guest command line]
 *	[filename] module [-- text]     a boot module of the guest before it
 *	[filename] initrd [-- text]     the same, for Linux
 *
 * Some loaders put the file name first and some do not: a first word that is
 * no role is skipped. A string without a role is a guest if no guest came
 * before it, otherwise a module of that guest whose text is the whole string.
 *
 * A mistake costs one line in the log and that guest with its modules; the
 * other guests are planned all the same.
 */
#ifndef LOADER_GUEST_PLAN_H
#define LOADER_GUEST_PLAN_H

#include "lib/types.h"
#include "loader/boot_info.h"

#define GUESTS_MAX              16
#define GUEST_NAME_BYTES        32
#define GUEST_CPUS_MAX          64
#define GUEST_MEMORY_DEFAULT    (64 * MIB)
#define GUEST_ATTACHMENTS_MAX   32
#define GUEST_SETTINGS_MAX      16
#define GUEST_SETTING_KEY_BYTES 32
#define GUEST_SETTING_BYTES     128

enum guest_nested {
	GUEST_NESTED_OFF,
	GUEST_NESTED_ON, /* the guest sees VMX; the default */
};

enum guest_attachment_kind {
	GUEST_MODULE,
	GUEST_INITRD,
};

/* A boot module that belongs to a guest, besides its kernel. */
struct guest_attachment {
	enum guest_attachment_kind kind;
	u32 module;       /* index in boot_info.modules */
	const char *text; /* what stands after "--"; in boot_info */
};

/* A word of the guest's string that some later user will understand. */
struct guest_setting {
	char key[GUEST_SETTING_KEY_BYTES];
	char value[GUEST_SETTING_BYTES];
};

struct guest_plan {
	char name[GUEST_NAME_BYTES]; /* unique; letters, digits, - _ and . */
	u64 memory_bytes;            /* a multiple of 4 KiB */
	u32 cpus;
	enum guest_nested nested;
	u32 kernel_module;        /* index in boot_info.modules */
	const char *command_line; /* after "--", "" without; in boot_info */
	struct guest_attachment attachments[GUEST_ATTACHMENTS_MAX];
	u32 attachment_count;
	struct guest_setting settings[GUEST_SETTINGS_MAX];
	u32 setting_count;
};

struct guest_plans {
	struct guest_plan guests[GUESTS_MAX];
	u32 guest_count;
	u32 refused_count; /* guests that were asked for and cannot be */
};

/*
 * Plans all guests. `boot` must outlive the plans, which point into it.
 * guest_plans is large: static storage.
 */
void guest_plan_all(struct guest_plans *plans, const struct boot_info *boot);

/*
 * All that a guest begins with, its files' contents included, as a number that
 * is not 0. Plans of two machines that have the same one begin the same guest.
 */
u64 guest_plan_fingerprint(const struct guest_plan *plan,
			   const struct boot_info *boot);

/*
 * The plan with which a guest began that came from a peer, or NULL. The
 * fingerprint is the peer's word, 0 where it has none: a guest that has not the
 * plan's CPUs is not that guest, whatever the peer says.
 */
const struct guest_plan *guest_plan_find(const struct guest_plans *all,
					 const struct boot_info *boot,
					 u64 fingerprint, u32 cpus);

/* A setting's value, or NULL when the guest's string does not have the key. */
const char *guest_plan_setting(const struct guest_plan *plan, const char *key);

#endif
