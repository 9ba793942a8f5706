/* SPDX-License-Identifier: MIT */
/* Semantics of the VMX instructions. */
#include "nested/instruction.h"
#include "lib/check.h"
#include "lib/x86.h"
#include "nested/operand.h"
#include "nested/slots.h"

/* SDM vol. 3, "Conventions": VMsucceed, VMfailInvalid, VMfailValid. */
#define FLAG_CF     BIT(0)
#define FLAG_ZF     BIT(6)

#define EPTP_COUNT  512u
#define VMFUNC_LAST 63u

typedef struct nested_result execute_one(struct nested_cpu *cpu,
					 const struct nested_instruction *i);

static struct nested_result done(const struct nested_cpu *cpu, u64 flags)
{
	return (struct nested_result){
	    .outcome = NESTED_DONE,
	    .rflags = (cpu->paging.rflags & ~NESTED_FLAGS) | flags,
	};
}

static struct nested_result succeed(const struct nested_cpu *cpu)
{
	return done(cpu, 0);
}

static struct nested_result fail_invalid(const struct nested_cpu *cpu)
{
	return done(cpu, FLAG_CF);
}

struct nested_result nested_fail(struct nested_cpu *cpu, enum vmx_error error)
{
	struct nested_state *state = cpu->state;

	if (!nested_has_vmcs12(state))
		return fail_invalid(cpu);
	state->vmcs12.instruction_error = error;
	state->vmcs12_changed = true;
	if (state->is_enlightened) {
		evmcs_write_error(cpu->mem, state->evmcs, error);
		state->evmcs_is_known = false;
	}
	return done(cpu, FLAG_ZF);
}

void nested_state_reset(struct nested_state *state)
{
	*state = (struct nested_state){
	    .feature_control = NESTED_FEATURE_CONTROL_RESET,
	    .vmxon = gpa(NESTED_NO_POINTER),
	    .current = gpa(NESTED_NO_POINTER),
	    .evmcs = gpa(NESTED_NO_POINTER),
	};
}

void nested_write_back(struct nested_state *state, struct guest_mem *mem)
{
	struct nested_slots *s = state->slots;

	if (s && s->slots[s->current].changed) {
		state->vmcs12_changed = true;
		s->slots[s->current].changed = false;
	}
	if (nested_has_current(state) && state->vmcs12_changed)
		vmcs12_store(&state->vmcs12, mem, state->current);
	state->vmcs12_changed = false;
}

/* The current VMCS is in memory and current no more. */
static void let_go(struct nested_state *state, struct guest_mem *mem)
{
	nested_write_back(state, mem);
	state->current = gpa(NESTED_NO_POINTER);
	if (state->slots)
		nested_slots_let_go(state->slots);
}

void nested_launched(struct nested_state *state)
{
	if (state->vmcs12.launch_state == VMCS12_LAUNCHED)
		return;
	state->vmcs12.launch_state = VMCS12_LAUNCHED;
	state->vmcs12_changed = true;
}

/* No VMX instruction exists in real, virtual-8086 or compatibility mode. */
static bool mode_is_right(const struct nested_cpu *cpu)
{
	const struct guest_paging *p = &cpu->paging;

	if (cpu->pointer)
		return true;
	return (p->cr0 & CR0_PE) && !(p->rflags & RFLAGS_VM) &&
	       (!(p->efer & EFER_LMA) || nested_is_64_bit(cpu));
}

/* The checks that all but VMXON begin with. */
static bool admit(const struct nested_cpu *cpu, struct nested_result *result)
{
	if (!nested_in_vmx(cpu->state) || !mode_is_right(cpu))
		return nested_raise(result, EXCEPTION_UD, 0);
	if (cpu->paging.cpl > 0)
		return nested_raise(result, EXCEPTION_GP, 0);
	return true;
}

static bool is_page(u64 address, u32 phys_bits)
{
	return is_aligned(address, PAGE_4K) && !(address >> phys_bits);
}

