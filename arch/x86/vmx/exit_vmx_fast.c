/* SPDX-License-Identifier: MIT */
/*
 * VMX instructions as L1 executes nearly all of them: 64-bit code at CPL 0 that
 * does nothing wrong. Whatever is not so goes the whole way, from the
 * beginning: here nothing is changed before everything is known to be right.
 *
 * The mode need not be looked at: in real, virtual-8086 and compatibility mode
 * the CPU raises #UD before it exits (SDM vol. 3, "Relative Priority of Faults
 * and VM Exits"), and IA32_EFER.LMA cannot change in VMX operation, where
 * CR0.PG is fixed. exit_vmx.c has noted that it is set, so this is 64-bit code.
 */
#include "arch/x86/vmx/control_registers.h"
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/exit_vmx.h"
#include "arch/x86/vmx/nested_entry.h"
#include "arch/x86/vmx/nested_vcpu.h"
#include "arch/x86/vmx/vmcs_shadow.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/x86.h"
#include "nested/fields.h"
#include "nested/operand.h"

#define RIGHTS_ABOVE_CPL_0 RIGHTS_DPL
#define LINEAR_BITS        48

static NOINLINE enum exit_action succeed_otherwise(void)
{
	vmcs_write(VMCS_GUEST_RFLAGS,
		   vmcs_read(VMCS_GUEST_RFLAGS) & ~NESTED_FLAGS);
	return ACTION_SKIP;
}

/*
 * SDM vol. 3, "Conventions": VMsucceed. The instruction is left behind here,
 * where one look at RFLAGS is enough, and RIP of 64-bit code needs no care.
 */
static ALWAYS_INLINE enum exit_action succeed(void)
{
	u64 rflags = vmcs_read_first(VMCS_GUEST_RFLAGS);

	if (unlikely(rflags & (RFLAGS_TF | RFLAGS_RF)) ||
	    unlikely(vmcs_read_first(VMCS_GUEST_INTERRUPTIBILITY) &
		     (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)))
		return succeed_otherwise();
	if (rflags & NESTED_FLAGS)
		vmcs_write_first(VMCS_GUEST_RFLAGS, rflags & ~NESTED_FLAGS);
	vmcs_write_first(VMCS_GUEST_RIP,
			 vmcs_read_first(VMCS_GUEST_RIP) +
			     vmcs_read_first(VMCS_EXIT_INSTRUCTION_LENGTH));
	return ACTION_RESUME;
}

/* 64-bit code at CPL 0, in VMX operation. */
static ALWAYS_INLINE bool is_plain(const struct vcpu *vcpu)
{
	const struct nested_vcpu *n = vcpu->nested;

	/* exit_handle() has found out that there is a VMCS. */
	return likely(n && n->is_64_bit) &&
	       likely(!(vmcs_read_first(VMCS_GUEST_SS_ACCESS_RIGHTS) &
			RIGHTS_ABOVE_CPL_0));
}

/* --- VMREAD and VMWRITE --------------------------------------------------- */

/* Between registers that the vCPU's record has, of a field that exists; NULL:
 * it is not. */
static ALWAYS_INLINE const struct nested_access *
find_access(const struct vcpu *vcpu, u32 info)
{
	const struct nested_vcpu *n = vcpu->nested;
	u64 encoding = vcpu->registers.gpr[nested_operand_second(info)];
	const struct nested_access *access;

	if (!nested_operand_is_register(info) ||
	    nested_operand_second(info) == REG_RSP ||
	    nested_operand_first(info) == REG_RSP ||
	    !nested_has_current(&n->state) ||
	    (encoding & ~NESTED_ACCESS_ENCODING))
		return NULL;
	access = &n->access[nested_access_index(encoding)];
	if (!access->offset ||
	    ((access->flags & NESTED_ACCESS_COLD) && n->cold_is_newer))
		return NULL;
	return access;
}

static ALWAYS_INLINE u64 load(const struct vmcs12 *v,
			      const struct nested_access *access)
{
	u64 value;

	/* The last field has eight bytes from its first one on. */
	__builtin_memcpy(&value, (const u8 *)v + access->offset, sizeof(value));
	return value << access->unused_bits >> access->unused_bits;
}

static ALWAYS_INLINE void store(struct vmcs12 *v,
				const struct nested_access *access, u64 value)
{
	void *at = (u8 *)v + access->offset;

	if (access->unused_bits == 0)
		*(u64 *)at = value;
	else if (access->unused_bits == 32)
		*(u32 *)at = (u32)value;
	else
		*(u16 *)at = (u16)value;
}

enum exit_action on_l1_vmread(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	u32 info = (u32)vmcs_read_first(VMCS_EXIT_INSTRUCTION_INFO);
	const struct nested_access *access;

	if (!is_plain(vcpu))
		return on_vmx_instruction(vcpu, exit);
	access = find_access(vcpu, info);
	if (!access)
		return on_vmx_instruction(vcpu, exit);
	vcpu->registers.gpr[nested_operand_first(info)] =
	    load(&vcpu->nested->state.vmcs12, access);
	return succeed();
}

