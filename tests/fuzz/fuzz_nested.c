/* SPDX-License-Identifier: MIT */
/*
 * A hostile guest hypervisor: any sequence of VMX instructions with any
 * operands, on VMCS regions and enlightened VMCSs with any bytes in them. The
 * checks end with a verdict, and what they let through has what Umbra relies on.
 */
#include "nested/instruction.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/nested_state.h"

#define OPERAND 0x1f000UL

static struct guest_mem mem;
static struct nested_capability offer;
static struct nested_state state;
static u64 gpr[16];

struct step {
	u8 what, page, info, mode;
	u32 encoding;
	u64 value;
};

static void begin(void)
{
	fuzz_open_window(MIB, 2 * MIB);
	make_l1_memory(&mem);
	offer = full_offer();
}

static void read_ones(void *context, gpa_t address, void *to, u32 bytes)
{
	(void)context;
	(void)address;
	memset(to, 0xff, bytes);
}

static void lose(void *context, gpa_t address, const void *from, u32 bytes)
{
	(void)context;
	(void)address;
	(void)from;
	(void)bytes;
}

static const struct nested_devices no_devices = {read_ones, lose};

static struct nested_cpu cpu_of(const struct step *step)
{
	struct nested_cpu cpu = {
	    .state = &state,
	    .offer = &offer,
	    .mem = &mem,
	    .devices = &no_devices,
	    .gpr = gpr,
	    .linear_bits = 48,
	    .paging = {.cr0 = 0x31 | (step->mode & 1 ? CR0_PG : 0),
		       .cr3 = step->mode & 2 ? 0 : 0x2000,
		       .cr4 = CR4_VMXE | (step->mode & 4 ? CR4_PAE : 0),
		       .efer = step->mode & 8 ? L1_EFER : 0,
		       .phys_bits = L1_PHYS_BITS,
		       .cpl = step->mode >> 6},
	};

	for (u32 i = 0; i < NESTED_SEGMENTS; i++)
		cpu.segments[i] =
		    (struct nested_segment_state){0, 0xffffffff, 0xc093};
	cpu.segments[NESTED_CS].rights = step->mode & 16 ? 0xa09b : 0xc09b;
	/* What a VP-assist page may say: mostly a page that there is. */
	cpu.wants_evmcs = step->mode & 32;
	cpu.evmcs =
	    gpa(step->info & 4 ? step->value : (step->page & 31) * PAGE_4K);
	return cpu;
}

static void check_entry(void)
{
	struct nested_entry e = entry_of(&state.vmcs12, &offer, &mem);
	struct nested_verdict verdict = nested_check_entry(&e);
	struct nested_msr msr;

	REQUIRE((verdict.rule == RULE_NONE) ==
		(verdict.kind == NESTED_ENTRY_OK));
	REQUIRE(nested_rule_text(verdict.rule) != NULL);
	for (u32 i = 0;
	     nested_msr_get(&e, NESTED_MSR_ENTRY_LOAD, i, &msr) == OK; i++)
		REQUIRE(i < 512);
	if (verdict.kind != NESTED_ENTRY_OK)
		return;
	REQUIRE(
	    !(state.vmcs12.pin_controls & ~offer.words[CONTROLS_PIN].may_be_1));
	REQUIRE(!(state.vmcs12.guest_cr3 >> L1_PHYS_BITS));
}

static void execute(const struct step *step)
{
	static const enum exit_reason reasons[] = {
	    EXIT_VMCALL,  EXIT_VMCLEAR, EXIT_VMLAUNCH, EXIT_VMPTRLD,
	    EXIT_VMPTRST, EXIT_VMREAD,  EXIT_VMRESUME, EXIT_VMWRITE,
	    EXIT_VMXOFF,  EXIT_INVEPT,  EXIT_INVVPID,  EXIT_VMXON,
	};
	struct nested_cpu cpu = cpu_of(step);
	struct nested_instruction i = {
	    reasons[step->what % ARRAY_COUNT(reasons)],
	    step->info & 1 ? step->encoding : 0x30418500u | 1u << 22,
	    step->info & 2 ? step->value : OPERAND,
	};
	struct nested_result result;

	gpr[3] = step->encoding;
	gpr[step->info >> 4] ^= step->value;
	result = nested_execute(&cpu, &i);
	if (result.outcome == NESTED_ENTER) {
		check_entry();
		nested_launched(&state);
		if (state.is_enlightened)
			evmcs_write(&state.vmcs12, &mem, state.evmcs);
	}
	REQUIRE(!state.is_enlightened || !nested_has_current(&state));
	REQUIRE(!state.is_enlightened || nested_knows_evmcs(&state));
	if (result.outcome == NESTED_FAULT)
		REQUIRE(result.fault.vector < EXCEPTION_COUNT);
	nested_vmfunc(&cpu, (u32)step->value, step->encoding);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct step step;

	if (!mem.slot_count)
		begin();
	nested_state_reset(&state);
	memset(gpr, 0, sizeof(gpr));
	/* Often the whole way is wanted: a current VMCS that is valid. */
	if (size && (data[0] & 1)) {
		state.vmxon = gpa(PAGE_VMXON);
		state.current = gpa(PAGE_VMCS);
		make_vmcs12(&state.vmcs12);
	}
	for (; size >= sizeof(step);
	     data += sizeof(step), size -= sizeof(step)) {
		memcpy(&step, data, sizeof(step));
		if (step.what & 0x80) {
			/* Any bytes anywhere, as another vCPU might write. */
			REQUIRE(guest_mem_write(
				    &mem,
				    gpa((u64)(step.page % 31) * PAGE_4K +
					step.encoding % 4088),
				    &step.value, 8) == OK);
			continue;
		}
		REQUIRE(guest_mem_write(&mem, gpa(OPERAND), &step.value, 8) ==
			OK);
		execute(&step);
	}
	check_entry();
	return 0;
}
