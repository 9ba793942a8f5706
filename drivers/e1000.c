/* SPDX-License-Identifier: MIT */
/* An Intel gigabit controller: see drivers/e1000.h. */
#include "drivers/e1000.h"
#include "arch/x86/cpu/paging.h"
#include "arch/x86/cpu/tsc.h"
#include "drivers/e1000_rx.h"
#include "drivers/pci.h"
#include "lib/bits.h"
#include "lib/check.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"

enum e1000_register {
	E1000_CTRL = 0x0000,
	E1000_STATUS = 0x0008,
	E1000_EERD = 0x0014,
	E1000_ICR = 0x00c0,
	E1000_IMC = 0x00d8,
	E1000_RCTL = 0x0100,
	E1000_TCTL = 0x0400,
	E1000_TIPG = 0x0410,
	E1000_RDBAL = 0x2800,
	E1000_RDBAH = 0x2804,
	E1000_RDLEN = 0x2808,
	E1000_RDH = 0x2810,
	E1000_RDT = 0x2818,
	E1000_TDBAL = 0x3800,
	E1000_TDBAH = 0x3804,
	E1000_TDLEN = 0x3808,
	E1000_TDH = 0x3810,
	E1000_TDT = 0x3818,
	E1000_MTA = 0x5200,
	E1000_RAL = 0x5400,
	E1000_RAH = 0x5404,
};

#define REGISTER_BYTES   (128 * KIB)
#define MTA_WORDS        128U

#define CTRL_AUTO_SPEED  BIT(5)
#define CTRL_LINK_RESET  BIT(3)
#define CTRL_LINK_UP     BIT(6)
#define CTRL_INVERT_LOSS BIT(7)
#define CTRL_RESET       BIT(26)
#define CTRL_VLAN        BIT(30)
#define CTRL_PHY_RESET   BIT(31)
#define STATUS_LINK_UP   BIT(1)
#define RCTL_ENABLE      BIT(1)
#define RCTL_BROADCAST   BIT(15)
#define RCTL_STRIP_CRC   BIT(26)
#define TCTL_ENABLE      BIT(1)
#define TCTL_PAD         BIT(3)
#define TCTL_COLLISIONS  (0x0fUL << 4 | 0x40UL << 12)
/* "Transmit Inter Packet Gap", for copper. */
#define TIPG_COPPER      (10UL | 8UL << 10 | 6UL << 20)
#define RAH_VALID        BIT(31)
#define EERD_START       BIT(0)

#define TX_END_OF_PACKET BIT(0)
#define TX_INSERT_CRC    BIT(1)
#define TX_REPORT        BIT(3)
#define TX_EXTENDED      BIT(5)
#define TX_IPV4          BIT(1) /* of a context */
#define TX_DONE          BIT(0)
#define TX_TYPE_DATA     0x10
#define TX_SUM_IP        BIT(0)
#define TX_SUM_UDP       BIT(1)

/* Where checksums stand in UDP in IPv4 in Ethernet. */
#define IP_AT            14UL
#define IP_SUM_AT        (IP_AT + 10)
#define IP_LAST          (IP_AT + 19)
#define UDP_AT           (IP_AT + 20)
#define UDP_SUM_AT       (UDP_AT + 6)

#define RING             E1000_RX_RING /* and as many that send */
#define BUFFER_BYTES     E1000_RX_BUFFER_BYTES
#define RESET_US         20000U

/* The legacy format, and of the extended ones what is used here. */
struct tx_descriptor {
	u64 address;
	u16 length;
	u8 type, command, status, options;
	u16 special;
};

_Static_assert(sizeof(struct tx_descriptor) == 16, "legacy format");
_Static_assert(RING * 16 == PAGE_4K, "a ring is a frame");

/* How the EEPROM is read differs. */
struct model {
	u16 id;
	u8 done_bit, address_shift;
};

static const struct model models[] = {
    {0x100e, 4, 8}, /* 82540EM */
    {0x1015, 4, 8}, /* 82540EM, on board */
    {0x1016, 4, 8}, /* 82540EP, on board */
    {0x1017, 4, 8}, /* 82540EP */
    {0x101e, 4, 8}, /* 82540EP, mobile */
    {0x100f, 4, 8}, /* 82545EM */
    {0x1026, 4, 8}, /* 82545GM */
    {0x1010, 4, 8}, /* 82546EB */
    {0x1079, 4, 8}, /* 82546GB */
    {0x1076, 1, 2}, /* 82541GI */
    {0x10d3, 1, 2}, /* 82574L */
};

static struct {
	struct pci_function at;
	volatile u32 *registers;
	const struct model *model;
	u8 mac[6];
	hpa_t rx_ring, tx_ring;
	struct e1000_rx rx;
	volatile struct tx_descriptor *tx;
	u8 *tx_buffers;
	u32 tx_at; /* the descriptor to be used next */
} nic;

