/* SPDX-License-Identifier: MIT */
/*
 * drivers/virtio_gather: what a device reads, whenever it does, is what was
 * sent; and whose memory is whose.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio_gather.h"
#include "lib/bits.h"
#include "tests/unit/support.h"

#define LENT_PAGES 8U
#define STREAM_MAX (8 * MIB)

static struct virtio_gather gather;
static u8 pages[VIRTIO_GATHER_PAGES * PAGE_4K];
static u8 lent[LENT_PAGES * PAGE_4K];
static u8 bytes[VIRTIO_GATHER_PAGES * PAGE_4K];

static int begin(void **state)
{
	(void)state;
	virtio_gather_begin(&gather, pages, 256);
	return 0;
}

static u32 copy(u32 count)
{
	u32 taken = 0, here = 1;

	while (taken < count && here && virtio_gather_has_room(&gather)) {
		here =
		    virtio_gather_copy(&gather, bytes + taken, count - taken);
		taken += here;
	}
	return taken;
}

static void lend_page(u32 number)
{
	assert_true(virtio_gather_has_room(&gather));
	virtio_gather_lend(&gather, lent + (u64)number * PAGE_4K, PAGE_4K);
}

static void give(u16 id)
{
	assert_true(virtio_gather_is_ready(&gather));
	virtio_gather_given(&gather, id);
}

static void neighbours_are_one_part(void **state)
{
	(void)state;
	assert_false(virtio_gather_is_ready(&gather));
	assert_int_equal(copy(100), 100);
	assert_int_equal(copy(28), 28);
	lend_page(2);
	lend_page(3);
	lend_page(5);
	assert_int_equal(gather.part_count, 3);
	assert_ptr_equal(gather.parts[0].at, pages);
	assert_int_equal(gather.parts[0].bytes, 128);
	assert_ptr_equal(gather.parts[1].at, lent + 2 * PAGE_4K);
	assert_int_equal(gather.parts[1].bytes, 2 * PAGE_4K);
	assert_int_equal(gather.parts[2].bytes, PAGE_4K);
	/* The page goes on to be filled behind what was lent. */
	assert_int_equal(copy(1), 1);
	assert_ptr_equal(gather.parts[3].at, pages + 128);
	give(0);
	assert_int_equal(gather.counts.buffers, 1);
	assert_int_equal(gather.counts.parts, 4);
}

static void full_buffer_takes_no_part(void **state)
{
	(void)state;
	for (u32 i = 0; i < VIRTIO_GATHER_PARTS; i++)
		lend_page(i % 2 ? 1 : 3);
	assert_int_equal(gather.part_count, VIRTIO_GATHER_PARTS);
	assert_false(virtio_gather_has_room(&gather));
	give(0);
	assert_int_equal(copy(VIRTIO_GATHER_BYTES + 1), VIRTIO_GATHER_BYTES);
	assert_false(virtio_gather_has_room(&gather));
	give(1);
	/* A queue that has fewer descriptors. */
	virtio_gather_begin(&gather, pages, 2);
	lend_page(0);
	lend_page(2);
	assert_false(virtio_gather_has_room(&gather));
}

static void page_of_a_given_buffer_is_not_gone_on_with(void **state)
{
	(void)state;
	assert_int_equal(copy(10), 10);
	give(0);
	assert_int_equal(copy(10), 10);
	assert_ptr_equal(gather.parts[0].at, pages + PAGE_4K);
}

static void pages_are_free_in_their_order(void **state)
{
	(void)state;
	for (u16 i = 0; i < VIRTIO_GATHER_PAGES / 16; i++) {
		assert_int_equal(copy(16 * PAGE_4K), 16 * PAGE_4K);
		give(i);
	}
	assert_int_equal(copy(1), 0);
	virtio_gather_returned(&gather, 1);
	assert_int_equal(copy(1), 0);
	virtio_gather_returned(&gather, 0);
	assert_int_equal(gather.pages_done, 32);
	assert_int_equal(copy(1), 1);
	assert_ptr_equal(gather.parts[0].at, pages);
}

static void number_of_a_buffer_is_used_again(void **state)
{
	(void)state;
	for (u16 i = 0; i < 2; i++) {
		lend_page(i);
		give(i);
	}
	virtio_gather_returned(&gather, 1);
	lend_page(4);
	lend_page(5);
	give(1);
	assert_int_equal(gather.lent_bytes, 3 * PAGE_4K);
	virtio_gather_returned(&gather, 1);
	assert_int_equal(gather.lent_bytes, PAGE_4K);
	virtio_gather_returned(&gather, 1);
	virtio_gather_returned(&gather, 7);
	assert_int_equal(gather.lent_bytes, PAGE_4K);
	virtio_gather_returned(&gather, 0);
	assert_int_equal(virtio_gather_pending(&gather), 0);
	assert_int_equal(gather.counts.most_under_way, 3);
}