static bool is_region(const struct nested_cpu *cpu, u64 address)
{
	return is_page(address, cpu->paging.phys_bits);
}

static bool is_vmxon_region(const struct nested_cpu *cpu, u64 address)
{
	return gpa_equal(gpa(address), cpu->state->vmxon);
}

static bool is_evmcs(const struct nested_cpu *cpu, u64 address)
{
	return cpu->state->is_enlightened &&
	       gpa_equal(gpa(address), cpu->state->evmcs);
}

static bool read_pointer(const struct nested_cpu *cpu,
			 const struct nested_instruction *i, u64 *pointer,
			 struct nested_result *result)
{
	if (cpu->pointer) {
		*pointer = *cpu->pointer;
		return true;
	}
	return nested_operand_read(cpu, i, pointer, sizeof(*pointer), result);
}

static bool may_vmxon(const struct nested_cpu *cpu)
{
	const struct nested_capability *c = cpu->offer;
	const struct guest_paging *p = &cpu->paging;
	const u64 enabled =
	    FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX;

	return p->cpl == 0 && (p->cr0 & c->cr0_fixed0) == c->cr0_fixed0 &&
	       !(p->cr0 & ~c->cr0_fixed1) &&
	       (p->cr4 & c->cr4_fixed0) == c->cr4_fixed0 &&
	       !(p->cr4 & ~c->cr4_fixed1) &&
	       (cpu->state->feature_control & enabled) == enabled;
}

static struct nested_result on_vmxon(struct nested_cpu *cpu,
				     const struct nested_instruction *i)
{
	struct nested_result result;
	u64 address;

	if (!mode_is_right(cpu) || !(cpu->paging.cr4 & CR4_VMXE)) {
		nested_raise(&result, EXCEPTION_UD, 0);
		return result;
	}
	if (nested_in_vmx(cpu->state)) {
		if (!admit(cpu, &result))
			return result;
		return nested_fail(cpu, VMX_ERROR_VMXON_IN_ROOT);
	}
	if (!may_vmxon(cpu)) {
		nested_raise(&result, EXCEPTION_GP, 0);
		return result;
	}
	if (!read_pointer(cpu, i, &address, &result))
		return result;
	if (!is_region(cpu, address) ||
	    vmcs12_load_revision(cpu->mem, gpa(address)) != NESTED_REVISION)
		return fail_invalid(cpu);
	cpu->state->vmxon = gpa(address);
	cpu->state->current = gpa(NESTED_NO_POINTER);
	cpu->state->is_enlightened = false;
	return succeed(cpu);
}

static struct nested_result on_vmxoff(struct nested_cpu *cpu,
				      const struct nested_instruction *i)
{
	struct nested_result result;

	(void)i;
	if (!admit(cpu, &result))
		return result;
	let_go(cpu->state, cpu->mem);
	nested_slots_drop_all(cpu->state, cpu->mem);
	cpu->state->vmxon = gpa(NESTED_NO_POINTER);
	cpu->state->is_enlightened = false;
	return succeed(cpu);
}

static struct nested_result on_vmclear(struct nested_cpu *cpu,
				       const struct nested_instruction *i)
{
	struct nested_state *state = cpu->state;
	struct nested_result result;
	u64 address;

	if (!admit(cpu, &result) || !read_pointer(cpu, i, &address, &result))
		return result;
	if (!is_region(cpu, address))
		return nested_fail(cpu, VMX_ERROR_VMCLEAR_ADDRESS);
	if (is_vmxon_region(cpu, address))
		return nested_fail(cpu, VMX_ERROR_VMCLEAR_VMXON_POINTER);
	if (gpa_equal(gpa(address), state->current)) {
		let_go(state, cpu->mem);
	} else if (is_evmcs(cpu, address)) {
		state->is_enlightened = false;
		return succeed(cpu);
	} else if (cpu->wants_evmcs) {
		/* May be one as well, and has no launch state to clear. */
		return succeed(cpu);
	} else {
		nested_slots_drop(state, cpu->mem, gpa(address));
	}
	vmcs12_store_clear(cpu->mem, gpa(address));
	return succeed(cpu);
}

