/* SPDX-License-Identifier: MIT */
/*
 * The VMX instructions, and access to the current VMCS.
 *
 * vmcs_read and vmcs_write are the only ways to a field. They fail only if
 * the field does not exist on this CPU or no VMCS is current, which is our own
 * fault (CHECK); what a CPU may lack is asked of arch/x86/vmx/capability.h.
 * SDM vol. 3, "VMX Instruction Reference".
 */
#ifndef ARCH_X86_VMX_VMX_INSN_H
#define ARCH_X86_VMX_VMX_INSN_H

#include "lib/check.h"
#include "lib/types.h"
#include "lib/vmcs.h"
#include "mm/addr.h"

/* SDM vol. 3, "Conventions": how a VMX instruction reports failure. */
enum vmx_outcome {
	VMX_SUCCEED,
	VMX_FAIL_INVALID, /* CF: there is no current VMCS to tell more */
	VMX_FAIL_VALID,   /* ZF: the VM-instruction error field tells more */
};

static inline enum vmx_outcome vmx_outcome(bool carry, bool zero)
{
	if (carry)
		return VMX_FAIL_INVALID;
	return zero ? VMX_FAIL_VALID : VMX_SUCCEED;
}

#define DEFINE_VMX_POINTER_INSN(name)                            \
	static inline enum vmx_outcome insn_##name(hpa_t region) \
	{                                                        \
		u64 raw = hpa_raw(region);                       \
		bool carry, zero;                                \
                                                                 \
		__asm__ volatile(#name " %2"                     \
				 : "=@ccc"(carry), "=@ccz"(zero) \
				 : "m"(raw)                      \
				 : "memory");                    \
		return vmx_outcome(carry, zero);                 \
	}                                                        \
	_Static_assert(1, "")

DEFINE_VMX_POINTER_INSN(vmxon);
DEFINE_VMX_POINTER_INSN(vmclear);
DEFINE_VMX_POINTER_INSN(vmptrld);

/*
 * VMPTRLD and VMCLEAR of a region of Umbra's own, which cannot fail: where it
 * is stands in memory.
 */
#define DEFINE_VMCS_REGION_INSN(name, insn)          \
	static inline void name(const hpa_t *region) \
	{                                            \
		bool failed;                         \
                                                     \
		__asm__ volatile(insn " %1"          \
				 : "=@ccbe"(failed)  \
				 : "m"(*region)      \
				 : "memory");        \
		CHECK(!failed);                      \
	}                                            \
	_Static_assert(1, "")

DEFINE_VMCS_REGION_INSN(vmcs_make_current, "vmptrld");
DEFINE_VMCS_REGION_INSN(vmcs_clear, "vmclear");

static inline void insn_vmxoff(void)
{
	__asm__ volatile("vmxoff" : : : "memory", "cc");
}

enum invept_type { INVEPT_SINGLE_CONTEXT = 1, INVEPT_ALL_CONTEXTS = 2 };
enum invvpid_type { INVVPID_SINGLE_CONTEXT = 1, INVVPID_ALL_CONTEXTS = 2 };

struct invalidation_descriptor {
	u64 context; /* EPTP, or VPID */
	u64 address; /* 0, or a linear address */
};

static inline enum vmx_outcome insn_invept(enum invept_type type, u64 eptp)
{
	struct invalidation_descriptor descriptor = {eptp, 0};
	bool carry, zero;

	__asm__ volatile("invept %2, %3"
			 : "=@ccc"(carry), "=@ccz"(zero)
			 : "m"(descriptor), "r"((u64)type)
			 : "memory");
	return vmx_outcome(carry, zero);
}

static inline enum vmx_outcome insn_invvpid(enum invvpid_type type, u16 vpid)
{
	struct invalidation_descriptor descriptor = {vpid, 0};
	bool carry, zero;

	__asm__ volatile("invvpid %2, %3"
			 : "=@ccc"(carry), "=@ccz"(zero)
			 : "m"(descriptor), "r"((u64)type)
			 : "memory");
	return vmx_outcome(carry, zero);
}

static inline u64 vmcs_read(enum vmcs_field field)
{
	u64 value;
	bool failed;

	__asm__ volatile("vmread %2, %1"
			 : "=@ccbe"(failed), "=rm"(value)
			 : "r"((u64)field));
	CHECK(!failed);
	return value;
}

static inline void vmcs_write(enum vmcs_field field, u64 value)
{
	bool failed;

	__asm__ volatile("vmwrite %2, %1"
			 : "=@ccbe"(failed)
			 : "r"((u64)field), "rm"(value)
			 : "memory");
	CHECK(!failed);
}

/*
 * The same where many follow each other: fields that every CPU with VMX has can
 * only fail together, for want of a current VMCS, and the last one, which is
 * one of the above, finds that out.
 */
static inline u64 vmcs_read_first(enum vmcs_field field)
{
	u64 value;

	__asm__ volatile("vmread %1, %0"
			 : "=rm"(value)
			 : "r"((u64)field)
			 : "cc");
	return value;
}

static inline void vmcs_write_first(enum vmcs_field field, u64 value)
{
	__asm__ volatile("vmwrite %1, %0"
			 :
			 : "r"((u64)field), "rm"(value)
			 : "cc", "memory");
}

#endif
