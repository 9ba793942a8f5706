/* SPDX-License-Identifier: MIT */
/* The pair of 8259A against the data sheet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/pic.h"

static struct pic_state pic;

static void command(enum pic_chip chip, u8 value)
{
	pic_write(&pic, chip, 0, value);
}

static void set_mask(enum pic_chip chip, u8 value)
{
	pic_write(&pic, chip, 1, value);
}

static u8 read_register(enum pic_chip chip, u8 ocw3)
{
	command(chip, ocw3);
	return pic_read(&pic, chip, 0);
}

static u8 irr(enum pic_chip chip)
{
	return read_register(chip, 0x0a);
}

static u8 isr(enum pic_chip chip)
{
	return read_register(chip, 0x0b);
}

/* As Linux does it: vectors 30H and 38H, everything unmasked. */
static void initialise(enum pic_chip chip, u8 icw4)
{
	command(chip, 0x11);
	set_mask(chip, chip == PIC_MASTER ? 0x30 : 0x38);
	set_mask(chip, chip == PIC_MASTER ? 0x04 : 0x02);
	set_mask(chip, icw4);
}

static int fresh(void **state)
{
	(void)state;
	pic_reset(&pic);
	initialise(PIC_MASTER, 0x01);
	initialise(PIC_SLAVE, 0x01);
	return 0;
}

static void raise(u32 input)
{
	pic_set_line(&pic, input, PIC_HIGH);
}

static void lower(u32 input)
{
	pic_set_line(&pic, input, PIC_LOW);
}

static void pulse(u32 input)
{
	lower(input);
	raise(input);
}

static int acknowledge(void)
{
	return pic_interrupt(&pic) ? pic_acknowledge(&pic) : -1;
}

static void firmware_state_masks_everything(void **state)
{
	(void)state;
	pic_reset(&pic);
	assert_int_equal(pic_read(&pic, PIC_MASTER, 1), 0xff);
	assert_int_equal(pic_read(&pic, PIC_SLAVE, 1), 0xff);
	pulse(0);
	assert_false(pic_interrupt(&pic));
	set_mask(PIC_MASTER, 0xfe);
	assert_int_equal(acknowledge(), 0x08);
}

static void mask_register_reads_back(void **state)
{
	(void)state;
	assert_int_equal(pic_read(&pic, PIC_MASTER, 1), 0);
	set_mask(PIC_MASTER, 0xfb); /* how Linux finds out that it is there */
	assert_int_equal(pic_read(&pic, PIC_MASTER, 1), 0xfb);
}

static void edge_is_latched_and_served_once(void **state)
{
	(void)state;
	raise(4);
	assert_int_equal(irr(PIC_MASTER), 0x10);
	assert_int_equal(acknowledge(), 0x34);
	assert_int_equal(irr(PIC_MASTER), 0);
	assert_int_equal(isr(PIC_MASTER), 0x10);
	command(PIC_MASTER, 0x20);
	assert_int_equal(isr(PIC_MASTER), 0);
	assert_int_equal(acknowledge(), -1);
	raise(4); /* still high: no edge */
	assert_int_equal(acknowledge(), -1);
	pulse(4);
	assert_int_equal(acknowledge(), 0x34);
}

static void lower_inputs_have_priority(void **state)
{
	(void)state;
	raise(5);
	raise(3);
	assert_int_equal(acknowledge(), 0x33);
	assert_int_equal(acknowledge(), -1); /* 5 waits for the end of 3 */
	raise(1);
	assert_int_equal(acknowledge(), 0x31); /* nests */
	command(PIC_MASTER, 0x20);
	command(PIC_MASTER, 0x63); /* specific EOI of 3 */
	assert_int_equal(acknowledge(), 0x35);
}

static void slave_comes_through_input_2(void **state)
{
	(void)state;
	raise(8);
	assert_int_equal(irr(PIC_MASTER), 0x04);
	assert_int_equal(acknowledge(), 0x38);
	assert_int_equal(isr(PIC_MASTER), 0x04);
	assert_int_equal(isr(PIC_SLAVE), 0x01);
	raise(3);
	assert_int_equal(acknowledge(), -1);
	command(PIC_SLAVE, 0x20);
	command(PIC_MASTER, 0x62);
	assert_int_equal(acknowledge(), 0x33);
}

static void special_fully_nested_lets_slave_inputs_nest(void **state)
{
	(void)state;
	initialise(PIC_MASTER, 0x11);
	raise(12);
	assert_int_equal(acknowledge(), 0x3c);
	raise(9);
	assert_int_equal(acknowledge(), 0x39);
}

static void masking_the_cascade_masks_the_slave(void **state)
{
	(void)state;
	set_mask(PIC_MASTER, 0x04);
	raise(8);
	assert_false(pic_interrupt(&pic));
}

static void level_input_requests_as_long_as_it_is_high(void **state)
{
	(void)state;
	pic_write_elcr(&pic, PIC_SLAVE, 0x0c);
	assert_int_equal(pic_read_elcr(&pic, PIC_SLAVE), 0x0c);
	raise(10);
	assert_int_equal(acknowledge(), 0x3a);
	command(PIC_SLAVE, 0x20);
	command(PIC_MASTER, 0x20);
	assert_int_equal(acknowledge(), 0x3a);
	command(PIC_SLAVE, 0x20);
	command(PIC_MASTER, 0x20);
	lower(10);
	assert_int_equal(acknowledge(), -1);
}

