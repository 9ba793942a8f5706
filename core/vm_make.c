/* SPDX-License-Identifier: MIT */
/* Making VMs: memory, platform, vCPUs and what they begin with. */
#include "core/vm_make.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/guest_cpu.h"
#include "arch/x86/vmx/mitigate.h"
#include "arch/x86/vmx/vcpu.h"
#include "core/bench.h"
#include "core/cables.h"
#include "core/console.h"
#include "core/loopback.h"
#include "core/machine.h"
#include "core/record_loop.h"
#include "core/settings.h"
#include "devices/guest_acpi.h"
#include "drivers/rtc.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "loader/guest_load.h"
#include "loader/guest_pin.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"
#include "nested/evmcs.h"

#define APIC_TIMER_HZ_MAX UINT32_MAX

static struct guest_load load; /* large; one VM is made at a time */

/* --- What the devices ask of us ------------------------------------------ */

static u64 host_console_write(void *context, enum platform_console console,
			      const u8 *bytes, u64 count)
{
	const struct vm *vm = context;

	if (console == PLATFORM_PORT1)
		return vm->cable
			   ? cable_write(vm->cable, vm->cable_end, bytes, count)
			   : count; /* nobody is at the other end */
	console_write(CONSOLE_GUEST(vm->index), bytes, count);
	return count;
}

static void host_port_set(void *context, enum platform_port port)
{
	const struct vm *vm = context;

	if (vm->cable)
		cable_set_port(vm->cable, vm->cable_end, port);
}

static enum platform_port host_port_peer(void *context)
{
	const struct vm *vm = context;

	return vm->cable ? cable_peer_port(vm->cable, vm->cable_end)
			 : PLATFORM_PORT_CLOSED;
}

static u64 host_port_peek(void *context, u8 *bytes, u64 room)
{
	const struct vm *vm = context;

	return vm->cable ? cable_peek(vm->cable, vm->cable_end, bytes, room)
			 : 0;
}

static void host_port_take(void *context, u64 count)
{
	const struct vm *vm = context;

	if (vm->cable)
		cable_take(vm->cable, vm->cable_end, count);
}

static void host_vcpu_kick(void *context, u32 vcpu)
{
	struct vm *vm = context;

	if (vcpu < vm->vcpu_count)
		vcpu_kick(vm->vcpus[vcpu]);
}

static void host_vcpu_notify(void *context, u32 vcpu)
{
	struct vm *vm = context;

	if (vcpu < vm->vcpu_count)
		vcpu_notify(vm->vcpus[vcpu]);
}

static void host_end(void *context, enum platform_end how, u32 value)
{
	struct vm *vm = context;

	switch (how) {
	case PLATFORM_EXIT_CODE:
		vm_end(vm, VM_END_EXIT_CODE, value);
		break;
	case PLATFORM_POWER_OFF:
		vm_end(vm, VM_END_POWER_OFF, 0);
		break;
	case PLATFORM_RESET:
		vm_end(vm, VM_END_RESET, 0);
		break;
	}
}

static enum err host_memory_read(void *context, gpa_t from, void *to, u64 bytes)
{
	struct vm *vm = context;

	return guest_mem_read(&vm->memory, from, to, bytes);
}

static enum err host_memory_write(void *context, gpa_t to, const void *from,
				  u64 bytes)
{
	struct vm *vm = context;

	return guest_mem_write(&vm->memory, to, from, bytes);
}

static const struct platform_host platform_host = {
    .console_write = host_console_write,
    .port_set = host_port_set,
    .port_peer = host_port_peer,
    .port_peek = host_port_peek,
    .port_take = host_port_take,
    .vcpu_kick = host_vcpu_kick,
    .vcpu_notify = host_vcpu_notify,
    .end = host_end,
    .memory_read = host_memory_read,
    .memory_write = host_memory_write,
};

/* --- Making a VM ---------------------------------------------------------- */

static struct cpuid_leaf read_host_cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid_result r = insn_cpuid(leaf, subleaf);

	return (struct cpuid_leaf){r.eax, r.ebx, r.ecx, r.edx};
}

/* CPUID tells it in 32 bits, and the TSC must be a multiple of it. */
static u64 apic_timer_hz(void)
{
	u64 hz = tsc_hz();

	while (hz > APIC_TIMER_HZ_MAX)
		hz /= 2;
	return hz;
}

