/* SPDX-License-Identifier: MIT */
/*
 * See devices/virtqueue.h.
 *
 * Order. x86 keeps loads in order and stores in order, and the host's copies
 * are calls that the compiler cannot see through: the ring entry is read after
 * the index that covers it, and written before.
 */
#include "devices/virtqueue.h"
#include "lib/string.h"

#define DESCRIPTOR_NEXT    1
#define DESCRIPTOR_WRITE   2

#define AVAILABLE_INDEX    2 /* offsets in the available ring */
#define AVAILABLE_RING     4
#define NO_INTERRUPT       1 /* in its flags */

#define USED_INDEX         2 /* offsets in the used ring */
#define USED_RING          4
#define USED_ELEMENT_BYTES 8ULL

struct descriptor {
	u64 address;
	u32 bytes;
	u16 flags;
	u16 next;
};

_Static_assert(sizeof(struct descriptor) == 16, "as in guest memory");

void virtqueue_reset(struct virtqueue_state *queue)
{
	memset(queue, 0, sizeof(*queue));
	queue->size = VIRTQUEUE_SIZE_MAX;
	queue->vector = 0xffff;
}

static bool load(const struct virtqueue_memory *memory, u64 from, void *to,
		 u64 bytes)
{
	return memory->host->memory_read(memory->context, gpa(from), to,
					 bytes) == OK;
}

static bool store(const struct virtqueue_memory *memory, u64 to,
		  const void *from, u64 bytes)
{
	return memory->host->memory_write(memory->context, gpa(to), from,
					  bytes) == OK;
}

/* Sizes are powers of two up to the maximum; this keeps indices inside. */
static u32 slot(const struct virtqueue_state *queue, u16 index)
{
	return index & (queue->size - 1U);
}

enum virtqueue_result virtqueue_take(const struct virtqueue_memory *memory,
				     struct virtqueue_state *queue, u16 *head)
{
	u64 entry = queue->available + AVAILABLE_RING +
		    slot(queue, queue->next_available) * sizeof(u16);
	u16 index, descriptor;

	if (!load(memory, queue->available + AVAILABLE_INDEX, &index,
		  sizeof(index)))
		return VIRTQUEUE_BROKEN;
	if (index == queue->next_available)
		return VIRTQUEUE_EMPTY;
	if ((u16)(index - queue->next_available) > queue->size)
		return VIRTQUEUE_BROKEN;
	if (!load(memory, entry, &descriptor, sizeof(descriptor)) ||
	    descriptor >= queue->size)
		return VIRTQUEUE_BROKEN;
	queue->next_available++;
	*head = descriptor;
	return VIRTQUEUE_OK;
}

static bool load_descriptor(const struct virtqueue_memory *memory,
			    const struct virtqueue_state *queue, u16 index,
			    struct descriptor *descriptor)
{
	return index < queue->size &&
	       load(memory, queue->descriptors + index * sizeof(*descriptor),
		    descriptor, sizeof(*descriptor));
}

/* The overlap of the span with a descriptor that begins at `start` of the
 * chain: bytes to copy, how far into the buffer, how far into ours. */
struct overlap {
	u32 bytes;
	u64 in_buffer;
	u64 in_span;
};

static struct overlap overlap_of(const struct virtqueue_span *span, u64 start,
				 u32 bytes)
{
	u64 end = start + bytes;
	u64 from = span->offset > start ? span->offset : start;
	u64 to =
	    span->offset + span->bytes < end ? span->offset + span->bytes : end;

	return from >= to ? (struct overlap){0, 0, 0}
			  : (struct overlap){(u32)(to - from), from - start,
					     from - span->offset};
}

/* Where to, or where from: one of the two is NULL. */
struct ours {
	u8 *to;
	const u8 *from;
};

static bool copy_part(const struct virtqueue_memory *memory,
		      const struct descriptor *descriptor,
		      const struct overlap *part, const struct ours *ours)
{
	u64 address = descriptor->address + part->in_buffer;

	if (!part->bytes)
		return true;
	return ours->to ? load(memory, address, ours->to + part->in_span,
			       part->bytes)
			: store(memory, address, ours->from + part->in_span,
				part->bytes);
}

static u32 bytes_before(const struct virtqueue_span *span, u64 end)
{
	u64 bytes = end > span->offset ? end - span->offset : 0;

	return bytes < span->bytes ? (u32)bytes : span->bytes;
}

static enum virtqueue_result copy(const struct virtqueue_memory *memory,
				  const struct virtqueue_state *queue,
				  const struct virtqueue_span *span,
				  const struct ours *ours, u32 *done)
{
	u16 direction = ours->to ? 0 : DESCRIPTOR_WRITE;
	u16 index = span->head;
	u64 start = 0;

	for (u32 step = 0; step < queue->size; step++) {
		struct descriptor descriptor;
		struct overlap part;

		if (!load_descriptor(memory, queue, index, &descriptor) ||
		    (descriptor.flags & ~DESCRIPTOR_NEXT) != direction)
			return VIRTQUEUE_BROKEN;
		part = overlap_of(span, start, descriptor.bytes);
		if (!copy_part(memory, &descriptor, &part, ours))
			return VIRTQUEUE_BROKEN;
		start += descriptor.bytes;
		if (!(descriptor.flags & DESCRIPTOR_NEXT) ||
		    bytes_before(span, start) == span->bytes) {
			*done = bytes_before(span, start);
			return VIRTQUEUE_OK;
		}
		index = descriptor.next;
	}
	return VIRTQUEUE_BROKEN; /* a loop */
}

enum virtqueue_result virtqueue_read(const struct virtqueue_memory *memory,
				     const struct virtqueue_state *queue,
				     const struct virtqueue_span *span,
				     void *to, u32 *done)
{
	const struct ours ours = {.to = to};

	return copy(memory, queue, span, &ours, done);
}

enum virtqueue_result virtqueue_write(const struct virtqueue_memory *memory,
				      const struct virtqueue_state *queue,
				      const struct virtqueue_span *span,
				      const void *from, u32 *done)
{
	const struct ours ours = {.from = from};

	return copy(memory, queue, span, &ours, done);
}

enum virtqueue_result virtqueue_give(const struct virtqueue_memory *memory,
				     struct virtqueue_state *queue, u16 head,
				     u32 written)
{
	const u32 element[2] = {head, written};
	u64 entry = queue->used + USED_RING +
		    slot(queue, queue->next_used) * USED_ELEMENT_BYTES;
	u16 index = (u16)(queue->next_used + 1);

	if (!store(memory, entry, element, sizeof(element)) ||
	    !store(memory, queue->used + USED_INDEX, &index, sizeof(index)))
		return VIRTQUEUE_BROKEN;
	queue->next_used = index;
	return VIRTQUEUE_OK;
}

/*
 * The index must be visible before the flag is read: the driver does it the
 * other way round. A store and a later load need a fence for that.
 */
bool virtqueue_wants_interrupt(const struct virtqueue_memory *memory,
			       const struct virtqueue_state *queue)
{
	u16 flags = 0;

	__asm__ volatile("mfence" : : : "memory");
	return load(memory, queue->available, &flags, sizeof(flags)) &&
	       !(flags & NO_INTERRUPT);
}
