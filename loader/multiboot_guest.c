/* SPDX-License-Identifier: MIT */
/*
 * A multiboot kernel's place, its modules' places, and the information for
 * it in either version's form.
 */
#include "loader/multiboot_guest.h"
#include "lib/check.h"
#include "lib/string.h"
#include "loader/guest_place.h"
#include "loader/multiboot.h"
#include "mm/phys.h"

static const char loader_name[] = "Umbra";

/* Where the modules have come to lie. */
struct modules {
	gpa_t at[GUEST_ATTACHMENTS_MAX];
};

/* Fills guest_load.info from its beginning. */
struct builder {
	struct guest_load *load;
	gpa_t base; /* of the information in the guest */
	u32 used;
};

/*
 * The worst that a plan can ask for: texts are bounded by boot_info, counts
 * by guest_plan. Version 2 needs more: heads of 16 bytes and gaps of 7.
 */
_Static_assert(GUEST_LOAD_INFO_BYTES >=
		   (GUEST_ATTACHMENTS_MAX + 1ULL) *
			   (BOOT_MODULE_TEXT_BYTES + 24) +
		       GUEST_MAP_RANGES_MAX * sizeof(struct mb2_mmap_entry) +
		       sizeof(struct mb1_info) + 256,
	       "the information always fits");

/* Takes room at the next multiple of `alignment`; gives its offset. */
static u32 reserve(struct builder *builder, u32 count, u32 alignment)
{
	u32 offset = (u32)align_up(builder->used, alignment);

	CHECK(offset + count <= GUEST_LOAD_INFO_BYTES);
	builder->used = offset + count;
	return offset;
}

static void put(struct builder *builder, u32 offset, const void *bytes,
		u32 count)
{
	memcpy(builder->load->info + offset, bytes, count);
}

/* What the guest finds at an offset; all of it lies below 4G. */
static u32 address_of(const struct builder *builder, u32 offset)
{
	return (u32)gpa_raw(gpa_add(builder->base, offset));
}

/* Appends bytes and gives their address. */
static u32 append(struct builder *builder, const void *bytes, u32 count,
		  u32 alignment)
{
	u32 offset = reserve(builder, count, alignment);

	put(builder, offset, bytes, count);
	return address_of(builder, offset);
}

static u32 append_text(struct builder *builder, const char *text)
{
	return append(builder, text, (u32)strlen(text) + 1, 1);
}

static u32 memory_type(enum guest_range_kind kind)
{
	return kind == GUEST_RANGE_RAM ? MB_MEMORY_AVAILABLE
				       : MB_MEMORY_RESERVED;
}

/* KiB from 0 without a hole, and from 1 MiB. */
static u32 mem_lower(void)
{
	return (u32)(GUEST_EBDA / KIB);
}

static u32 mem_upper(const struct guest_map *map)
{
	for (u32 i = 0; i < map->range_count; i++)
		if (gpa_raw(map->ranges[i].base) == MIB)
			return (u32)(map->ranges[i].bytes / KIB);
	return 0;
}

/* --- Version 1 ---------------------------------------------------------- */

static void append_mb1_modules(struct builder *builder, struct mb1_info *info,
			       const struct guest_plan *plan,
			       const struct boot_info *boot,
			       const struct modules *modules)
{
	u32 entry_bytes = (u32)sizeof(struct mb1_module);
	u32 list =
	    reserve(builder, plan->attachment_count * entry_bytes, sizeof(u32));

	for (u32 i = 0; i < plan->attachment_count; i++) {
		const struct guest_attachment *it = &plan->attachments[i];
		u64 start = gpa_raw(modules->at[i]);
		const struct mb1_module module = {
		    .mod_start = (u32)start,
		    .mod_end = (u32)(start + boot->modules[it->module].bytes),
		    .string = append_text(builder, it->text),
		};

		put(builder, list + i * entry_bytes, &module, entry_bytes);
	}
	info->mods_count = plan->attachment_count;
	info->mods_addr = address_of(builder, list);
}

static void append_mb1_mmap(struct builder *builder, struct mb1_info *info)
{
	struct mb1_mmap_entry list[GUEST_MAP_TOLD_MAX];
	struct guest_range range;
	u32 count = 0;

	for (; guest_map_told(&builder->load->map, count, &range); count++)
		list[count] = (struct mb1_mmap_entry){
		    .size = MB1_MMAP_ENTRY_MIN_SIZE,
		    .base_addr = gpa_raw(range.base),
		    .length = range.bytes,
		    .type = memory_type(range.kind),
		};
	info->mmap_length = count * (u32)sizeof(list[0]);
	info->mmap_addr = append(builder, list, info->mmap_length, sizeof(u32));
}

/* The head comes first, but holds the addresses of all that follows it. */
static void build_mb1(struct builder *builder, const struct guest_plan *plan,
		      const struct boot_info *boot,
		      const struct modules *modules)
{
	struct mb1_info info = {
	    .flags = MB1_INFO_MEMORY | MB1_INFO_COMMAND_LINE |
		     MB1_INFO_MODULES | MB1_INFO_MMAP |
		     MB1_INFO_BOOT_LOADER_NAME,
	    .mem_lower = mem_lower(),
	    .mem_upper = mem_upper(&builder->load->map),
	};

	builder->used = sizeof(info);
	info.cmdline = append_text(builder, plan->command_line);
	info.boot_loader_name = append_text(builder, loader_name);
	append_mb1_modules(builder, &info, plan, boot, modules);
	append_mb1_mmap(builder, &info);
	put(builder, 0, &info, sizeof(info));
}

/* --- Version 2 ---------------------------------------------------------- */