void vm_make_cpuid(struct guest_cpuid *cpuid, u32 vcpu_count)
{
	const struct controls *controls = &vmx_capability.controls;
	const struct guest_cpuid_config config = {
	    .vcpu_count = vcpu_count,
	    .tsc_hz = tsc_hz(),
	    .apic_timer_hz = apic_timer_hz(),
	    .physical_bits = cpu_features.physical_bits,
	    .arch_capabilities = mitigate_arch_capabilities(),
	    .rdtscp =
		controls_have(controls, CONTROLS_SECONDARY, SECONDARY_RDTSCP),
	    .invpcid =
		controls_have(controls, CONTROLS_SECONDARY, SECONDARY_INVPCID),
	    .xsaves = vmx_capability.words[CONTROLS_SECONDARY].may_be_1 &
		      SECONDARY_XSAVES,
	    .vmx = vmx_capability.usable,
	    .host = read_host_cpuid,
	};

	guest_cpuid_build(cpuid, &config);
}

static enum err refuse_cpu(const struct vm *vm, const char *name,
			   const struct guest_cpu *cpu)
{
	char text[128];

	if (!cpu) {
		log_error("guest %s: cpu=%s: there is no such model; "
			  "docs/GUESTS.md lists them",
			  vm->name, name);
		return ERR_NOT_FOUND;
	}
	guest_cpu_describe_missing(cpu, &vm->cpuid, text, sizeof(text));
	log_error("guest %s: cpu=%s: this CPU lacks %s", vm->name, name, text);
	return ERR_UNSUPPORTED;
}

/*
 * cpu=NAME is a model with that name, cpu=host all that this CPU can lend;
 * without the setting it is the newest model that fits.
 */
static enum err make_cpuid(struct vm *vm, const struct guest_plan *plan)
{
	const char *name = setting_text(plan, "cpu");
	const struct guest_cpu *best, *cpu;

	vm_make_cpuid(&vm->cpuid, plan->cpus);
	best = guest_cpu_best(&vm->cpuid);
	cpu = name ? guest_cpu_find(name) : best;
	if (name && strcmp(name, "host") == 0)
		cpu = NULL;
	else if (name && (!cpu || !best || cpu > best))
		return refuse_cpu(vm, name, cpu);
	if (cpu)
		guest_cpu_apply(cpu, &vm->cpuid);
	vm->cpu_name = cpu ? cpu->name : "host";
	vm->xcr0_allowed = vm->cpuid.xcr0_allowed;
	return OK;
}

/* VMX as this CPU can be shared, or none. */
static void offer_vmx(struct vm *vm, enum guest_nested nested)
{
	struct nested_hardware hardware = vmx_capability_for_guest(&vm->cpuid);

	vm->nested = nested == GUEST_NESTED_ON && vmx_capability.usable &&
		     nested_capability_choose(&hardware, &vm->offer) == OK;
	if (!vm->nested)
		guest_cpuid_hide_vmx(&vm->cpuid);
	else if (vm->hyperv.on)
		evmcs_limit_offer(&vm->offer);
}

/* What L1 may write into its tables, as its capability MSRs say. */
static struct ept_format offered_ept(const struct vm *vm)
{
	u64 cap = vm->offer.ept_vpid;
	struct ept_format format = {
	    .largest_leaf = EPT_4K,
	    .physical_bits = (u8)cpu_features.physical_bits,
	    .accessed_dirty = cap & EPT_CAP_ACCESSED_DIRTY,
	    .execute_only = cap & EPT_CAP_EXECUTE_ONLY,
	    .uncacheable_tables = !(cap & EPT_CAP_WB),
	};

	if (cap & EPT_CAP_2M)
		format.largest_leaf = EPT_2M;
	if ((cap & EPT_CAP_2M) && (cap & EPT_CAP_1G))
		format.largest_leaf = EPT_1G;
	return format;
}

static enum err make_shadow(struct vm *vm, u32 vcpu_count)
{
	const struct shadow_config config = {
	    .memory = &vm->memory,
	    .ept = &vm->ept,
	    .offered = offered_ept(vm),
	    .vcpu_count = vcpu_count,
	    .cpu_count = cpu_count,
	    .walks = machine_is_bochs() ? SHADOW_WALKS_ARE_WRITES_WHILE_TRACKING
					: SHADOW_WALKS_AS_L1_SAYS,
	};

	return vm->nested ? shadow_create(&vm->shadow, &config) : OK;
}

/*
 * Where an xAPIC's registers are, the CPU looks at the address only: the page
 * is never read or written. It is the VM's own all the same, for what the
 * manual leaves open (SDM vol. 3, "Guest-Physical Accesses to the APIC-Access
 * Page").
 */