static void elcr_spares_the_legacy_inputs(void **state)
{
	(void)state;
	pic_write_elcr(&pic, PIC_MASTER, 0xff);
	pic_write_elcr(&pic, PIC_SLAVE, 0xff);
	assert_int_equal(pic_read_elcr(&pic, PIC_MASTER), 0xf8);
	assert_int_equal(pic_read_elcr(&pic, PIC_SLAVE), 0xde);
}

static void vanished_request_gives_input_7(void **state)
{
	(void)state;
	pic_write_elcr(&pic, PIC_MASTER, 0x20);
	raise(5);
	lower(5);
	assert_int_equal(pic_acknowledge(&pic), 0x37);
	assert_int_equal(isr(PIC_MASTER), 0);
}

static void auto_eoi_leaves_nothing_in_service(void **state)
{
	(void)state;
	initialise(PIC_MASTER, 0x03);
	raise(5);
	assert_int_equal(acknowledge(), 0x35);
	assert_int_equal(isr(PIC_MASTER), 0);
	raise(6);
	assert_int_equal(acknowledge(), 0x36);
}

static void auto_eoi_can_rotate(void **state)
{
	(void)state;
	initialise(PIC_MASTER, 0x03);
	command(PIC_MASTER, 0x80);
	raise(3);
	assert_int_equal(acknowledge(), 0x33);
	pulse(3);
	raise(5);
	assert_int_equal(acknowledge(), 0x35); /* 3 is now the lowest */
	command(PIC_MASTER, 0x00);
	assert_int_equal(acknowledge(), 0x33);
}

static void rotation_moves_the_lowest_priority(void **state)
{
	(void)state;
	command(PIC_MASTER, 0xc3); /* 3 is the lowest: 4 is the highest */
	raise(0);
	raise(4);
	raise(3);
	assert_int_equal(acknowledge(), 0x34);
	command(PIC_MASTER, 0xa0); /* rotate on EOI: 4 the lowest */
	raise(5);
	assert_int_equal(acknowledge(), 0x35);
	command(PIC_MASTER, 0xe5); /* rotate on specific EOI of 5 */
	assert_int_equal(acknowledge(), 0x30);
}

static void special_mask_lets_lower_inputs_through(void **state)
{
	(void)state;
	raise(1);
	assert_int_equal(acknowledge(), 0x31);
	raise(6);
	set_mask(PIC_MASTER, 0x02);
	assert_int_equal(acknowledge(), -1);
	command(PIC_MASTER, 0x68);
	assert_int_equal(acknowledge(), 0x36);
	command(PIC_MASTER, 0x48);
	raise(7);
	assert_int_equal(acknowledge(), -1);
}

static void poll_acknowledges(void **state)
{
	(void)state;
	command(PIC_MASTER, 0x0c);
	assert_int_equal(pic_read(&pic, PIC_MASTER, 0), 0);
	raise(3);
	command(PIC_MASTER, 0x0c);
	assert_int_equal(pic_read(&pic, PIC_MASTER, 0), 0x83);
	assert_int_equal(isr(PIC_MASTER), 0x08);
	assert_int_equal(irr(PIC_MASTER), 0x00);
}

static void initialisation_forgets_edges_but_sees_levels(void **state)
{
	(void)state;
	pic_write_elcr(&pic, PIC_MASTER, 0x20);
	raise(4);
	raise(5);
	initialise(PIC_MASTER, 1);
	assert_int_equal(irr(PIC_MASTER), 0x20);
	assert_int_equal(acknowledge(), 0x35);
}

static void single_chip_without_icw4_is_ready_after_icw2(void **state)
{
	(void)state;
	command(PIC_MASTER, 0x12);
	set_mask(PIC_MASTER, 0x50);
	set_mask(PIC_MASTER, 0xaa);
	assert_int_equal(pic_read(&pic, PIC_MASTER, 1), 0xaa);
}

static void input_2_and_beyond_15_are_nobodys(void **state)
{
	(void)state;
	raise(2);
	raise(16);
	raise(1000);
	assert_false(pic_interrupt(&pic));
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(firmware_state_masks_everything),
	    TEST(mask_register_reads_back),
	    TEST(edge_is_latched_and_served_once),
	    TEST(lower_inputs_have_priority),
	    TEST(slave_comes_through_input_2),
	    TEST(special_fully_nested_lets_slave_inputs_nest),
	    TEST(masking_the_cascade_masks_the_slave),
	    TEST(level_input_requests_as_long_as_it_is_high),
	    TEST(elcr_spares_the_legacy_inputs),
	    TEST(vanished_request_gives_input_7),
	    TEST(auto_eoi_leaves_nothing_in_service),
	    TEST(auto_eoi_can_rotate),
	    TEST(rotation_moves_the_lowest_priority),
	    TEST(special_mask_lets_lower_inputs_through),
	    TEST(poll_acknowledges),
	    TEST(initialisation_forgets_edges_but_sees_levels),
	    TEST(single_chip_without_icw4_is_ready_after_icw2),
	    TEST(input_2_and_beyond_15_are_nobodys),
	};

	return cmocka_run_group_tests_name("pic", tests, NULL, NULL);
}
