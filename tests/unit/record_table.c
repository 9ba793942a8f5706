/* SPDX-License-Identifier: MIT */
/*
 * Prints what a VM's state record is made of, for docs/RECORD.md: it writes
 * each section once, and the linker leads what writes it past here (--wrap),
 * where each says what it is about to write:
 *
 *	section TYPE VERSION NAME
 *	layout NAME
 *	field NAME COUNT BYTES BITS	of a layout, in order
 *	bytes				as many as their section leaves
 *	vmcs12 OFFSET BYTES ENCODING	in those of nested VMX
 */
#include <stdio.h>
#include <stdlib.h>

#include "arch/x86/vmx/guest_cpuid.h"
#include "lib/check.h"
#include "migrate/record_machine.h"
#include "migrate/record_nested.h"
#include "migrate/record_vcpu.h"

/* As core/vm_record.c, of which a guest's record is. */
#define LEAVES                                                               \
	(GUEST_CPUID_BASIC_MAX + 1 + (GUEST_CPUID_EXTENDED_MAX & 0xff) + 1 + \
	 GUEST_CPUID_CACHES + 4)

#define ENCODINGS 0x8000U

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker chooses the names. */
u32 __wrap_record_begin(struct wire_writer *writer, enum record_type type,
			u32 version);
void __wrap_record_end(struct wire_writer *writer, u32 begun);
void __wrap_record_put(struct wire_writer *writer,
		       const struct record_layout *layout, const void *from);
void __wrap_wire_put_bytes(struct wire_writer *writer, const void *from,
			   u32 bytes);
/* NOLINTEND(bugprone-reserved-identifier) */

u32 __wrap_record_begin(struct wire_writer *writer, enum record_type type,
			u32 version)
{
	(void)writer;
	printf("section %02x %u %s\n", type, version, record_type_name(type));
	return 0;
}

void __wrap_record_end(struct wire_writer *writer, u32 begun)
{
	(void)writer;
	(void)begun;
}

void __wrap_record_put(struct wire_writer *writer,
		       const struct record_layout *layout, const void *from)
{
	(void)writer;
	(void)from;
	printf("layout %s\n", layout->name);
	for (u32 i = 0; i < layout->count; i++)
		printf("field %s %u %u %lx\n", layout->fields[i].name,
		       layout->fields[i].count, layout->fields[i].bytes,
		       layout->fields[i].bits);
}

/* What has no layout. */
void __wrap_wire_put_bytes(struct wire_writer *writer, const void *from,
			   u32 bytes)
{
	(void)writer;
	(void)from;
	(void)bytes;
	printf("bytes\n");
}

void check_failed(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, condition);
	abort();
}

/* Of a VM that has all that there is. */
static void print_vmcs12(void)
{
	struct nested_capability all = {.misc = MISC_CR3_TARGETS};

	for (u32 i = 0; i < CONTROLS_COUNT; i++)
		all.words[i].may_be_1 = ~0U;
	for (u32 encoding = 0; encoding < ENCODINGS; encoding += 2) {
		u32 offset = vmcs12_field_offset(&all, encoding);

		if (offset)
			printf("vmcs12 %u %u %x\n", offset,
			       vmcs12_field_bytes(encoding), encoding);
	}
}

int main(void)
{
	/* Nothing of it is looked at, but a caller owes one. */
	static struct wire_writer writer;
	static struct record_vm vm;
	static struct record_leaf leaves[LEAVES];
	static struct record_vmx vmx;
	static struct hyperv hyperv;
	static struct hyperv_vcpu hyperv_vcpu;
	static struct record_vcpu vcpu;
	static struct record_fpu fpu;
	static struct record_host host;
	static struct lapic_state lapic;
	static struct nested_state nested = {.is_enlightened = true};
	static struct record_l2 l2;
	static struct platform_devices devices;

	record_put_vm(&writer, &vm);
	record_put_cpuid(&writer, leaves, LEAVES);
	record_put_vmx(&writer, &vmx);
	record_put_hyperv(&writer, &hyperv);
	record_put_vcpu(&writer, &vcpu);
	record_put_fpu(&writer, &fpu, &host);
	record_put_lapic(&writer, &lapic);
	record_put_hyperv_vcpu(&writer, &hyperv_vcpu);
	record_put_nested(&writer, &nested);
	record_put_evmcs(&writer, &nested);
	record_put_l2(&writer, &l2);
	record_put_devices(&writer, &devices);
	record_begin(&writer, RECORD_END, 1);
	print_vmcs12();
	return 0;
}