/* Who clears a VMCS that is clear writes nothing. */
bool nested_clear_another(struct nested_state *state, struct guest_mem *mem,
			  u32 phys_bits, u64 address)
{
	const struct vmcs12 *v;

	if (!is_page(address, phys_bits) || state->is_enlightened ||
	    gpa_equal(gpa(address), state->vmxon) ||
	    gpa_equal(gpa(address), state->current))
		return false;
	if (state->slots &&
	    nested_slots_find(state->slots, gpa(address)) != NESTED_SLOTS)
		nested_slots_drop(state, mem, gpa(address));
	v = guest_mem_ptr(mem, gpa(address), sizeof(*v));
	if (!v ||
	    __atomic_load_n(&v->launch_state, __ATOMIC_RELAXED) != VMCS12_CLEAR)
		vmcs12_store_clear(mem, gpa(address));
	return true;
}

static void make_current(struct nested_state *state, struct guest_mem *mem,
			 gpa_t address)
{
	if (state->slots) {
		nested_slots_switch(state, mem, address);
		return;
	}
	nested_write_back(state, mem);
	vmcs12_load(&state->vmcs12, mem, address);
	state->current = address;
}

static struct nested_result on_vmptrld(struct nested_cpu *cpu,
				       const struct nested_instruction *i)
{
	struct nested_state *state = cpu->state;
	struct nested_result result;
	bool may_shadow = nested_capability_allows(
	    cpu->offer, CONTROLS_SECONDARY, SECONDARY_VMCS_SHADOWING);
	u32 revision;
	u64 address;

	if (!admit(cpu, &result) || !read_pointer(cpu, i, &address, &result))
		return result;
	if (!is_region(cpu, address))
		return nested_fail(cpu, VMX_ERROR_VMPTRLD_ADDRESS);
	if (is_vmxon_region(cpu, address))
		return nested_fail(cpu, VMX_ERROR_VMPTRLD_VMXON_POINTER);
	revision = vmcs12_load_revision(cpu->mem, gpa(address));
	if ((revision & ~VMCS12_SHADOW) != NESTED_REVISION ||
	    ((revision & VMCS12_SHADOW) && !may_shadow))
		return nested_fail(cpu, VMX_ERROR_VMPTRLD_REVISION);
	if (!gpa_equal(gpa(address), state->current)) {
		make_current(state, cpu->mem, gpa(address));
		/* Another vCPU may have written since it was looked at. */
		state->vmcs12.revision = revision;
		state->is_enlightened = false;
	}
	return succeed(cpu);
}

static struct nested_result on_vmptrst(struct nested_cpu *cpu,
				       const struct nested_instruction *i)
{
	u64 pointer = gpa_raw(cpu->state->current);
	struct nested_result result;

	if (!admit(cpu, &result) ||
	    !nested_operand_write(cpu, i, &pointer, sizeof(pointer), &result))
		return result;
	return succeed(cpu);
}

/* Registers and values have the size of the mode. */
static u64 of_mode(const struct nested_cpu *cpu, u64 value)
{
	return nested_is_64_bit(cpu) ? value : low32(value);
}

static u32 mode_bytes(const struct nested_cpu *cpu)
{
	return nested_is_64_bit(cpu) ? 8 : 4;
}

static u64 second_register(const struct nested_cpu *cpu,
			   const struct nested_instruction *i)
{
	return of_mode(cpu, cpu->gpr[nested_operand_second(i->information)]);
}

/* What VMREAD and VMWRITE access; an error number goes to the current VMCS. */
static struct nested_state *accessed(const struct nested_cpu *cpu)
{
	return cpu->linked ? cpu->linked : cpu->state;
}

