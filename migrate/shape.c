/* SPDX-License-Identifier: MIT */
/* A VM from outside: see migrate/shape.h. */
#include "migrate/shape.h"
#include "lib/fmt.h"
#include "lib/string.h"

#define PHYSICAL_BITS_MAX 52
#define CPUS_MAX          4096 /* beyond doubt nonsense */

void shape_take_memory(struct vm_shape *shape, const struct guest_mem *mem)
{
	memset(shape->name, 0, sizeof(shape->name));
	memcpy(shape->name, mem->name,
	       strnlen(mem->name, SHAPE_NAME_BYTES - 1));
	shape->slot_count = mem->slot_count;
	for (u32 i = 0; i < mem->slot_count; i++)
		shape->slots[i] =
		    (struct shape_slot){mem->slots[i].base, mem->slots[i].bytes,
					mem->slots[i].kind};
}

bool shape_is_of(const struct vm_shape *shape, const struct guest_mem *mem)
{
	if (shape->slot_count != mem->slot_count)
		return false;
	for (u32 i = 0; i < mem->slot_count; i++)
		if (!gpa_equal(shape->slots[i].base, mem->slots[i].base) ||
		    shape->slots[i].bytes != mem->slots[i].bytes ||
		    shape->slots[i].kind != mem->slots[i].kind)
			return false;
	return true;
}

/* --- On the wire ---------------------------------------------------------- */

void shape_put(struct wire_writer *writer, const struct vm_shape *shape)
{
	wire_put_u16(writer, (u16)shape->cpu_count);
	wire_put_u16(writer, (u16)shape->slot_count);
	wire_put_u32(writer, shape->cpu.physical_bits);
	wire_put_u64(writer, shape->tsc_hz);
	wire_put_u64(writer, shape->cpu.xcr0);
	wire_put_bytes(writer, shape->name, sizeof(shape->name));
	wire_put_bytes(writer, shape->cpu.vendor, sizeof(shape->cpu.vendor));
	wire_put_bytes(writer, shape->cpu.brand, sizeof(shape->cpu.brand));
	for (u32 i = 0; i < CPU_WORDS; i++)
		wire_put_u32(writer, shape->cpu.features[i]);
	for (u32 i = 0; i < shape->slot_count; i++) {
		wire_put_u64(writer, gpa_raw(shape->slots[i].base));
		wire_put_u64(writer, shape->slots[i].bytes);
		wire_put_u32(writer, shape->slots[i].kind);
		wire_put_u32(writer, 0);
	}
}

/* Foreign text in a field of fixed size; `to` has that size. */
static void get_text(struct wire_reader *reader, char *to, u32 bytes)
{
	const u8 *from = wire_get_bytes(reader, bytes);

	for (u32 i = 0; from && i < bytes; i++)
		to[i] = from[i] == 0 || (from[i] >= ' ' && from[i] <= '~')
			    ? (char)from[i]
			    : '?';
}

static void get_slots(struct wire_reader *reader, struct vm_shape *shape)
{
	for (u32 i = 0; i < shape->slot_count; i++) {
		struct shape_slot *slot = &shape->slots[i];

		slot->base = gpa(wire_get_u64(reader));
		slot->bytes = wire_get_u64(reader);
		u32 kind = wire_get_u32(reader);

		slot->kind = kind == GUEST_ROM ? GUEST_ROM : GUEST_RAM;
		if (kind > GUEST_ROM || wire_get_u32(reader))
			reader->is_short = true;
	}
}

/* Whole pages, in ascending order, none over another, all addressable. */
static bool is_memory_map(const struct vm_shape *shape)
{
	u64 limit = BIT(shape->cpu.physical_bits), end = 0;

	for (u32 i = 0; i < shape->slot_count; i++) {
		u64 base = gpa_raw(shape->slots[i].base);
		u64 bytes = shape->slots[i].bytes;

		if (!is_aligned(base | bytes, PAGE_4K) || !bytes ||
		    base < end || base >= limit || bytes > limit - base)
			return false;
		end = base + bytes;
	}
	return shape->slot_count > 0;
}