static enum err map_apic_page(struct vm *vm)
{
	const struct ept_attributes attributes = {
	    .rights = EPT_R | EPT_W,
	    .type = EPT_WB,
	    .ignore_pat = true,
	};
	enum err err = OK;

	if (!vmx_capability.apicv.accesses || vm->uses_shadow ||
	    vm->apic_page_mapped)
		return OK;
	if (!hpa_raw(vm->apic_page))
		err = frame_alloc_zeroed(FRAME_4K, "an APIC-access page",
					 &vm->apic_page);
	if (err == OK)
		err = ept_map(&vm->ept, gpa(LAPIC_BASE_DEFAULT), vm->apic_page,
			      PAGE_4K, &attributes);
	if (err == OK)
		vm->apic_page_mapped = 1;
	return err;
}

/* Without VMX nothing runs that would need the tables. */
static enum err map_memory(struct vm *vm, u32 vcpu_count)
{
	enum err err;

	if (!vmx_capability.usable)
		return OK;
	err = ept_create(&vm->ept, &vmx_capability.ept);
	if (err == OK)
		err = ept_map_guest(&vm->ept, &vm->memory);
	if (err == OK)
		err = map_apic_page(vm);
	if (err == OK)
		track_init(&vm->track, &vm->ept, &vm->memory.log);
	if (err == OK)
		err = make_shadow(vm, vcpu_count);
	return err;
}

_Static_assert(GUEST_ECAM == PLATFORM_ECAM_BASE &&
		   GUEST_ECAM_BYTES == PLATFORM_ECAM_BYTES,
	       "what the loaders tell is where it is");

static enum err make_memory(struct vm *vm, const struct guest_map *map,
			    u32 vcpu_count)
{
	const struct guest_range *last = &map->ranges[map->range_count - 1];
	gpa_t limit = gpa_add(last->base, last->bytes);
	enum err err = guest_mem_create(&vm->memory, limit, vm->name);

	for (u32 i = 0; err == OK && i < map->range_count; i++) {
		const struct guest_range *range = &map->ranges[i];

		err = guest_mem_add(&vm->memory, range->base, range->bytes);
		if (err == OK && range->kind == GUEST_RANGE_ROM)
			err = guest_mem_make_rom(&vm->memory, range->base);
	}
	return err == OK ? map_memory(vm, vcpu_count) : err;
}

static u64 ram_bytes(const struct guest_mem *memory, u64 from, u64 to)
{
	u64 end = 0;

	for (u32 i = 0; i < memory->slot_count; i++) {
		u64 base = gpa_raw(memory->slots[i].base);

		if (base >= from && base < to)
			end = base + memory->slots[i].bytes - from;
	}
	return end;
}

static enum err make_platform(struct vm *vm, u32 vcpu_count)
{
	const struct platform_config config = {
	    .vcpu_count = vcpu_count,
	    .phys_bits = cpu_features.physical_bits,
	    .tsc_hz = tsc_hz(),
	    .apic_timer_hz = apic_timer_hz(),
	    .ram_low_bytes = ram_bytes(&vm->memory, 0, PLATFORM_RAM_HIGH),
	    .ram_high_bytes =
		ram_bytes(&vm->memory, PLATFORM_RAM_HIGH, UINT64_MAX),
	    .start_time_s = rtc_seconds(),
	    .host = &platform_host,
	    .host_context = vm,
	};

	return platform_init(&vm->platform, &config);
}

/* The tables that tell the guest about its platform, in its firmware area. */
static enum err put_acpi_tables(struct vm *vm, u32 vcpu_count)
{
	static u8 tables[GUEST_ACPI_BYTES];
	u32 bytes;
	enum err err =
	    guest_acpi_build(tables, sizeof(tables), vcpu_count, &bytes);

	if (err != OK)
		return err;
	return guest_mem_load(&vm->memory, gpa(PLATFORM_ACPI_BASE), tables,
			      bytes);
}

static enum err make_vcpus(struct vm *vm, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		enum err err = vcpu_create(vm, i, &vm->vcpus[i]);

		if (err != OK)
			return err;
		vm->vcpu_count++;
		err = platform_add_vcpu(&vm->platform, vm->vcpus[i]->lapic);
		if (err != OK)
			return err;
	}
	cables_plug(vm);
	return OK;
}

/* Flat 64-bit code and data as the Linux boot protocol wants them. */
static void set_long_mode(struct vcpu_state *state,
			  const struct guest_entry *entry)
{
	state->cr0 = CR0_PE | CR0_ET | CR0_PG;
	state->cr3 = entry->cr3;
	state->cr4 = CR4_PAE;
	state->efer = EFER_LME | EFER_LMA;
	state->segments[SREG_CS].rights =
	    RIGHTS_CODE | RIGHTS_LONG | RIGHTS_4K_LIMIT;
}