enum exit_action on_l1_vmwrite(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	u32 info = (u32)vmcs_read_first(VMCS_EXIT_INSTRUCTION_INFO);
	const struct nested_access *access;
	struct nested_vcpu *n = vcpu->nested;
	u64 value;

	if (!is_plain(vcpu))
		return on_vmx_instruction(vcpu, exit);
	access = find_access(vcpu, info);
	if (!access || !(access->flags & NESTED_ACCESS_SAME))
		return on_vmx_instruction(vcpu, exit);
	value = vcpu->registers.gpr[nested_operand_first(info)];
	value = value << access->unused_bits >> access->unused_bits;
	if (value == load(&n->state.vmcs12, access))
		return succeed();
	if (!(access->flags & NESTED_ACCESS_WRITE))
		return on_vmx_instruction(vcpu, exit);
	store(&n->state.vmcs12, access, value);
	n->state.vmcs12_changed = true;
	if (access->flags & NESTED_ACCESS_CHECKED)
		n->now->loaded.checked = false;
	return succeed();
}

/* --- Memory operands ------------------------------------------------------ */

/* SDM vol. 3, "Information for VM Exits Due to Instruction Execution". */
#define INFO_SCALE        BITS(1, 0)
#define INFO_ADDRESS_SIZE BITS(9, 7)
#define INFO_64_BIT       BIT(8)
#define INFO_FS_OR_GS     BIT(17) /* of segments that exist */
#define INFO_INDEX        BITS(21, 18)
#define INFO_NO_INDEX     BIT(22)
#define INFO_BASE         BITS(26, 23)
#define INFO_NO_BASE      BIT(27)

static bool is_canonical(u64 linear)
{
	u64 upper = linear >> (LINEAR_BITS - 1);

	return upper == 0 || upper == UINT64_MAX >> (LINEAR_BITS - 1);
}

#define NOT_FOUND BIT(62) /* no canonical address */

static ALWAYS_INLINE struct nested_operand_page *page_of(struct nested_vcpu *n,
							 u64 linear)
{
	const u64 bytes = sizeof(n->operand_pages[0]);
	/* The page's number, as an index, times the size: in one step. */
	u64 at =
	    linear / (PAGE_4K / bytes) & (NESTED_OPERAND_PAGES - 1) * bytes;

	return (void *)((u8 *)n->operand_pages + at);
}

/* For the next one; this one goes the whole way. */
static NOINLINE void learn(struct vcpu *vcpu, u64 linear)
{
	const struct guest_paging paging = {
	    .cr0 = control_registers_read_cr0(),
	    .cr3 = vmcs_read(VMCS_GUEST_CR3),
	    .efer = vmcs_read(VMCS_GUEST_EFER),
	    .phys_bits = vcpu->vm->platform.config.phys_bits,
	    .has_1g_pages = vcpu->vm->cpuid.extended[1].edx & BIT(26),
	};

	if (is_canonical(linear))
		nested_operand_page_learn(page_of(vcpu->nested, linear),
					  &vcpu->vm->memory, &paging,
					  gva(linear));
}

/* The linear address of any operand, or NOT_FOUND: its form is for others. */
static NOINLINE u64 find_linear(struct vcpu *vcpu, u32 info)
{
	const u64 *gpr = vcpu->registers.gpr;
	u32 base = (u32)bits_get(info, INFO_BASE);
	u64 linear = vmcs_read(VMCS_EXIT_QUALIFICATION);

	if ((info & (INFO_ADDRESS_SIZE | INFO_FS_OR_GS)) != INFO_64_BIT)
		return NOT_FOUND;
	if (!(info & INFO_NO_BASE))
		linear +=
		    base == REG_RSP ? vmcs_read(VMCS_GUEST_RSP) : gpr[base];
	if (!(info & INFO_NO_INDEX))
		linear += gpr[bits_get(info, INFO_INDEX)]
			  << (info & INFO_SCALE);
	if (!(info & INFO_NO_BASE) && (info & INFO_NO_INDEX) &&
	    base != REG_RSP && nested_operand_second(info) != REG_RSP) {
		vcpu->nested->operand_form = info;
		vcpu->nested->operand_base = base;
	}
	return linear;
}

/* The same of the last one's form, which mostly comes by again. */
static ALWAYS_INLINE u64 linear_again(const struct vcpu *vcpu)
{
	return vmcs_read_first(VMCS_EXIT_QUALIFICATION) +
	       vcpu->registers.gpr[vcpu->nested->operand_base];
}

/* Is the operand where it was? Else that takes a walk, or it is a fault. */
static ALWAYS_INLINE bool is_found(const struct nested_operand_page *page,
				   u64 linear, u64 bytes)
{
	return nested_operand_page_holds(page, linear, bytes,
					 vmcs_read_first(VMCS_GUEST_CR3),
					 vmcs_read_first(VMCS_GUEST_EFER));
}

/* --- INVEPT ----------------------------------------------------------------
 */

