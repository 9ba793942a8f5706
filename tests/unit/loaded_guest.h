/* SPDX-License-Identifier: MIT */
/*
 * A guest that is planned and committed into real guest memory, and looked at
 * from there. For one program: everything is static.
 */
#ifndef TESTS_UNIT_LOADED_GUEST_H
#define TESTS_UNIT_LOADED_GUEST_H

#include <string.h>

#include "loader/guest_load.h"
#include "mm/frame_alloc.h"
#include "tests/unit/host_seams.h"
#include "tests/unit/kernel_files.h"

/* Host memory: boot modules from 1M on, frames for the guest above 32M. */
#define MODULES_AT MIB
#define FRAMES_AT  (32 * MIB)

static struct boot_info boot;
static struct guest_plan plan;
static struct guest_load load;
static struct guest_mem mem;
static u64 next_module;

static void add_module(const void *bytes, u64 count)
{
	struct boot_module *module = &boot.modules[boot.module_count++];

	module->base = hpa(next_module);
	module->bytes = count;
	memcpy(phys_ptr(module->base), bytes, count);
	next_module += align_up(count, PAGE_4K) + PAGE_4K;
}

/* Kernel is the file that kernel_files.h has made. */
static void begin_guest(u64 memory_bytes, const char *command_line)
{
	memset(&boot, 0, sizeof(boot));
	memset(&plan, 0, sizeof(plan));
	memset(&load, 0xff, sizeof(load));
	host_log_count = 0;
	host_last_log[0] = 0;
	next_module = MODULES_AT;
	strcpy(plan.name, "g");
	plan.memory_bytes = memory_bytes;
	plan.cpus = 1;
	plan.command_line = command_line;
	add_module(file_bytes, file_length);
}

UNUSED static void attach_module(enum guest_attachment_kind kind,
				 const void *bytes, u64 count, const char *text)
{
	plan.attachments[plan.attachment_count++] =
	    (struct guest_attachment){kind, boot.module_count, text};
	add_module(bytes, count);
}

static enum err plan_guest(void)
{
	return guest_load_plan(&load, &plan, &boot);
}

static enum err commit_guest(void)
{
	const struct guest_map *map = &load.map;
	const struct guest_range *last = &map->ranges[map->range_count - 1];
	gpa_t limit = gpa_add(last->base, last->bytes);

	frame_alloc_init();
	if (frame_alloc_add(hpa(FRAMES_AT), HOST_PHYS_BYTES - FRAMES_AT) ||
	    guest_mem_create(&mem, limit, "g"))
		return ERR_NO_MEMORY;
	for (u32 i = 0; i < map->range_count; i++)
		if (guest_mem_add(&mem, map->ranges[i].base,
				  map->ranges[i].bytes))
			return ERR_NO_MEMORY;
	return guest_load_commit(&load, &mem);
}

/* Reads that must work; cmocka's asserts are macros of the including file. */
#define peek(at, to, bytes) \
	assert_int_equal(guest_mem_read(&mem, gpa(at), to, bytes), OK)

#endif