static void set_entry(struct vcpu_state *state, const struct guest_entry *entry)
{
	static const enum segment_register data[] = {SREG_SS, SREG_DS, SREG_ES};

	vcpu_state_flat_protected(state);
	if (entry->mode == GUEST_ENTRY_LONG)
		set_long_mode(state, entry);
	state->rip = entry->rip;
	state->gpr[REG_RAX] = entry->rax;
	state->gpr[REG_RBX] = entry->rbx;
	state->gpr[REG_RSI] = entry->rsi;
	state->segments[SREG_CS].selector = entry->cs;
	for (u32 i = 0; i < ARRAY_COUNT(data); i++)
		state->segments[data[i]].selector = entry->ss_ds_es;
	if (entry->gdt_bytes) {
		state->gdtr.base = gpa_raw(entry->gdt);
		state->gdtr.limit = entry->gdt_bytes - 1;
	}
}

static enum err start_time(struct vm *vm)
{
	enum err err =
	    guest_time_init(&vm->time, tsc_hz(), tsc_hz(), GUEST_TIME_FIXED);

	if (err == OK)
		guest_time_set(&vm->time, insn_rdtsc(), 0);
	return err;
}

/* Everything that a reset makes anew; the guest's memory is there. */
static enum err power_on(struct vm *vm, u32 vcpu_count)
{
	enum err err = guest_load_commit(&load, &vm->memory);

	vm->hyperv = (struct hyperv){.on = vm->hyperv.on};
	if (err == OK)
		err = start_time(vm);
	if (err == OK)
		err = make_platform(vm, vcpu_count);
	if (err == OK)
		err = put_acpi_tables(vm, vcpu_count);
	if (err == OK)
		err = make_vcpus(vm, vcpu_count);
	if (err == OK)
		set_entry(&vm->vcpus[0]->start, &load.entry);
	return err;
}

static void destroy_vcpus(struct vm *vm)
{
	cables_unplug(vm);
	while (vm->vcpu_count)
		vcpu_destroy(vm->vcpus[--vm->vcpu_count]);
}

void vm_empty(struct vm *vm)
{
	cables_close(vm);
	destroy_vcpus(vm);
	if (vm->shadow.tables)
		shadow_destroy(&vm->shadow);
	vm->shadow.tables = NULL;
	if (hpa_raw(vm->ept.root))
		ept_destroy(&vm->ept);
	if (hpa_raw(vm->apic_page))
		frame_free(vm->apic_page, FRAME_4K);
	vm->apic_page = hpa(0);
	vm->apic_page_mapped = 0;
	if (vm->memory.name)
		guest_mem_destroy(&vm->memory);
	vm->ept.root = hpa(0);
	vm->memory.name = NULL;
}

static enum err fill(struct vm *vm, const struct guest_plan *plan,
		     const struct boot_info *boot)
{
	enum err err = guest_load_plan(&load, plan, boot);

	if (err == OK)
		err = make_memory(vm, &load.map, plan->cpus);
	if (err == OK)
		err = power_on(vm, plan->cpus);
	if (err == OK)
		err = bench_start(vm, plan);
	if (err == OK)
		err = loopback_start(vm, plan, &load.map);
	if (err == OK)
		err = record_loop_start(vm, plan);
	if (err == OK)
		return OK;
	bench_vm_ended(vm);
	vm_empty(vm);
	return err;
}

static enum err allocate(const char *name, struct vm **vm)
{
	hpa_t block;
	enum err err = frame_alloc_zeroed(frame_order_for(sizeof(struct vm)),
					  name, &block);

	if (err != OK)
		return err;
	*vm = phys_ptr(block);
	/* A CPU that has flushed up to 0 has not flushed. */
	(*vm)->sync_generation = 1;
	memcpy((*vm)->name, name, sizeof((*vm)->name));
	return OK;
}

void vm_destroy(struct vm *vm)
{
	vm_empty(vm);
	frame_free(phys_of(vm), frame_order_for(sizeof(struct vm)));
}

/* The CPUs that it is pinned to, by its setting. */
static enum err pin(struct vm *vm, const struct guest_plan *plan)
{
	const char *text = setting_text(plan, "pin");
	struct guest_pins pins;
	enum err err = guest_pin_parse(text, cpu_count, &pins);