static struct nested_result on_vmread(struct nested_cpu *cpu,
				      const struct nested_instruction *i)
{
	struct nested_result result;
	enum vmx_error error;
	u64 value;

	if (!admit(cpu, &result))
		return result;
	if (!nested_has_current(accessed(cpu)))
		return fail_invalid(cpu);
	error = vmcs12_read(&accessed(cpu)->vmcs12, cpu->offer,
			    second_register(cpu, i), &value);
	if (error != VMX_ERROR_NONE)
		return nested_fail(cpu, error);
	if (nested_operand_is_register(i->information))
		cpu->gpr[nested_operand_first(i->information)] =
		    of_mode(cpu, value);
	else if (!nested_operand_write(cpu, i, &value, mode_bytes(cpu),
				       &result))
		return result;
	return succeed(cpu);
}

static struct nested_result on_vmwrite(struct nested_cpu *cpu,
				       const struct nested_instruction *i)
{
	struct nested_result result;
	enum vmx_error error;
	u64 encoding = second_register(cpu, i);
	u64 value = 0;

	if (!admit(cpu, &result))
		return result;
	if (!nested_has_current(accessed(cpu)))
		return fail_invalid(cpu);
	error = vmcs12_may_write(cpu->offer, encoding);
	if (error != VMX_ERROR_NONE)
		return nested_fail(cpu, error);
	if (nested_operand_is_register(i->information))
		value = of_mode(cpu,
				cpu->gpr[nested_operand_first(i->information)]);
	else if (!nested_operand_read(cpu, i, &value, mode_bytes(cpu), &result))
		return result;
	error =
	    vmcs12_write(&accessed(cpu)->vmcs12, cpu->offer, encoding, value);
	CHECK(error == VMX_ERROR_NONE); /* asked before */
	accessed(cpu)->vmcs12_changed = true;
	return succeed(cpu);
}

/*
 * The eVMCS that L1 asks for is in vmcs12, and no VMCS is current. False: there
 * is none; a current VMCS has been written back, and nothing else has changed.
 */
static bool select_evmcs(struct nested_cpu *cpu, enum exit_reason reason)
{
	struct nested_state *state = cpu->state;
	bool is_new = !is_evmcs(cpu, gpa_raw(cpu->evmcs));
	bool is_known =
	    !is_new && state->evmcs_is_known && reason == EXIT_VMRESUME;

	if (nested_has_current(state))
		nested_write_back(state, cpu->mem);
	if (!is_region(cpu, gpa_raw(cpu->evmcs)) ||
	    is_vmxon_region(cpu, gpa_raw(cpu->evmcs)) ||
	    evmcs_read(&state->vmcs12, cpu->mem, cpu->evmcs,
		       is_known ? EVMCS_TRUST_CLEAN : EVMCS_READ_ALL,
		       &cpu->found) != OK)
		return false;
	state->current = gpa(NESTED_NO_POINTER);
	if (state->slots)
		nested_slots_let_go(state->slots);
	state->is_enlightened = state->evmcs_is_known = true;
	state->evmcs = cpu->evmcs;
	/* It has none in memory: L1 knows. */
	state->vmcs12.launch_state =
	    reason == EXIT_VMLAUNCH ? VMCS12_CLEAR : VMCS12_LAUNCHED;
	return true;
}

enum err nested_find_evmcs(struct nested_state *state, gpa_t evmcs,
			   u32 phys_bits)
{
	if (!is_page(gpa_raw(evmcs), phys_bits) ||
	    gpa_equal(evmcs, state->vmxon))
		return ERR_NOT_FOUND;
	state->evmcs = evmcs;
	return OK;
}

/* The VMCS to enter with is in vmcs12. */
static bool has_vmcs(struct nested_cpu *cpu, enum exit_reason reason)
{
	if (cpu->wants_evmcs)
		return select_evmcs(cpu, reason);
	/* L1 asks for it no longer. */
	cpu->state->is_enlightened = false;
	return nested_has_current(cpu->state);
}