static u32 get(enum e1000_register reg)
{
	return nic.registers[reg / 4U];
}

static void set(enum e1000_register reg, u64 value)
{
	nic.registers[reg / 4U] = (u32)value;
}

/* --- Beginning ------------------------------------------------------------ */

static enum err find(void)
{
	struct pci_id ids[ARRAY_COUNT(models)];
	struct pci_bar bar;

	for (u32 i = 0; i < ARRAY_COUNT(models); i++)
		ids[i] = (struct pci_id){0x8086, models[i].id};
	if (pci_find(ids, ARRAY_COUNT(models), &nic.at) != OK)
		return ERR_NOT_FOUND;
	bar = pci_read_bar(&nic.at, 0);
	if (bar.space != PCI_SPACE_MEMORY || bar.bytes < REGISTER_BYTES)
		return ERR_UNSUPPORTED;
	for (u32 i = 0; i < ARRAY_COUNT(models); i++)
		if (models[i].id == nic.at.id)
			nic.model = &models[i];
	paging_map_device(hpa(bar.base), REGISTER_BYTES);
	nic.registers = phys_ptr(hpa(bar.base));
	pci_enable(&nic.at, PCI_ANSWERS);
	return OK;
}

/* All interrupts stay masked. */
static enum err reset(void)
{
	set(E1000_IMC, ~0U);
	set(E1000_RCTL, 0);
	set(E1000_TCTL, 0);
	set(E1000_CTRL, get(E1000_CTRL) | CTRL_RESET);
	tsc_delay_us(RESET_US); /* which reads the EEPROM, too */
	if (get(E1000_CTRL) & CTRL_RESET)
		return ERR_TIMEOUT;
	pci_enable(&nic.at, PCI_REACHES_MEMORY);
	set(E1000_IMC, ~0U);
	(void)get(E1000_ICR);
	set(E1000_CTRL,
	    (get(E1000_CTRL) & ~(CTRL_LINK_RESET | CTRL_INVERT_LOSS |
				 CTRL_VLAN | CTRL_PHY_RESET)) |
		CTRL_LINK_UP | CTRL_AUTO_SPEED);
	return OK;
}

static enum err read_eeprom(u32 word, u16 *value)
{
	set(E1000_EERD, EERD_START | (u64)word << nic.model->address_shift);
	for (u32 i = 0; i < 1000; i++) {
		u32 read = get(E1000_EERD);

		if (read & BIT(nic.model->done_bit)) {
			*value = (u16)(read >> 16);
			return OK;
		}
		tsc_delay_us(10);
	}
	return ERR_TIMEOUT;
}

static bool is_address(const u8 *mac)
{
	static const u8 none[6];

	return !(mac[0] & 1) && memcmp(mac, none, sizeof(none)) != 0;
}

/*
 * Hardware loads RAL and RAH from the EEPROM at reset; Bochs 2.7 leaves them
 * zero, and then the EEPROM is asked.
 */
static enum err read_mac(void)
{
	u32 low = get(E1000_RAL), high = get(E1000_RAH);

	memcpy(nic.mac, &low, 4);
	memcpy(nic.mac + 4, &high, 2);
	for (u32 i = 0; i < 3 && !(high & RAH_VALID); i++) {
		u16 word;
		enum err err = read_eeprom(i, &word);

		if (err != OK)
			return err;
		memcpy(nic.mac + 2UL * i, &word, 2);
	}
	if (!is_address(nic.mac))
		return ERR_UNSUPPORTED;
	memcpy(&low, nic.mac, 4);
	high = (u32)nic.mac[4] | (u32)nic.mac[5] << 8;
	set(E1000_RAL, low);
	set(E1000_RAH, high | RAH_VALID);
	return OK;
}

static enum err take_memory(void)
{
	hpa_t rx_buffers, rx_others, tx_buffers;
	enum frame_order order = frame_order_for(RING * BUFFER_BYTES);
	enum frame_order others =
	    frame_order_for(E1000_KEPT_MAX * BUFFER_BYTES);
	enum err err = frame_alloc_zeroed(FRAME_4K, "e1000 ring", &nic.rx_ring);

	if (err == OK)
		err = frame_alloc_zeroed(FRAME_4K, "e1000 ring", &nic.tx_ring);
	if (err == OK)
		err = frame_alloc_zeroed(order, "e1000 buffers", &rx_buffers);
	if (err == OK)
		err = frame_alloc_zeroed(others, "e1000 buffers", &rx_others);
	if (err == OK)
		err = frame_alloc_zeroed(order, "e1000 buffers", &tx_buffers);
	if (err != OK)
		return err; /* Umbra cannot go on for long anyway */
	e1000_rx_begin(&nic.rx, phys_ptr(nic.rx_ring),
		       &nic.registers[E1000_RDT / 4], phys_ptr(rx_buffers),
		       phys_ptr(rx_others));
	nic.tx = phys_ptr(nic.tx_ring);
	nic.tx_buffers = phys_ptr(tx_buffers);
	for (u32 i = 0; i < RING; i++)
		nic.tx[i].status = TX_DONE;
	return OK;
}