enum err shape_get(struct wire_reader *reader, struct vm_shape *shape,
		   char *why, u32 why_bytes)
{
	struct vm_shape found = {0};

	found.cpu_count = wire_get_u16(reader);
	found.slot_count = wire_get_u16(reader);
	found.cpu.physical_bits = wire_get_u32(reader);
	found.tsc_hz = wire_get_u64(reader);
	found.cpu.xcr0 = wire_get_u64(reader);
	get_text(reader, found.name, sizeof(found.name));
	found.name[SHAPE_NAME_BYTES - 1] = 0;
	get_text(reader, found.cpu.vendor, sizeof(found.cpu.vendor));
	get_text(reader, found.cpu.brand, sizeof(found.cpu.brand));
	for (u32 i = 0; i < CPU_WORDS; i++)
		found.cpu.features[i] = wire_get_u32(reader);
	if (reader->is_short || found.slot_count > GUEST_MEM_SLOTS ||
	    !found.cpu_count || found.cpu_count > CPUS_MAX ||
	    found.cpu.physical_bits > PHYSICAL_BITS_MAX) {
		fmt(why, why_bytes,
		    "the peer's description of its VM is "
		    "not one that can be");
		return ERR_BAD_FORMAT;
	}
	get_slots(reader, &found);
	if (!wire_is_done(reader) || !is_memory_map(&found)) {
		fmt(why, why_bytes,
		    "the peer's memory map of %s is not one that can be",
		    found.name);
		return ERR_BAD_FORMAT;
	}
	*shape = found;
	return OK;
}

/* --- Does it fit here? ---------------------------------------------------- */

static const char *const word_names[CPU_WORDS] = {
    [CPU_1_EDX] = "1.edx",
    [CPU_1_ECX] = "1.ecx",
    [CPU_7_EBX] = "7.ebx",
    [CPU_7_ECX] = "7.ecx",
    [CPU_7_EDX] = "7.edx",
    [CPU_D1_EAX] = "d.1.eax",
    [CPU_80000001_EDX] = "80000001.edx",
    [CPU_80000001_ECX] = "80000001.ecx",
};

/* Those in which CPUs that people migrate between differ. */
static const struct {
	enum cpu_word word;
	u32 bit;
	const char *name;
} feature_names[] = {
    {CPU_1_ECX, 0, "sse3"},
    {CPU_1_ECX, 1, "pclmulqdq"},
    {CPU_1_ECX, 5, "vmx"},
    {CPU_1_ECX, 9, "ssse3"},
    {CPU_1_ECX, 12, "fma"},
    {CPU_1_ECX, 13, "cx16"},
    {CPU_1_ECX, 17, "pcid"},
    {CPU_1_ECX, 19, "sse4_1"},
    {CPU_1_ECX, 20, "sse4_2"},
    {CPU_1_ECX, 21, "x2apic"},
    {CPU_1_ECX, 22, "movbe"},
    {CPU_1_ECX, 23, "popcnt"},
    {CPU_1_ECX, 24, "tsc_deadline_timer"},
    {CPU_1_ECX, 25, "aes"},
    {CPU_1_ECX, 26, "xsave"},
    {CPU_1_ECX, 28, "avx"},
    {CPU_1_ECX, 29, "f16c"},
    {CPU_1_ECX, 30, "rdrand"},
    {CPU_7_EBX, 0, "fsgsbase"},
    {CPU_7_EBX, 3, "bmi1"},
    {CPU_7_EBX, 5, "avx2"},
    {CPU_7_EBX, 7, "smep"},
    {CPU_7_EBX, 8, "bmi2"},
    {CPU_7_EBX, 9, "erms"},
    {CPU_7_EBX, 10, "invpcid"},
    {CPU_7_EBX, 16, "avx512f"},
    {CPU_7_EBX, 17, "avx512dq"},
    {CPU_7_EBX, 18, "rdseed"},
    {CPU_7_EBX, 19, "adx"},
    {CPU_7_EBX, 20, "smap"},
    {CPU_7_EBX, 23, "clflushopt"},
    {CPU_7_EBX, 24, "clwb"},
    {CPU_7_EBX, 28, "avx512cd"},
    {CPU_7_EBX, 29, "sha_ni"},
    {CPU_7_EBX, 30, "avx512bw"},
    {CPU_7_EBX, 31, "avx512vl"},
    {CPU_7_ECX, 2, "umip"},
    {CPU_7_ECX, 3, "pku"},
    {CPU_7_ECX, 8, "gfni"},
    {CPU_7_ECX, 9, "vaes"},
    {CPU_7_ECX, 16, "la57"},
    {CPU_7_EDX, 26, "spec_ctrl"},
    {CPU_D1_EAX, 0, "xsaveopt"},
    {CPU_D1_EAX, 1, "xsavec"},
    {CPU_D1_EAX, 3, "xsaves"},
    {CPU_80000001_EDX, 20, "nx"},
    {CPU_80000001_EDX, 26, "pdpe1gb"},
    {CPU_80000001_EDX, 27, "rdtscp"},
    {CPU_80000001_ECX, 5, "lzcnt"},
};