static void only_so_many_are_under_way(void **state)
{
	(void)state;
	for (u16 i = 0; i < VIRTIO_BUFFERS_MAX; i++) {
		lend_page(0);
		give(i);
	}
	lend_page(1);
	assert_false(virtio_gather_is_ready(&gather));
	virtio_gather_returned(&gather, 1); /* not the oldest */
	assert_false(virtio_gather_is_ready(&gather));
	virtio_gather_returned(&gather, 0);
	assert_true(virtio_gather_is_ready(&gather));
}

static void what_was_not_given_is_dropped(void **state)
{
	(void)state;
	assert_int_equal(copy(3 * PAGE_4K), 3 * PAGE_4K);
	lend_page(0);
	give(0);
	assert_int_equal(copy(3 * PAGE_4K), 3 * PAGE_4K);
	lend_page(1);
	assert_int_equal(virtio_gather_pending(&gather), 8 * PAGE_4K);
	virtio_gather_drop(&gather);
	assert_false(virtio_gather_is_ready(&gather));
	assert_int_equal(virtio_gather_pending(&gather), 4 * PAGE_4K);
	assert_int_equal(copy(1), 1);
	assert_ptr_equal(gather.parts[0].at, pages + 3 * PAGE_4K);
}

/* --- A device that reads when it likes ------------------------------------ */

struct held {
	u64 at; /* in the stream */
	u16 id;
	u32 part_count;
	struct virtio_part parts[VIRTIO_GATHER_PARTS];
};

struct device {
	struct random random;
	struct held held[VIRTIO_BUFFERS_MAX];
	u32 count;
	u64 sent, given;
	u8 *stream; /* what was sent */
};

static u16 free_number(const struct device *device)
{
	u16 id = 0;

	for (u32 i = 0; i < device->count; i++)
		if (device->held[i].id == id) {
			id++;
			i = ~0U; /* from the first one again */
		}
	return id;
}

static void put(struct device *device)
{
	struct held *held = &device->held[device->count];

	if (!virtio_gather_is_ready(&gather))
		return;
	assert_true(device->count < VIRTIO_BUFFERS_MAX);
	*held = (struct held){.at = device->given,
			      .id = free_number(device),
			      .part_count = gather.part_count};
	memcpy(held->parts, gather.parts, sizeof(held->parts));
	for (u32 i = 0; i < held->part_count; i++)
		device->given += held->parts[i].bytes;
	device->count++;
	virtio_gather_given(&gather, held->id);
}

/* It reads all of one when it gives it back. */
static void give_back(struct device *device)
{
	u32 which = (u32)random_below(&device->random, device->count);
	struct held *held = &device->held[which];
	u64 at = held->at;

	for (u32 i = 0; i < held->part_count; i++) {
		assert_memory_equal(held->parts[i].at, device->stream + at,
				    held->parts[i].bytes);
		at += held->parts[i].bytes;
	}
	virtio_gather_returned(&gather, held->id);
	*held = device->held[--device->count];
}

static void send_some(struct device *device)
{
	u32 count = (u32)random_below(&device->random, 9000) + 1;

	for (u32 i = 0; i < count; i++)
		bytes[i] = (u8)random_next(&device->random);
	count = copy(count);
	memcpy(device->stream + device->sent, bytes, count);
	device->sent += count;
}

static void lend_some(struct device *device)
{
	u32 number = (u32)random_below(&device->random, LENT_PAGES);

	if (!virtio_gather_has_room(&gather))
		return;
	lend_page(number);
	memcpy(device->stream + device->sent, lent + (u64)number * PAGE_4K,
	       PAGE_4K);
	device->sent += PAGE_4K;
}

static void step(struct device *device)
{
	switch (random_below(&device->random, 4)) {
	case 0:
		send_some(device);
		break;
	case 1:
		lend_some(device);
		break;
	case 2:
		put(device);
		break;
	default:
		if (device->count)
			give_back(device);
		break;
	}
}

static void random_walk(u64 seed)
{
	struct device device = {.random = random_from(seed)};

	device.stream = malloc(STREAM_MAX);
	assert_non_null(device.stream);
	virtio_gather_begin(&gather, pages, 256);
	for (u32 i = 0; i < sizeof(lent); i++)
		lent[i] = (u8)random_next(&device.random);
	while (device.sent < STREAM_MAX - 4 * VIRTIO_GATHER_BYTES)
		step(&device);
	while (device.given < device.sent || device.count) {
		put(&device);
		if (device.count)
			give_back(&device);
	}
	assert_int_equal(device.given, device.sent);
	assert_int_equal(virtio_gather_pending(&gather), 0);
	free(device.stream);
}

static void device_reads_what_was_sent_whenever_it_does(void **state)
{
	(void)state;
	for_seeds(8, random_walk);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, begin)
	const struct CMUnitTest tests[] = {
	    TEST(neighbours_are_one_part),
	    TEST(full_buffer_takes_no_part),
	    TEST(page_of_a_given_buffer_is_not_gone_on_with),
	    TEST(pages_are_free_in_their_order),
	    TEST(number_of_a_buffer_is_used_again),
	    TEST(only_so_many_are_under_way),
	    TEST(what_was_not_given_is_dropped),
	    TEST(device_reads_what_was_sent_whenever_it_does),
	};

	return cmocka_run_group_tests_name("virtio_gather", tests, NULL, NULL);
}