/* VMLAUNCH and VMRESUME: SDM vol. 3, "Basic VM-Entry Checks". */
static struct nested_result on_entry(struct nested_cpu *cpu,
				     const struct nested_instruction *i)
{
	const struct vmcs12 *v = &cpu->state->vmcs12;
	struct nested_result result;
	bool launched;

	if (!admit(cpu, &result))
		return result;
	if (!has_vmcs(cpu, i->reason) || (v->revision & VMCS12_SHADOW))
		return fail_invalid(cpu);
	launched = v->launch_state == VMCS12_LAUNCHED;
	if (cpu->interruptibility & BLOCKING_BY_MOV_SS)
		return nested_fail(cpu, VMX_ERROR_BLOCKED_BY_MOV_SS);
	if (i->reason == EXIT_VMLAUNCH && launched)
		return nested_fail(cpu, VMX_ERROR_VMLAUNCH_NOT_CLEAR);
	if (i->reason == EXIT_VMRESUME && !launched)
		return nested_fail(cpu, VMX_ERROR_VMRESUME_NOT_LAUNCHED);
	/* L2 reads and writes that one in memory. */
	if (nested_secondary_controls(v) & SECONDARY_VMCS_SHADOWING)
		nested_slots_drop(cpu->state, cpu->mem, gpa(v->link_pointer));
	return (struct nested_result){.outcome = NESTED_ENTER};
}

static struct nested_result on_vmcall(struct nested_cpu *cpu,
				      const struct nested_instruction *i)
{
	struct nested_result result;

	(void)i;
	if (!admit(cpu, &result))
		return result;
	return nested_fail(cpu, VMX_ERROR_VMCALL_IN_ROOT);
}

static bool type_is_offered(const struct nested_cpu *cpu, u64 type, u64 first,
			    u64 count)
{
	return type < count && (cpu->offer->ept_vpid & first << type);
}

static struct nested_result invalidate(const struct nested_cpu *cpu,
				       enum nested_invalidation what)
{
	struct nested_result result = succeed(cpu);

	result.invalidation = what;
	return result;
}

/* Type 1 is one EPTP, type 2 all; bit 24 + type of the capability MSR. */
static struct nested_result on_invept(struct nested_cpu *cpu,
				      const struct nested_instruction *i)
{
	u64 type = second_register(cpu, i);
	struct nested_result result;
	u64 descriptor[2];

	if (!(cpu->offer->ept_vpid & EPT_CAP_INVEPT)) {
		nested_raise(&result, EXCEPTION_UD, 0);
		return result;
	}
	if (!admit(cpu, &result))
		return result;
	if (type == 0 || !type_is_offered(cpu, type, BIT(24), 3))
		return nested_fail(cpu, VMX_ERROR_INVALIDATE_OPERAND);
	if (!nested_operand_read(cpu, i, descriptor, sizeof(descriptor),
				 &result))
		return result;
	if (type == 2)
		return invalidate(cpu, NESTED_INVALIDATE_ALL_EPT);
	if (descriptor[1] || !nested_eptp_is_valid(descriptor[0], cpu->offer,
						   cpu->paging.phys_bits))
		return nested_fail(cpu, VMX_ERROR_INVALIDATE_OPERAND);
	result = invalidate(cpu, NESTED_INVALIDATE_EPT);
	result.eptp = descriptor[0];
	return result;
}

static bool is_canonical(const struct nested_cpu *cpu, u64 address)
{
	u64 upper = address >> (cpu->linear_bits - 1);

	return upper == 0 || upper == ~0UL >> (cpu->linear_bits - 1);
}