#define NAMED_MAX 6 /* in one message */

struct list {
	char *text;
	u32 bytes, used, count;
};

static void name_feature(struct list *list, enum cpu_word word, u32 bit)
{
	const char *gap = list->count ? ", " : "";

	if (list->count++ >= NAMED_MAX)
		return;
	for (u32 i = 0; i < ARRAY_COUNT(feature_names); i++) {
		if (feature_names[i].word != word ||
		    feature_names[i].bit != bit)
			continue;
		list->used +=
		    (u32)fmt(list->text + list->used, list->bytes - list->used,
			     "%s%s", gap, feature_names[i].name);
		return;
	}
	list->used +=
	    (u32)fmt(list->text + list->used, list->bytes - list->used,
		     "%sCPUID %s bit %u", gap, word_names[word], bit);
}

/* How many are missing; the first of them by name. */
static u32 name_missing(const struct cpu_model *guest,
			const struct cpu_model *host, char *text, u32 bytes)
{
	struct list list = {text, bytes, 0, 0};

	for (u32 word = 0; word < CPU_WORDS; word++)
		for (u32 bit = 0; bit < 32; bit++)
			if (guest->features[word] & ~host->features[word] &
			    (u32)BIT(bit))
				name_feature(&list, (enum cpu_word)word, bit);
	return list.count;
}

enum err cpu_model_fits(const struct cpu_model *guest,
			const struct cpu_model *host, char *why, u32 why_bytes)
{
	char names[NAMED_MAX * 32] = "";
	u32 missing = name_missing(guest, host, names, sizeof(names));

	if (memcmp(guest->vendor, host->vendor, sizeof(guest->vendor)) != 0)
		fmt(why, why_bytes,
		    "the guest knows its CPU as %.12s, this one is %.12s",
		    guest->vendor, host->vendor);
	else if (missing)
		fmt(why, why_bytes,
		    "this CPU lacks what the guest may be using: %s%s", names,
		    missing > NAMED_MAX ? " and more" : "");
	else if (guest->xcr0 & ~host->xcr0)
		fmt(why, why_bytes,
		    "this CPU lacks register state of the guest (XCR0 %lx)",
		    guest->xcr0 & ~host->xcr0);
	else if (guest->physical_bits > host->physical_bits)
		fmt(why, why_bytes,
		    "the guest's addresses have %u bits, this CPU's %u",
		    guest->physical_bits, host->physical_bits);
	else
		return OK;
	return ERR_UNSUPPORTED;
}