/* Appends a tag of `head_bytes`, which `tag` begins, and a body behind it. */
static void append_tag(struct builder *builder, struct mb2_tag *tag,
		       u32 head_bytes, const void *body, u32 body_bytes)
{
	tag->size = head_bytes + body_bytes;
	append(builder, tag, head_bytes, MB2_TAG_ALIGN);
	append(builder, body, body_bytes, 1);
}

static void append_text_tag(struct builder *builder, u32 type, const char *text)
{
	struct mb2_tag tag = {.type = type};

	append_tag(builder, &tag, sizeof(tag), text, (u32)strlen(text) + 1);
}

static void append_mb2_modules(struct builder *builder,
			       const struct guest_plan *plan,
			       const struct boot_info *boot,
			       const struct modules *modules)
{
	for (u32 i = 0; i < plan->attachment_count; i++) {
		const struct guest_attachment *it = &plan->attachments[i];
		u64 start = gpa_raw(modules->at[i]);
		struct mb2_tag_module module = {
		    .tag.type = MB2_TAG_MODULE,
		    .mod_start = (u32)start,
		    .mod_end = (u32)(start + boot->modules[it->module].bytes),
		};

		append_tag(builder, &module.tag, sizeof(module), it->text,
			   (u32)strlen(it->text) + 1);
	}
}

static void append_mb2_memory(struct builder *builder)
{
	const struct guest_map *map = &builder->load->map;
	struct mb2_mmap_entry list[GUEST_MAP_TOLD_MAX];
	struct guest_range range;
	u32 count = 0;
	struct mb2_tag_basic_memory basic = {
	    .tag.type = MB2_TAG_BASIC_MEMORY,
	    .mem_lower = mem_lower(),
	    .mem_upper = mem_upper(map),
	};
	struct mb2_tag_mmap mmap = {.tag.type = MB2_TAG_MMAP,
				    .entry_size = sizeof(list[0])};

	for (; guest_map_told(map, count, &range); count++)
		list[count] = (struct mb2_mmap_entry){
		    .base_addr = gpa_raw(range.base),
		    .length = range.bytes,
		    .type = memory_type(range.kind),
		};
	append_tag(builder, &basic.tag, sizeof(basic), "", 0);
	append_tag(builder, &mmap.tag, sizeof(mmap), list,
		   count * (u32)sizeof(list[0]));
}

static void build_mb2(struct builder *builder, const struct guest_plan *plan,
		      const struct boot_info *boot,
		      const struct modules *modules)
{
	struct mb2_info info = {0};
	struct mb2_tag end = {.type = MB2_TAG_END};

	builder->used = sizeof(info);
	append_text_tag(builder, MB2_TAG_COMMAND_LINE, plan->command_line);
	append_text_tag(builder, MB2_TAG_BOOT_LOADER_NAME, loader_name);
	append_mb2_modules(builder, plan, boot, modules);
	append_mb2_memory(builder);
	append_tag(builder, &end, sizeof(end), "", 0);
	info.total_size = builder->used;
	put(builder, 0, &info, sizeof(info));
}

/* --- Places ------------------------------------------------------------- */

/* Gives where the kernel ends, at least 1 MiB. */
static enum err place_kernel(struct guest_load *load, u64 *kernel_end)
{
	const struct guest_image *image = &load->image;
	u64 end = MIB;

	for (u32 i = 0; i < image->segment_count; i++) {
		const struct elf_segment *segment = &image->segments[i];
		const struct guest_piece piece = {
		    .what = "kernel",
		    .at = gpa(segment->physical),
		    .from = image->file.bytes + segment->file_offset,
		    .copy_bytes = segment->file_bytes,
		    .total_bytes = segment->memory_bytes,
		};
		enum err err = guest_place_at(load, &piece);

		if (err)
			return err;
		if (end < segment->physical + segment->memory_bytes)
			end = segment->physical + segment->memory_bytes;
	}
	*kernel_end = end;
	return OK;
}

static enum err place_modules(struct guest_load *load,
			      const struct guest_plan *plan,
			      const struct boot_info *boot, u64 kernel_end,
			      struct modules *modules)
{
	const struct guest_room room = {kernel_end, 4 * GIB, PAGE_4K};

	for (u32 i = 0; i < plan->attachment_count; i++) {
		const struct boot_module *module =
		    &boot->modules[plan->attachments[i].module];
		const struct guest_piece piece = {
		    .what = "module",
		    .from = phys_ptr(module->base),
		    .copy_bytes = module->bytes,
		    .total_bytes = module->bytes,
		};
		enum err err =
		    guest_place_in(load, &room, &piece, &modules->at[i]);

		if (err)
			return err;
	}
	return OK;
}

enum err multiboot_guest_plan(struct guest_load *load,
			      const struct guest_plan *plan,
			      const struct boot_info *boot)
{
	bool is_mb1 = load->image.kind == GUEST_IMAGE_MULTIBOOT1;
	struct builder builder = {.load = load};
	struct modules modules;
	u64 kernel_end;
	enum err err = place_kernel(load, &kernel_end);

	if (err)
		return err;
	err = guest_place_info(load, &builder.base);
	if (err)
		return err;
	err = place_modules(load, plan, boot, kernel_end, &modules);
	if (err)
		return err;
	if (is_mb1)
		build_mb1(&builder, plan, boot, &modules);
	else
		build_mb2(&builder, plan, boot, &modules);
	load->entry = (struct guest_entry){
	    .mode = GUEST_ENTRY_PROTECTED,
	    .rip = load->image.entry,
	    .rax = is_mb1 ? MB1_BOOT_MAGIC : MB2_BOOT_MAGIC,
	    .rbx = gpa_raw(builder.base),
	    .cs = 0x08,
	    .ss_ds_es = 0x10,
	};
	return OK;
}