#define INVEPT_ONE 1

struct descriptor {
	u64 context, address;
};

static NOINLINE enum exit_action
learn_and_begin_again(struct vcpu *vcpu, const struct vmx_exit *exit,
		      u64 linear)
{
	learn(vcpu, linear);
	return on_vmx_instruction(vcpu, exit);
}

/* Of one EPT pointer that has been found to be valid before. */
static ALWAYS_INLINE enum exit_action
invept(struct vcpu *vcpu, const struct vmx_exit *exit, u32 info, u64 linear)
{
	struct nested_vcpu *n = vcpu->nested;
	const struct nested_operand_page *page = page_of(n, linear);
	const struct descriptor *at;

	if (vcpu->registers.gpr[nested_operand_second(info)] != INVEPT_ONE)
		return on_vmx_instruction(vcpu, exit);
	if (unlikely(!is_found(page, linear, sizeof(*at))))
		return learn_and_begin_again(vcpu, exit, linear);
	at = nested_operand_page_at(page, linear);
	if (((__atomic_load_n(&at->context, __ATOMIC_RELAXED) ^
	      n->invept_pointer) |
	     __atomic_load_n(&at->address, __ATOMIC_RELAXED)) ||
	    !shadow_invalidate_nothing(&vcpu->vm->shadow))
		return on_vmx_instruction(vcpu, exit);
	return succeed();
}

static NOINLINE enum exit_action
invept_of_another_form(struct vcpu *vcpu, const struct vmx_exit *exit, u32 info)
{
	if (nested_operand_second(info) == REG_RSP)
		return on_vmx_instruction(vcpu, exit);
	return invept(vcpu, exit, info, find_linear(vcpu, info));
}

enum exit_action on_l1_invept(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	u32 info = (u32)vmcs_read_first(VMCS_EXIT_INSTRUCTION_INFO);

	if (!is_plain(vcpu))
		return on_vmx_instruction(vcpu, exit);
	if (unlikely(info != vcpu->nested->operand_form))
		return invept_of_another_form(vcpu, exit, info);
	return invept(vcpu, exit, info, linear_again(vcpu));
}

/* --- VMCLEAR and VMPTRLD -------------------------------------------------- */

/* NULL: not found, and learnt for the next time. */
static ALWAYS_INLINE const u64 *find_pointer(struct vcpu *vcpu)
{
	u32 info = (u32)vmcs_read_first(VMCS_EXIT_INSTRUCTION_INFO);
	struct nested_vcpu *n = vcpu->nested;
	u64 linear = likely(info == n->operand_form) ? linear_again(vcpu)
						     : find_linear(vcpu, info);
	const struct nested_operand_page *page = page_of(n, linear);

	if (likely(is_found(page, linear, sizeof(u64))))
		return nested_operand_page_at(page, linear);
	learn(vcpu, linear);
	return NULL;
}

static NOINLINE enum exit_action
with_pointer(struct vcpu *vcpu, const struct vmx_exit *exit, u64 pointer)
{
	return exit_vmx_with_pointer(vcpu, exit, &pointer);
}

enum exit_action on_l1_vmclear(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	const u64 *at = is_plain(vcpu) ? find_pointer(vcpu) : NULL;
	u64 pointer;

	if (!at)
		return on_vmx_instruction(vcpu, exit);
	__builtin_memcpy(&pointer, at, sizeof(pointer));
	if (!hyperv_has_assist(&vcpu->hyperv) &&
	    nested_clear_another(&vcpu->nested->state, &vcpu->vm->memory,
				 vcpu->vm->platform.config.phys_bits, pointer))
		return succeed();
	return with_pointer(vcpu, exit, pointer);
}

enum exit_action on_l1_vmptrld(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	const u64 *at = is_plain(vcpu) ? find_pointer(vcpu) : NULL;
	u64 pointer;

	if (!at)
		return on_vmx_instruction(vcpu, exit);
	__builtin_memcpy(&pointer, at, sizeof(pointer));
	if (nested_vcpu_switch(vcpu, gpa(pointer)))
		return succeed();
	return with_pointer(vcpu, exit, pointer);
}

/* --- VMRESUME --------------------------------------------------------------
 */

/* What comes before the checks of the VMCS: SDM vol. 3, "Basic VM-Entry
 * Checks". */
enum exit_action on_l1_vmresume(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	const struct nested_state *state;

	if (!is_plain(vcpu))
		return on_vmx_instruction(vcpu, exit);
	state = &vcpu->nested->state;
	if (!nested_has_current(state) || hyperv_has_assist(&vcpu->hyperv) ||
	    (state->vmcs12.revision & VMCS12_SHADOW) ||
	    state->vmcs12.launch_state != VMCS12_LAUNCHED ||
	    (vmcs_read(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKING_BY_MOV_SS))
		return on_vmx_instruction(vcpu, exit);
	if (!nested_enter_again(vcpu))
		return on_vmx_instruction(vcpu, exit);
	return ACTION_RESUME;
}
