/* SPDX-License-Identifier: MIT */
/*
 * VMX for guests that are hypervisors: capabilities, VMX operation, and the
 * instructions. SDM vol. 3, "VMX Instruction Reference".
 *
 * What an instruction did is one number: VMX_OK, VMX_FAIL_INVALID (CF),
 * VMX_FAIL_VALID (ZF; the error is in the VMCS), or VMX_FAULT and the vector
 * of the exception that it raised; trap_error() then has the error code.
 */
#ifndef GUESTS_LIB_VMX_H
#define GUESTS_LIB_VMX_H

#include "guests/lib/cpu.h"
#include "lib/types.h"
#include "lib/vmcs.h"
#include "lib/vmx.h"

enum vmx_did {
	VMX_OK,
	VMX_FAIL_INVALID,
	VMX_FAIL_VALID,
	VMX_FAULT = 0x100,
};

#define VMX_NO_POINTER (~0ull)

/* --- Capabilities --------------------------------------------------------- */

/* Does CPUID say so, and may VMXON be used? */
bool vmx_is_there(void);

struct control_capability vmx_capability(enum control_word word);
bool vmx_allows(enum control_word word, u64 bits);

/* `wanted` with what must be 1 and without what may not be 1. */
u32 vmx_adjust(enum control_word word, u64 wanted);

u64 vmx_basic(void);
u64 vmx_ept_capability(void); /* 0 without EPT and VPID */

/* --- VMX operation -------------------------------------------------------- */

/* A zeroed region with the revision identifier. */
u64 vmx_region(void);

/* This CPU enters VMX operation, with a region of its own. */
enum vmx_did vmx_on(void);
void vmx_off(void);

/* --- Instructions --------------------------------------------------------- */

static inline u32 vmx_did(u32 fault, bool carry, bool zero)
{
	if (fault != NO_FAULT)
		return VMX_FAULT + fault;
	if (carry)
		return VMX_FAIL_INVALID;
	return zero ? VMX_FAIL_VALID : VMX_OK;
}

#define VMX_POINTER_INSTRUCTION(name)                                          \
	static inline u32 name##_at(const volatile u64 *operand)               \
	{                                                                      \
		register u32 fault __asm__("r8");                              \
		bool carry, zero;                                              \
                                                                               \
		__asm__ volatile(TRY(#name " (%3)")                            \
				 : "=&r"(fault), "=@ccc"(carry), "=@ccz"(zero) \
				 : "r"(operand)                                \
				 : "memory");                                  \
		return vmx_did(fault, carry, zero);                            \
	}                                                                      \
	static inline u32 name(u64 pointer)                                    \
	{                                                                      \
		return name##_at(&pointer);                                    \
	}

VMX_POINTER_INSTRUCTION(vmxon)
VMX_POINTER_INSTRUCTION(vmclear)
VMX_POINTER_INSTRUCTION(vmptrld)

static inline u32 vmptrst_at(volatile u64 *operand)
{
	register u32 fault __asm__("r8");
	bool carry, zero;

	__asm__ volatile(TRY("vmptrst (%3)")
			 : "=&r"(fault), "=@ccc"(carry), "=@ccz"(zero)
			 : "r"(operand)
			 : "memory");
	return vmx_did(fault, carry, zero);
}

#define VMX_BARE_INSTRUCTION(name)                                             \
	static inline u32 name(void)                                           \
	{                                                                      \
		register u32 fault __asm__("r8");                              \
		bool carry, zero;                                              \
                                                                               \
		__asm__ volatile(TRY(#name)                                    \
				 : "=&r"(fault), "=@ccc"(carry), "=@ccz"(zero) \
				 :                                             \
				 : "memory");                                  \
		return vmx_did(fault, carry, zero);                            \
	}

VMX_BARE_INSTRUCTION(vmxoff)

/* Only where it fails: see l2_enter for those that may succeed. */
VMX_BARE_INSTRUCTION(vmlaunch)
VMX_BARE_INSTRUCTION(vmresume)

static inline u32 vmread_try(u64 field, u64 *value)
{
	register u32 fault __asm__("r8");
	bool carry, zero;

	__asm__ volatile(TRY("vmread %4, %3")
			 : "=&r"(fault), "=@ccc"(carry), "=@ccz"(zero),
			   "+&r"(*value)
			 : "r"(field)
			 : "memory");
	return vmx_did(fault, carry, zero);
}

static inline u32 vmread_to(u64 field, volatile u64 *at)
{
	register u32 fault __asm__("r8");
	bool carry, zero;

	__asm__ volatile(TRY("vmread %4, (%3)")
			 : "=&r"(fault), "=@ccc"(carry), "=@ccz"(zero)
			 : "r"(at), "r"(field)
			 : "memory");
	return vmx_did(fault, carry, zero);
}

static inline u32 vmwrite_try(u64 field, u64 value)
{
	register u32 fault __asm__("r8");
	bool carry, zero;

	__asm__ volatile(TRY("vmwrite %4, %3")
			 : "=&r"(fault), "=@ccc"(carry), "=@ccz"(zero)
			 : "r"(field), "r"(value)
			 : "memory");
	return vmx_did(fault, carry, zero);
}

static inline u32 vmwrite_from(u64 field, const volatile u64 *at)
{
	register u32 fault __asm__("r8");
	bool carry, zero;

	__asm__ volatile(TRY("vmwrite (%4), %3")
			 : "=&r"(fault), "=@ccc"(carry), "=@ccz"(zero)
			 : "r"(field), "r"(at)
			 : "memory");
	return vmx_did(fault, carry, zero);
}

/* Of a field that exists, with a current VMCS. */
static inline u64 vmread(enum vmcs_field field)
{
	u64 value;

	__asm__ volatile("vmread %1, %0"
			 : "=r"(value)
			 : "r"((u64)field)
			 : "cc");
	return value;
}

static inline void vmwrite(enum vmcs_field field, u64 value)
{
	__asm__ volatile("vmwrite %1, %0" ::"r"((u64)field), "r"(value)
			 : "cc", "memory");
}

struct vmx_invalidation {
	u64 context; /* EPT pointer, or VPID */
	u64 address;
};

#define VMX_INVALIDATE_INSTRUCTION(name)                                       \
	static inline u32 name##_at(u64 type,                                  \
				    const struct vmx_invalidation *operand)    \
	{                                                                      \
		register u32 fault __asm__("r8");                              \
		bool carry, zero;                                              \
                                                                               \
		__asm__ volatile(TRY(#name " (%3), %4")                        \
				 : "=&r"(fault), "=@ccc"(carry), "=@ccz"(zero) \
				 : "r"(operand), "r"(type)                     \
				 : "memory");                                  \
		return vmx_did(fault, carry, zero);                            \
	}                                                                      \
	static inline u32 name(u64 type, u64 context, u64 address)             \
	{                                                                      \
		struct vmx_invalidation operand = {context, address};          \
                                                                               \
		return name##_at(type, &operand);                              \
	}

enum vmx_invept_type { INVEPT_SINGLE = 1, INVEPT_ALL = 2 };
enum vmx_invvpid_type {
	INVVPID_ADDRESS,
	INVVPID_SINGLE,
	INVVPID_ALL,
	INVVPID_SINGLE_BUT_GLOBALS,
};

VMX_INVALIDATE_INSTRUCTION(invept)
VMX_INVALIDATE_INSTRUCTION(invvpid)

#endif
