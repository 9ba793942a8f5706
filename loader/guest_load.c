/* SPDX-License-Identifier: MIT */
/* Plan and commit for guests of every kind: see loader/guest_load.h. */
#include "loader/guest_load.h"
#include "lib/log.h"
#include "lib/string.h"
#include "loader/cmdline.h"
#include "loader/linux.h"
#include "loader/multiboot_guest.h"
#include "mm/phys.h"

/* Pieces below 1M count for nothing: every guest has memory there. */
static u64 memory_needed(const struct guest_load *load)
{
	u64 needed = MIB;

	for (u32 i = 0; i < load->piece_count; i++) {
		const struct guest_piece *piece = &load->pieces[i];
		u64 end = gpa_raw(piece->at) + piece->total_bytes;

		if (needed < end)
			needed = end;
	}
	return align_up(needed, MIB);
}

static enum err plan_with(struct guest_load *load,
			  const struct guest_plan *plan,
			  const struct boot_info *boot, u64 memory_bytes)
{
	load->piece_count = 0;
	memset(&load->entry, 0, sizeof(load->entry));
	guest_map_make(&load->map, memory_bytes);
	if (load->image.kind == GUEST_IMAGE_LINUX)
		return linux_plan(load, plan, boot);
	return multiboot_guest_plan(load, plan, boot);
}

/* It fits nowhere, however much memory the guest has. */
static enum err explain_impossible(const struct guest_load *load)
{
	const struct guest_misfit *misfit = &load->misfit;
	char bytes[24];

	cmdline_print_bytes(misfit->bytes, bytes, sizeof(bytes));
	log_error("guest %s: its %s of %s bytes does not fit %s %#lx; no guest "
		  "has that much memory there",
		  load->name, misfit->what, bytes,
		  misfit->is_fixed ? "at" : "above", misfit->at);
	return ERR_RANGE;
}

/* The guest does not fit. Would it, with the most that lies below 4G? */
static enum err explain_misfit(struct guest_load *load,
			       const struct guest_plan *plan,
			       const struct boot_info *boot)
{
	const struct guest_misfit misfit = load->misfit;
	char bytes[24], has[24], needed[24];
	enum err err = plan_with(load, plan, boot, GUEST_LOW_END);

	if (err == ERR_NO_MEMORY)
		return explain_impossible(load);
	if (err)
		return err;
	cmdline_print_bytes(misfit.bytes, bytes, sizeof(bytes));
	cmdline_print_bytes(plan->memory_bytes, has, sizeof(has));
	cmdline_print_bytes(memory_needed(load), needed, sizeof(needed));
	log_error("guest %s: its %s of %s bytes does not fit into %s of "
		  "memory; mem=%s would do",
		  load->name, misfit.what, bytes, has, needed);
	return ERR_NO_MEMORY;
}

static void log_plan(const struct guest_load *load)
{
	log_debug("guest %s: a %s kernel that begins at %#lx", load->name,
		  guest_image_kind_text(load->image.kind), load->entry.rip);
	for (u32 i = 0; i < load->piece_count; i++) {
		const struct guest_piece *piece = &load->pieces[i];

		log_debug("guest %s: %s at %#lx, %#lx bytes", load->name,
			  piece->what, gpa_raw(piece->at), piece->total_bytes);
	}
}

enum err guest_load_plan(struct guest_load *load, const struct guest_plan *plan,
			 const struct boot_info *boot)
{
	const struct boot_module *kernel = &boot->modules[plan->kernel_module];
	const struct image_file file = {plan->name, phys_ptr(kernel->base),
					kernel->bytes};

	load->name = plan->name;
	enum err err = guest_image_read(&load->image, &file);

	if (err)
		return err;
	err = plan_with(load, plan, boot, plan->memory_bytes);
	if (err == ERR_NO_MEMORY)
		return explain_misfit(load, plan, boot);
	if (err == OK)
		log_plan(load);
	return err;
}

enum err guest_load_commit(const struct guest_load *load, struct guest_mem *mem)
{
	for (u32 i = 0; i < load->piece_count; i++) {
		const struct guest_piece *piece = &load->pieces[i];
		enum err err = guest_mem_load(mem, piece->at, piece->from,
					      piece->copy_bytes);

		if (err) {
			log_error("guest %s: its %s cannot be copied to %#lx: "
				  "%s",
				  load->name, piece->what, gpa_raw(piece->at),
				  err_text(err));
			return err;
		}
	}
	return OK;
}
