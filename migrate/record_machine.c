/* SPDX-License-Identifier: MIT */
/* The machine: see migrate/record_machine.h. */
#include "migrate/record_machine.h"
#include "lib/string.h"
#include "nested/evmcs.h"

#define VERSION_1  1
#define VERSION_2  2
#define VERSION_3  3
#define TIME_LIMIT BIT(63)     /* ticks, nanoseconds: beyond, it is nonsense */
#define RTC_LIMIT  (1LL << 41) /* seconds from 1970, either way */
#define NO_VECTOR  0xffff

#define FIELDS(name, of)                                  \
	static const struct record_layout name##_layout = \
	    RECORD_LAYOUT(of, name##_fields)

/* --- The VM --------------------------------------------------------------- */

#define VM(member, bits) RECORD_FIELD(struct record_vm, member, bits)

static const struct record_field vm_fields[] = {
    VM(vcpu_count, RECORD_ANY), VM(physical_bits, RECORD_ANY),
    VM(tsc_hz, RECORD_ANY),     VM(apic_timer_hz, RECORD_ANY),
    VM(tsc, TIME_LIMIT - 1),    VM(has_started, RECORD_BOOL),
};
FIELDS(vm, "VM");

static const struct record_field vm_2_fields[] = {
    VM(restarts, RECORD_BOOL),
};
FIELDS(vm_2, "VM");

static const struct record_field vm_3_fields[] = {
    VM(began_with, RECORD_ANY),
};
FIELDS(vm_3, "VM");

void record_put_vm(struct wire_writer *writer, const struct record_vm *vm)
{
	u32 begun = record_begin(writer, RECORD_VM, VERSION_3);

	record_put(writer, &vm_layout, vm);
	record_put(writer, &vm_2_layout, vm);
	record_put(writer, &vm_3_layout, vm);
	record_end(writer, begun);
}

static bool is_clock(u64 hz)
{
	return hz && hz <= CLOCK_HZ_MAX;
}

void record_get_vm(struct record_reader *reader, struct record_vm *vm)
{
	record_enter(reader, RECORD_VM, VERSION_3);
	record_get(reader, &vm_layout, vm);
	if (reader->version >= VERSION_2)
		record_get(reader, &vm_2_layout, vm);
	else
		vm->restarts = 0;
	if (reader->version >= VERSION_3)
		record_get(reader, &vm_3_layout, vm);
	else
		vm->began_with = 0;
	record_leave(reader);
	record_must(reader,
		    vm->vcpu_count && vm->vcpu_count <= PLATFORM_VCPU_MAX,
		    "its number of vCPUs");
	record_must(reader, vm->physical_bits >= 36 && vm->physical_bits <= 52,
		    "the width of its addresses");
	record_must(reader, is_clock(vm->tsc_hz) && is_clock(vm->apic_timer_hz),
		    "a frequency");
	/* What follows from it is not to wrap while the VM lives. */
	record_must(reader,
		    reader->is_wrong ||
			vm->tsc / vm->tsc_hz < TIME_LIMIT / NS_PER_S,
		    "a time that no VM has come to");
}

static const struct record_field leaf_fields[] = {
    RECORD_FIELD(struct record_leaf, eax, RECORD_ANY),
    RECORD_FIELD(struct record_leaf, ebx, RECORD_ANY),
    RECORD_FIELD(struct record_leaf, ecx, RECORD_ANY),
    RECORD_FIELD(struct record_leaf, edx, RECORD_ANY),
};
FIELDS(leaf, "CPUID");

void record_put_cpuid(struct wire_writer *writer,
		      const struct record_leaf *leaves, u32 count)
{
	u32 begun = record_begin(writer, RECORD_CPUID, VERSION_1);

	for (u32 i = 0; i < count; i++)
		record_put(writer, &leaf_layout, &leaves[i]);
	record_end(writer, begun);
}

void record_get_cpuid(struct record_reader *reader, struct record_leaf *leaves,
		      u32 count)
{
	record_enter(reader, RECORD_CPUID, VERSION_1);
	for (u32 i = 0; i < count; i++)
		record_get(reader, &leaf_layout, &leaves[i]);
	record_leave(reader);
}

/* --- VMX ------------------------------------------------------------------ */

#define VMX(member) RECORD_FIELD(struct record_vmx, offer.member, RECORD_ANY)

static const struct record_field vmx_fields[] = {
    RECORD_FIELD(struct record_vmx, is_offered, RECORD_BOOL),
    VMX(basic),
    VMX(misc),
    VMX(ept_vpid),
    VMX(vmfunc),
    VMX(cr0_fixed0),
    VMX(cr0_fixed1),
    VMX(cr4_fixed0),
    VMX(cr4_fixed1),
};
FIELDS(vmx, "VMX");

static const struct record_field control_fields[] = {
    RECORD_FIELD(struct control_capability, must_be_1, RECORD_ANY),
    RECORD_FIELD(struct control_capability, may_be_1, RECORD_ANY),
};
FIELDS(control, "VMX controls");

void record_put_vmx(struct wire_writer *writer, const struct record_vmx *vmx)
{
	u32 begun = record_begin(writer, RECORD_VMX, VERSION_1);

	record_put(writer, &vmx_layout, vmx);
	for (u32 i = 0; i < CONTROLS_COUNT; i++)
		record_put(writer, &control_layout, &vmx->offer.words[i]);
	record_end(writer, begun);
}

void record_get_vmx(struct record_reader *reader, const struct record_vmx *here,
		    struct record_vmx *vmx)
{
	u32 msr;

	record_enter(reader, RECORD_VMX, VERSION_1);
	record_get(reader, &vmx_layout, vmx);
	for (u32 i = 0; i < CONTROLS_COUNT; i++)
		record_get(reader, &control_layout, &vmx->offer.words[i]);
	record_leave(reader);
	record_must(reader, vmx->is_offered == here->is_offered,
		    "VMX that is there on one side only");
	if (!reader->is_wrong && vmx->is_offered &&
	    nested_capability_fits(&vmx->offer, &here->offer, &msr) != OK)
		record_refuse(reader,
			      "this CPU cannot offer the VMX that the guest "
			      "knows (MSR %x)",
			      msr);
}

/* --- The interface of Hyper-V --------------------------------------------- */

#define HYPERV(member, bits) RECORD_FIELD(struct hyperv, member, bits)

static const struct record_field hyperv_fields[] = {
    HYPERV(guest_os_id, RECORD_ANY),
    HYPERV(hypercall, RECORD_ANY),
    HYPERV(reference_tsc, RECORD_ANY),
    HYPERV(tsc_invariant, RECORD_BOOL),
};
FIELDS(hyperv, "Hyper-V interface");

static const struct record_field hyperv_vcpu_fields[] = {
    RECORD_FIELD(struct hyperv_vcpu, vp_assist, RECORD_ANY),
};
FIELDS(hyperv_vcpu, "Hyper-V interface of a vCPU");

void record_put_hyperv(struct wire_writer *writer, const struct hyperv *hyperv)
{
	u32 begun = record_begin(writer, RECORD_HYPERV, VERSION_1);

	record_put(writer, &hyperv_layout, hyperv);
	record_end(writer, begun);
}

void record_get_hyperv(struct record_reader *reader,
		       const struct record_vmx *vmx, struct hyperv *hyperv)
{
	*hyperv = (struct hyperv){.on = true};
	record_enter(reader, RECORD_HYPERV, VERSION_1);
	record_get(reader, &hyperv_layout, hyperv);
	record_leave(reader);
	record_must(reader, hyperv_is_valid(hyperv),
		    "a hypercall page of a guest without a name");
	record_must(reader, !vmx->is_offered || evmcs_can_serve(&vmx->offer),
		    "VMX with more than an enlightened VMCS has fields for");
}

void record_put_hyperv_vcpu(struct wire_writer *writer,
			    const struct hyperv_vcpu *hyperv)
{
	u32 begun = record_begin(writer, RECORD_HYPERV_VCPU, VERSION_1);

	record_put(writer, &hyperv_vcpu_layout, hyperv);
	record_end(writer, begun);
}

void record_get_hyperv_vcpu(struct record_reader *reader,
			    struct hyperv_vcpu *hyperv)
{
	record_enter(reader, RECORD_HYPERV_VCPU, VERSION_1);
	record_get(reader, &hyperv_vcpu_layout, hyperv);
	record_leave(reader);
}

/* --- What the platform itself keeps --------------------------------------- */

#define DEVICES(member, bits) \
	RECORD_FIELD(struct platform_devices, member, bits)

static const struct record_field platform_fields[] = {
    DEVICES(now_ns, TIME_LIMIT - 1),
    DEVICES(lines, BITS(15, 0)),
    DEVICES(arbitration, RECORD_ANY),
    DEVICES(reset_control, RECORD_ANY),
    DEVICES(port92, RECORD_ANY),
    DEVICES(pci_address, 0x80fffffc), /* what port 0xcf8 keeps */
    DEVICES(console_work, RECORD_BOOL),
};
FIELDS(platform, "platform");

/* --- UART ----------------------------------------------------------------- */

#define UART(member, bits) RECORD_FIELD(struct uart_state, member, bits)
#define FIFO(member, bits) RECORD_FIELD(struct uart_fifo, member, bits)

static const struct record_field uart_fields[] = {
    UART(interrupt_enable, BITS(3, 0)), UART(fifo_control, 0xc9),
    UART(line_control, RECORD_ANY),     UART(modem_control, BITS(4, 0)),
    UART(line_errors, BITS(4, 1)),      UART(modem_deltas, BITS(3, 0)),
    UART(scratch, RECORD_ANY),          UART(divisor_low, RECORD_ANY),
    UART(divisor_high, RECORD_ANY),     UART(transmitter_empty, RECORD_BOOL),
};
FIELDS(uart, "UART");

static const struct record_field fifo_fields[] = {
    FIFO(first, UART_FIFO_BYTES - 1),
    FIFO(count, 2 * UART_FIFO_BYTES - 1),
    RECORD_ARRAY(struct uart_fifo, bytes, RECORD_ANY),
};
FIELDS(fifo, "UART's FIFO");

static void put_uart(struct wire_writer *writer, const struct uart_state *state)
{
	record_put(writer, &uart_layout, state);
	record_put(writer, &fifo_layout, &state->received);
	record_put(writer, &fifo_layout, &state->transmitted);
}

static void get_uart(struct record_reader *reader, struct uart_state *state)
{
	record_get(reader, &uart_layout, state);
	record_get(reader, &fifo_layout, &state->received);
	record_get(reader, &fifo_layout, &state->transmitted);
	record_must(reader,
		    state->received.count <= UART_FIFO_BYTES &&
			state->transmitted.count <= UART_FIFO_BYTES,
		    "more than a full FIFO");
}

/* --- I/O APIC ------------------------------------------------------------- */

#define PINS (BIT(IOAPIC_PIN_COUNT) - 1)

static const struct record_field ioapic_fields[] = {
    RECORD_ARRAY(struct ioapic_state, entries,
		 IOAPIC_DESTINATION | (BITS(16, 0) & ~IOAPIC_DELIVERY_STATUS)),
    RECORD_FIELD(struct ioapic_state, lines, PINS),
    RECORD_FIELD(struct ioapic_state, pending, PINS),
    RECORD_FIELD(struct ioapic_state, select, 0xff),
    RECORD_FIELD(struct ioapic_state, id, BITS(27, 24)),
};
FIELDS(ioapic, "I/O APIC");

/* --- PIC ------------------------------------------------------------------ */

#define PIC(member, bits) RECORD_FIELD(struct pic_chip_state, member, bits)

static const struct record_field pic_fields[] = {
    PIC(irr, RECORD_ANY),
    PIC(imr, RECORD_ANY),
    PIC(isr, RECORD_ANY),
    PIC(lines, RECORD_ANY),
    PIC(elcr, RECORD_ANY),
    PIC(level_all, RECORD_BOOL),
    PIC(base, BITS(7, 3)),
    PIC(expects, BITS(2, 0)),
    PIC(wants_icw4, RECORD_BOOL),
    PIC(single, RECORD_BOOL),
    PIC(lowest, BITS(2, 0)),
    PIC(auto_eoi, RECORD_BOOL),
    PIC(auto_rotate, RECORD_BOOL),
    PIC(special_mask, RECORD_BOOL),
    PIC(special_nested, RECORD_BOOL),
    PIC(read_isr, RECORD_BOOL),
    PIC(poll, RECORD_BOOL),
};
FIELDS(pic, "PIC");

static void get_pic(struct record_reader *reader, struct pic_state *state)
{
	for (u32 i = 0; i < ARRAY_COUNT(state->chips); i++) {
		struct pic_chip_state *chip = &state->chips[i];
		/* What cannot be level-triggered is fixed, as in a fresh one.
		 */
		struct pic_state fixed = {0};

		record_get(reader, &pic_layout, chip);
		pic_write_elcr(&fixed, (enum pic_chip)i, 0xff);
		record_must(reader, !(chip->elcr & ~fixed.chips[i].elcr),
			    "ELCR");
		record_must(reader, chip->expects != 1 && chip->expects <= 4,
			    "the word that comes next");
	}
}

/* --- PIT ------------------------------------------------------------------ */

#define PIT(member, bits) RECORD_FIELD(struct pit_channel_state, member, bits)

static const struct record_field channel_fields[] = {
    PIT(start_tick, TIME_LIMIT - 1), PIT(edge_tick, TIME_LIMIT - 1),
    PIT(held_ticks, TIME_LIMIT - 1), PIT(count, BITS(16, 0)),
    PIT(latched, RECORD_ANY),        PIT(latched_bytes, BITS(1, 0)),
    PIT(status, RECORD_ANY),         PIT(status_latched, RECORD_BOOL),
    PIT(mode, BITS(2, 0)),           PIT(bcd, RECORD_BOOL),
    PIT(access, BITS(1, 0)),         PIT(gate, RECORD_BOOL),
    PIT(triggered, RECORD_BOOL),     PIT(next_read, RECORD_BOOL),
    PIT(next_write, RECORD_BOOL),    PIT(written_low, RECORD_ANY),
};
FIELDS(channel, "PIT's channel");

static const struct record_field pit_fields[] = {
    RECORD_FIELD(struct pit_state, speaker, RECORD_BOOL),
};
FIELDS(pit, "PIT");

static void put_pit(struct wire_writer *writer, const struct pit_state *state)
{
	for (u32 i = 0; i < PIT_CHANNEL_COUNT; i++)
		record_put(writer, &channel_layout, &state->channels[i]);
	record_put(writer, &pit_layout, state);
}

static void get_pit(struct record_reader *reader, struct pit_state *state)
{
	for (u32 i = 0; i < PIT_CHANNEL_COUNT; i++) {
		struct pit_channel_state *c = &state->channels[i];

		record_get(reader, &channel_layout, c);
		record_must(reader, c->mode <= 5, "a mode above 5");
		record_must(reader, c->latched_bytes <= 2, "its latch");
		record_must(reader, c->count <= 65536U, "its count");
		record_must(reader, c->access, "its access mode");
	}
	record_get(reader, &pit_layout, state);
}

/* --- RTC, ACPI, i8042 ----------------------------------------------------- */

static const struct record_field rtc_fields[] = {
    RECORD_FIELD(struct rtc_state, epoch_s, RECORD_ANY),
    RECORD_FIELD(struct rtc_state, seen_ns, TIME_LIMIT - 1),
    RECORD_FIELD(struct rtc_state, index, RTC_CMOS_BYTES - 1),
    RECORD_FIELD(struct rtc_state, flags, 0x70),
    RECORD_ARRAY(struct rtc_state, cmos, RECORD_ANY),
};
FIELDS(rtc, "RTC");

static void get_rtc(struct record_reader *reader, u64 now_ns,
		    struct rtc_state *state)
{
	record_get(reader, &rtc_layout, state);
	record_must(reader,
		    state->epoch_s > -RTC_LIMIT && state->epoch_s < RTC_LIMIT,
		    "its date");
	record_must(reader, state->seen_ns <= now_ns, "a time to come");
}

#define PM_STATUS_BITS 0x8731
#define PM_ENABLE_BITS 0x0721

static const struct record_field acpi_pm_fields[] = {
    RECORD_FIELD(struct acpi_pm_state, seen_ns, TIME_LIMIT - 1),
    RECORD_FIELD(struct acpi_pm_state, status, PM_STATUS_BITS),
    RECORD_FIELD(struct acpi_pm_state, enable, PM_ENABLE_BITS),
    RECORD_FIELD(struct acpi_pm_state, control, BITS(12, 10) | BITS(1, 0)),
};
FIELDS(acpi_pm, "ACPI PM");

static const struct record_field i8042_fields[] = {
    RECORD_FIELD(struct i8042_state, status, RECORD_ANY),
    RECORD_FIELD(struct i8042_state, output, RECORD_ANY),
    RECORD_FIELD(struct i8042_state, output_full, RECORD_BOOL),
    RECORD_FIELD(struct i8042_state, configuration, RECORD_ANY),
    RECORD_FIELD(struct i8042_state, output_port, RECORD_ANY),
    RECORD_FIELD(struct i8042_state, command, RECORD_ANY),
};
FIELDS(i8042, "i8042");

/* --- PCI ------------------------------------------------------------------ */

static const struct record_field config_fields[] = {
    RECORD_ARRAY(struct pci_function_state, config, RECORD_ANY),
};
FIELDS(config, "PCI function");

/* Only what the guest may write may differ from a fresh function. */
static void get_function(struct record_reader *reader,
			 struct pci_function *function)
{
	struct pci_function_state state;
	bool differs = false;

	record_get(reader, &config_layout, &state);
	for (u32 i = 0; i < PCI_CONFIG_BYTES; i++)
		differs |= ((state.config[i] ^ function->state.config[i]) &
			    ~function->writable[i]) != 0;
	record_must(reader, !differs, "its configuration space");
	if (!differs)
		function->state = state;
}

/* --- virtio --------------------------------------------------------------- */

#define VIRTIO(member, bits) RECORD_FIELD(struct virtio_state, member, bits)
#define QUEUE(member, bits)  RECORD_FIELD(struct virtqueue_state, member, bits)
#define ENTRY(member, bits)  RECORD_FIELD(struct msix_entry_state, member, bits)
#define PORT(member, bits) \
	RECORD_FIELD(struct virtio_console_port_state, member, bits)

#define SENT_LIMIT BIT(40) /* more than a chain can hold */

static const struct record_field virtio_fields[] = {
    VIRTIO(driver_features, RECORD_ANY),
    VIRTIO(device_feature_select, RECORD_ANY),
    VIRTIO(driver_feature_select, RECORD_ANY),
    VIRTIO(config_vector, RECORD_ANY),
    VIRTIO(queue_select, RECORD_ANY),
    VIRTIO(status, RECORD_ANY),
    VIRTIO(isr, BITS(1, 0)),
    VIRTIO(config_generation, RECORD_ANY),
    VIRTIO(msix.pending, BIT(MSIX_VECTOR_COUNT) - 1),
};
FIELDS(virtio, "virtio console");

static const struct record_field queue_fields[] = {
    QUEUE(descriptors, RECORD_ANY),    QUEUE(available, RECORD_ANY),
    QUEUE(used, RECORD_ANY),           QUEUE(size, 2 * VIRTQUEUE_SIZE_MAX - 1),
    QUEUE(vector, RECORD_ANY),         QUEUE(enabled, RECORD_BOOL),
    QUEUE(next_available, RECORD_ANY), QUEUE(next_used, RECORD_ANY),
};
FIELDS(queue, "virtio console's queue");

static const struct record_field entry_fields[] = {
    ENTRY(address, RECORD_ANY),
    ENTRY(data, RECORD_ANY),
    ENTRY(masked, RECORD_BOOL),
};
FIELDS(entry, "virtio console's MSI-X entry");

static const struct record_field port_fields[] = {
    PORT(sent, SENT_LIMIT - 1),  PORT(head, VIRTQUEUE_SIZE_MAX - 1),
    PORT(has_head, RECORD_BOOL), PORT(guest_open, RECORD_BOOL),
    PORT(owed, RECORD_ANY),
};
FIELDS(port, "virtio console's port");

static const struct record_field port_2_fields[] = {
    PORT(host_open, RECORD_BOOL),
};
FIELDS(port_2, "virtio console's port");

static void put_console(struct wire_writer *writer,
			const struct virtio_console *console)
{
	const struct virtio_state *state = &console->virtio.state;

	record_put(writer, &config_layout, &console->virtio.function.state);
	record_put(writer, &virtio_layout, state);
	for (u32 i = 0; i < VIRTIO_QUEUE_COUNT_MAX; i++)
		record_put(writer, &queue_layout, &state->queues[i]);
	for (u32 i = 0; i < MSIX_VECTOR_COUNT; i++)
		record_put(writer, &entry_layout, &state->msix.entries[i]);
	for (u32 i = 0; i < VIRTIO_CONSOLE_PORT_COUNT; i++) {
		record_put(writer, &port_layout, &console->state.ports[i]);
		record_put(writer, &port_2_layout, &console->state.ports[i]);
	}
}

static bool is_vector(u16 vector)
{
	return vector < MSIX_VECTOR_COUNT || vector == NO_VECTOR;
}

static void check_queue(struct record_reader *reader,
			const struct virtqueue_state *state)
{
	record_must(reader,
		    state->size && state->size <= VIRTQUEUE_SIZE_MAX &&
			!(state->size & (state->size - 1)),
		    "the size of a queue");
	record_must(reader, is_vector(state->vector), "a queue's vector");
}

static void check_virtio(struct record_reader *reader,
			 const struct virtio_pci *pci)
{
	const struct virtio_state *state = &pci->state;
	bool acceptable = !(state->driver_features & ~pci->features) &&
			  (state->driver_features & VIRTIO_F_VERSION_1);

	record_must(reader, is_vector(state->config_vector), "its vector");
	record_must(reader, !(state->status & VIRTIO_FEATURES_OK) || acceptable,
		    "the features that were agreed on");
	for (u32 i = 0; i < pci->queue_count; i++)
		check_queue(reader, &state->queues[i]);
}

/* In version 1 every port was open at the host, whoever was there. */
static void get_port(struct record_reader *reader, u32 port,
		     struct virtio_console_port_state *state)
{
	record_get(reader, &port_layout, state);
	if (reader->version >= VERSION_2)
		record_get(reader, &port_2_layout, state);
	else
		state->host_open = 1;
	record_must(reader, !(state->owed & ~virtio_console_may_owe(port)),
		    "a message that is owed");
}

static void get_console(struct record_reader *reader,
			struct virtio_console *console)
{
	struct virtio_state *state = &console->virtio.state;

	get_function(reader, &console->virtio.function);
	record_get(reader, &virtio_layout, state);
	for (u32 i = 0; i < VIRTIO_QUEUE_COUNT_MAX; i++)
		record_get(reader, &queue_layout, &state->queues[i]);
	for (u32 i = 0; i < MSIX_VECTOR_COUNT; i++)
		record_get(reader, &entry_layout, &state->msix.entries[i]);
	for (u32 i = 0; i < VIRTIO_CONSOLE_PORT_COUNT; i++)
		get_port(reader, i, &console->state.ports[i]);
	check_virtio(reader, &console->virtio);
}

/* --- All devices ---------------------------------------------------------- */

/* Devices that one layout describes. */
static void put_plain(struct wire_writer *writer, enum record_type type,
		      const struct record_layout *layout, const void *from)
{
	u32 begun = record_begin(writer, type, VERSION_1);

	record_put(writer, layout, from);
	record_end(writer, begun);
}

static void get_plain(struct record_reader *reader, enum record_type type,
		      const struct record_layout *layout, void *to)
{
	record_enter(reader, type, VERSION_1);
	record_get(reader, layout, to);
	record_leave(reader);
}

void record_put_devices(struct wire_writer *writer,
			const struct platform_devices *devices)
{
	u32 begun;

	put_plain(writer, RECORD_PLATFORM, &platform_layout, devices);
	begun = record_begin(writer, RECORD_UART, VERSION_1);
	put_uart(writer, &devices->com1);
	record_end(writer, begun);
	put_plain(writer, RECORD_IOAPIC, &ioapic_layout, &devices->ioapic);
	begun = record_begin(writer, RECORD_PIC, VERSION_1);
	for (u32 i = 0; i < ARRAY_COUNT(devices->pic.chips); i++)
		record_put(writer, &pic_layout, &devices->pic.chips[i]);
	record_end(writer, begun);
	begun = record_begin(writer, RECORD_PIT, VERSION_1);
	put_pit(writer, &devices->pit);
	record_end(writer, begun);
	put_plain(writer, RECORD_RTC, &rtc_layout, &devices->rtc);
	put_plain(writer, RECORD_ACPI_PM, &acpi_pm_layout, &devices->pm);
	put_plain(writer, RECORD_I8042, &i8042_layout, &devices->i8042);
	put_plain(writer, RECORD_PCI, &config_layout, &devices->bridge.state);
	begun = record_begin(writer, RECORD_VIRTIO_CONSOLE, VERSION_2);
	put_console(writer, &devices->console);
	record_end(writer, begun);
}

static void get_old_pc(struct record_reader *reader, u64 now_ns,
		       struct platform_devices *devices)
{
	record_enter(reader, RECORD_PIC, VERSION_1);
	get_pic(reader, &devices->pic);
	record_leave(reader);
	record_enter(reader, RECORD_PIT, VERSION_1);
	get_pit(reader, &devices->pit);
	record_leave(reader);
	record_enter(reader, RECORD_RTC, VERSION_1);
	get_rtc(reader, now_ns, &devices->rtc);
	record_leave(reader);
	get_plain(reader, RECORD_ACPI_PM, &acpi_pm_layout, &devices->pm);
	record_must(reader, devices->pm.seen_ns <= now_ns, "a time to come");
	get_plain(reader, RECORD_I8042, &i8042_layout, &devices->i8042);
}

void record_get_devices(struct record_reader *reader, u64 now_ns,
			struct platform_devices *devices)
{
	get_plain(reader, RECORD_PLATFORM, &platform_layout, devices);
	record_must(reader, devices->now_ns <= now_ns, "a time to come");
	record_enter(reader, RECORD_UART, VERSION_1);
	get_uart(reader, &devices->com1);
	record_leave(reader);
	get_plain(reader, RECORD_IOAPIC, &ioapic_layout, &devices->ioapic);
	get_old_pc(reader, now_ns, devices);
	record_enter(reader, RECORD_PCI, VERSION_1);
	get_function(reader, &devices->bridge);
	record_leave(reader);
	record_enter(reader, RECORD_VIRTIO_CONSOLE, VERSION_2);
	get_console(reader, &devices->console);
	record_leave(reader);
}