	if (err != OK) {
		log_error("guest %s: pin=%s: CPUs below %u are wanted, as in "
			  "\"0,1\", one for each vCPU",
			  plan->name, text, cpu_count);
		return err;
	}
	vm->pin_count = pins.count;
	memcpy(vm->pins, pins.cpus, pins.count * sizeof(vm->pins[0]));
	return OK;
}

/* Whether it sees devices/hyperv.h; what its records hold. */
static enum err read_switches(struct vm *vm, const struct guest_plan *plan)
{
	static const struct setting_choice hyperv = {"hyperv", "off", "on"};
	static const struct setting_choice least = {"record.least", "off",
						    "on"};
	enum err err = setting_choose(plan, &hyperv, &vm->hyperv.on);

	if (err == OK)
		err = setting_choose(plan, &least, &vm->says_least);
	return err;
}

/* dirty.l2=wp, the default, or translate: how L2's writes are tracked. */
static enum err choose_l2_way(struct vm *vm, const struct guest_plan *plan)
{
	static const struct setting_choice way = {"dirty.l2", "wp",
						  "translate"};
	bool translates;
	enum err err = setting_choose(plan, &way, &translates);

	if (err != OK || !translates)
		return err;
	if (!vmx_capability.has_pml) {
		log_error("guest %s: dirty.l2=translate: this CPU has no "
			  "page-modification log; use dirty.l2=wp",
			  plan->name);
		return ERR_UNSUPPORTED;
	}
	vm->l2_way = SHADOW_BY_D;
	return OK;
}

enum err vm_make(const struct guest_plan *plan, const struct boot_info *boot,
		 u32 index, struct vm **result)
{
	struct vm *vm;
	enum err err = allocate(plan->name, &vm);

	if (err != OK)
		return err;
	vm->index = index;
	err = make_cpuid(vm, plan);
	if (err == OK)
		err = read_switches(vm, plan);
	if (err == OK)
		err = pin(vm, plan);
	if (err == OK)
		err = choose_l2_way(vm, plan);
	if (err == OK)
		err = cables_join(vm, plan);
	if (err == OK) {
		offer_vmx(vm, plan->nested);
		err = fill(vm, plan, boot);
	}
	if (err != OK)
		vm_destroy(vm);
	else
		*result = vm;
	return err;
}

enum err vm_power_on_empty(struct vm *vm, u32 vcpu_count)
{
	enum err err = OK;

	destroy_vcpus(vm);
	vm->hyperv = (struct hyperv){.on = false}; /* comes with the state */
	err = start_time(vm);
	if (err == OK)
		err = make_platform(vm, vcpu_count);
	if (err == OK)
		err = make_vcpus(vm, vcpu_count);
	return err;
}

static enum err add_slots(struct vm *vm, const struct vm_shape *shape)
{
	const struct shape_slot *last = &shape->slots[shape->slot_count - 1];
	enum err err = guest_mem_create(
	    &vm->memory, gpa_add(last->base, last->bytes), vm->name);

	for (u32 i = 0; err == OK && i < shape->slot_count; i++) {
		const struct shape_slot *slot = &shape->slots[i];

		err = guest_mem_add(&vm->memory, slot->base, slot->bytes);
		if (err == OK && slot->kind == GUEST_ROM)
			err = guest_mem_make_rom(&vm->memory, slot->base);
	}
	return err;
}

enum err vm_make_of_shape(const struct vm_shape *shape, struct vm **result)
{
	struct vm *vm;
	enum err err = allocate(shape->name, &vm);

	if (err != OK)
		return err;
	/* Its own model comes with its state. */
	vm_make_cpuid(&vm->cpuid, shape->cpu_count);
	vm->xcr0_allowed = vm->cpuid.xcr0_allowed;
	vm->cpu_name = "host";
	offer_vmx(vm, shape->cpu.features[CPU_1_ECX] & GUEST_CPUID_1_ECX_VMX
			  ? GUEST_NESTED_ON
			  : GUEST_NESTED_OFF);
	err = add_slots(vm, shape);
	if (err == OK)
		err = map_memory(vm, shape->cpu_count);
	if (err == OK)
		err = vm_power_on_empty(vm, shape->cpu_count);
	if (err != OK)
		vm_destroy(vm);
	else
		*result = vm;
	return err;
}

enum err vm_reset(struct vm *vm, const struct guest_plan *plan,
		  const struct boot_info *boot)
{
	enum err err = guest_load_plan(&load, plan, boot);

	cables_close(vm);
	destroy_vcpus(vm);
	vm->end = VM_END_NONE;
	vm->said_dead = false;
	if (err == OK)
		err = map_apic_page(vm);
	if (err == OK)
		err = power_on(vm, plan->cpus);
	return err;
}