static void start_ring(enum e1000_register low, hpa_t ring)
{
	u64 base = hpa_raw(ring);
	u32 block = (u32)low; /* BAL BAH LEN - HEAD - TAIL */

	nic.registers[block / 4] = low32(base);
	nic.registers[block / 4 + 1] = high32(base);
	nic.registers[block / 4 + 2] = (u32)(RING * 16);
	nic.registers[block / 4 + 4] = 0;
	nic.registers[block / 4 + 6] = 0;
}

_Static_assert(E1000_RDT - E1000_RDBAL == 24, "as start_ring counts");
_Static_assert(E1000_TDT - E1000_TDBAL == 24, "as start_ring counts");

/*
 * "TCP/IP Context Transmit Descriptor Format": of all frames that want
 * checksums, which are of one kind.
 */
static void describe_sums(void)
{
	nic.tx[0].address = IP_AT | IP_SUM_AT << 8 | IP_LAST << 16 |
			    UDP_AT << 32 | UDP_SUM_AT << 40;
	nic.tx[0].status = 0;
	nic.tx[0].command = TX_EXTENDED | TX_IPV4 | TX_REPORT;
	nic.tx_at = 1;
	set(E1000_TDT, nic.tx_at);
}

static void start(void)
{
	for (u32 i = 0; i < MTA_WORDS; i++)
		nic.registers[E1000_MTA / 4 + i] = 0;
	start_ring(E1000_RDBAL, nic.rx_ring);
	start_ring(E1000_TDBAL, nic.tx_ring);
	nic.tx_at = 0;
	set(E1000_TIPG, TIPG_COPPER);
	set(E1000_TCTL, TCTL_ENABLE | TCTL_PAD | TCTL_COLLISIONS);
	set(E1000_RCTL, RCTL_ENABLE | RCTL_BROADCAST | RCTL_STRIP_CRC);
	/* One stays ours: a full ring would look like an empty one. */
	set(E1000_RDT, RING - 1);
	describe_sums();
}

enum err e1000_init(void)
{
	enum err err = find();

	if (err == OK)
		err = reset();
	if (err == OK)
		err = read_mac();
	if (err == OK)
		err = take_memory();
	if (err == OK)
		start();
	return err;
}

const u8 *e1000_mac(void)
{
	return nic.mac;
}

bool e1000_has_carrier(void)
{
	return get(E1000_STATUS) & STATUS_LINK_UP;
}

/* --- Frames --------------------------------------------------------------- */

/*
 * A frame takes up to two descriptors, and one stays ours: a full ring would
 * look like an empty one. They are done in their order.
 */
bool e1000_has_room(void)
{
	return nic.tx[(nic.tx_at + 2) % RING].status & TX_DONE;
}

static void describe(hpa_t at, u32 bytes, u64 command, u8 options)
{
	volatile struct tx_descriptor *tx = &nic.tx[nic.tx_at];

	tx->address = hpa_raw(at);
	tx->length = (u16)bytes;
	tx->type = options ? TX_TYPE_DATA : 0;
	tx->status = 0;
	tx->options = options;
	tx->command = (u8)(command | (options ? TX_EXTENDED : 0U) |
			   TX_INSERT_CRC | TX_REPORT);
	nic.tx_at = (u32)((nic.tx_at + 1) % RING);
}

u8 *e1000_room(void)
{
	return e1000_has_room() ? nic.tx_buffers + nic.tx_at * BUFFER_BYTES
				: NULL;
}

static void send(u32 bytes, const u8 *end, u32 end_bytes, u8 options)
{
	u8 *room = e1000_room();

	CHECK(room && bytes <= E1000_FRAME_BYTES &&
	      end_bytes <= E1000_FRAME_BYTES - bytes);
	describe(phys_of(room), bytes, end_bytes ? 0U : TX_END_OF_PACKET,
		 options);
	if (end_bytes)
		describe(phys_of(end), end_bytes, TX_END_OF_PACKET, options);
	/* x86 keeps stores in order: the descriptors are there before. */
	set(E1000_TDT, nic.tx_at);
}

void e1000_send(u32 bytes)
{
	send(bytes, NULL, 0, 0);
}

void e1000_send_udp(u32 bytes, const u8 *end, u32 end_bytes)
{
	send(bytes, end, end_bytes, TX_SUM_IP | TX_SUM_UDP);
}

u32 e1000_receive(const u8 **frame)
{
	return e1000_rx_receive(&nic.rx, frame);
}

u32 e1000_keep(void)
{
	return e1000_rx_keep(&nic.rx);
}

void e1000_release(u32 kept)
{
	e1000_rx_release(&nic.rx, kept);
}