/* Types 0 to 3; bit 40 + type of the capability MSR. */
static struct nested_result on_invvpid(struct nested_cpu *cpu,
				       const struct nested_instruction *i)
{
	static const enum nested_invalidation whats[] = {
	    NESTED_INVALIDATE_ADDRESS,
	    NESTED_INVALIDATE_VPID,
	    NESTED_INVALIDATE_ALL_VPIDS,
	    NESTED_INVALIDATE_VPID_BUT_GLOBALS,
	};
	u64 type = second_register(cpu, i);
	struct nested_result result;
	u64 descriptor[2]; /* VPID and reserved bits; linear address */

	if (!(cpu->offer->ept_vpid & EPT_CAP_INVVPID)) {
		nested_raise(&result, EXCEPTION_UD, 0);
		return result;
	}
	if (!admit(cpu, &result))
		return result;
	if (!type_is_offered(cpu, type, EPT_CAP_INVVPID_ADDRESS,
			     ARRAY_COUNT(whats)))
		return nested_fail(cpu, VMX_ERROR_INVALIDATE_OPERAND);
	if (!nested_operand_read(cpu, i, descriptor, sizeof(descriptor),
				 &result))
		return result;
	if ((descriptor[0] & ~BITS(15, 0)) ||
	    (whats[type] != NESTED_INVALIDATE_ALL_VPIDS && !descriptor[0]) ||
	    (whats[type] == NESTED_INVALIDATE_ADDRESS &&
	     !is_canonical(cpu, descriptor[1])))
		return nested_fail(cpu, VMX_ERROR_INVALIDATE_OPERAND);
	result = invalidate(cpu, whats[type]);
	result.vpid = (u16)descriptor[0];
	result.address = gva(descriptor[1]);
	return result;
}

struct nested_result nested_execute(struct nested_cpu *cpu,
				    const struct nested_instruction *i)
{
	static execute_one *const table[EXIT_REASON_COUNT] = {
	    [EXIT_VMCALL] = on_vmcall,   [EXIT_VMCLEAR] = on_vmclear,
	    [EXIT_VMLAUNCH] = on_entry,  [EXIT_VMPTRLD] = on_vmptrld,
	    [EXIT_VMPTRST] = on_vmptrst, [EXIT_VMREAD] = on_vmread,
	    [EXIT_VMRESUME] = on_entry,  [EXIT_VMWRITE] = on_vmwrite,
	    [EXIT_VMXOFF] = on_vmxoff,   [EXIT_VMXON] = on_vmxon,
	    [EXIT_INVEPT] = on_invept,   [EXIT_INVVPID] = on_invvpid,
	};

	CHECK(i->reason < EXIT_REASON_COUNT && table[i->reason]);
	return table[i->reason](cpu, i);
}

/* SDM vol. 3, "VMCS Shadowing Bitmap Addresses": one bit per encoding. */
bool nested_shadow_exits(const struct guest_mem *mem, u64 bitmap, u64 encoding)
{
	u8 bits;

	if (encoding & BITS(63, 15))
		return true;
	if (guest_mem_read_u8(mem, gpa(bitmap + encoding / 8), &bits) != OK)
		return true;
	return bits >> (encoding % 8) & 1;
}

/* SDM vol. 3, "VM Functions", "EPTP Switching". */
enum nested_vmfunc nested_vmfunc(struct nested_cpu *cpu, u32 eax, u32 ecx)
{
	struct vmcs12 *v = &cpu->state->vmcs12;
	u64 eptp;

	if (!(nested_secondary_controls(v) & SECONDARY_VMFUNC) ||
	    eax > VMFUNC_LAST)
		return NESTED_VMFUNC_UD;
	if (!(v->vmfunc_controls & VMFUNC_EPTP_SWITCHING) || eax != 0 ||
	    ecx >= EPTP_COUNT)
		return NESTED_VMFUNC_EXIT;
	if (guest_mem_read_u64(cpu->mem, gpa(v->eptp_list_address + 8UL * ecx),
			       &eptp) != OK ||
	    !nested_eptp_is_valid(eptp, cpu->offer, cpu->paging.phys_bits))
		return NESTED_VMFUNC_EXIT;
	v->ept_pointer = eptp;
	cpu->state->vmcs12_changed = true;
	return NESTED_VMFUNC_SWITCHED;
}
