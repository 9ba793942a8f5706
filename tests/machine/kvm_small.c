/* SPDX-License-Identifier: MIT */
/*
 * A small virtual machine on the KVM interface of the Linux that it runs on:
 * one that is itself a guest of Umbra's. Static; in the initial RAM disk.
 *
 *	kvm_small [PAGES [ROUNDS [EVERY]]]
 *
 * Its guest adds a byte to each of its pages, round and round, asks CPUID in
 * each round, tells the number of the round through a port, and halts behind
 * the last one. KVM's dirty log is on: each round must have dirtied all pages.
 * Prints "kvm_small: PASS" or what is wrong; before, of each EVERYth round that
 * it is over, if so asked. With 0 rounds it goes on until there is a file
 * /stop.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_BYTES     4096u
#define CODE_AT        0x1000u
#define PAGES_AT       0x10000u
#define PORT           0x80
#define PAGES_MAX      0x90u
#define ROUNDS_MAX     0xffffu
#define STOP           "/stop"
#define DEFAULT_PAGES  100
#define DEFAULT_ROUNDS 5

/*
 * Real mode. BX: rounds so far; SI: segment of the page; DX: pages left. The
 * two words at the end are filled in.
 *
 *	0	xor %bx,%bx
 *	2 round:mov $PAGES_AT/16,%si
 *	5	mov $pages,%dx
 *	8 page:	mov %si,%ds
 *	a	incb 0
 *	e	add $0x100,%si
 *	12	dec %dx
 *	13	jnz page
 *	15	inc %bx
 *	16	push %bx
 *	17	xor %eax,%eax
 *	1a	cpuid
 *	1c	pop %bx
 *	1d	mov %bx,%ax
 *	1f	out %ax,$PORT
 *	21	cmp $rounds,%bx
 *	25	jne round
 *	27	hlt
 */
static uint8_t code[] = {
    0x31, 0xdb, 0xbe, 0x00, 0x10, 0xba, 0x00, 0x00, 0x8e, 0xde,
    0xfe, 0x06, 0x00, 0x00, 0x81, 0xc6, 0x00, 0x01, 0x4a, 0x75,
    0xf3, 0x43, 0x53, 0x66, 0x31, 0xc0, 0x0f, 0xa2, 0x5b, 0x89,
    0xd8, 0xe7, PORT, 0x81, 0xfb, 0x00, 0x00, 0x75, 0xdb, 0xf4,
};
#define PAGES_WORD  6
#define ROUNDS_WORD 0x23

static unsigned pages = DEFAULT_PAGES, rounds = DEFAULT_ROUNDS, every;
static uint8_t *memory;
static size_t memory_bytes;
static int vm, vcpu;
static struct kvm_run *run;

static void fail(const char *format, ...)
{
	va_list args;

	printf("kvm_small: FAIL ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	exit(1);
}

static int call(int file, unsigned long request, void *argument,
		const char *what)
{
	int result = ioctl(file, request, argument);

	if (result < 0)
		fail("%s: %m", what);
	return result;
}

static void make_vm(int kvm)
{
	struct kvm_userspace_memory_region region = {
	    .flags = KVM_MEM_LOG_DIRTY_PAGES,
	};

	vm = call(kvm, KVM_CREATE_VM, NULL, "KVM_CREATE_VM");
	memory_bytes = PAGES_AT + pages * PAGE_BYTES;
	memory = mmap(NULL, memory_bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		fail("memory: %m");
	code[PAGES_WORD] = (uint8_t)pages;
	code[ROUNDS_WORD] = (uint8_t)(rounds ? rounds : ROUNDS_MAX);
	code[ROUNDS_WORD + 1] = (uint8_t)((rounds ? rounds : ROUNDS_MAX) >> 8);
	memcpy(memory + CODE_AT, code, sizeof(code));
	region.memory_size = memory_bytes;
	region.userspace_addr = (uintptr_t)memory;
	call(vm, KVM_SET_USER_MEMORY_REGION, &region, "memory region");
}

static void make_vcpu(int kvm)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs = {.rip = CODE_AT, .rflags = 2, .rsp = 0x8000};
	int bytes;

	vcpu = call(vm, KVM_CREATE_VCPU, NULL, "KVM_CREATE_VCPU");
	bytes = call(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL, "mmap size");
	run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		   vcpu, 0);
	if (run == MAP_FAILED)
		fail("kvm_run: %m");
	call(vcpu, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	call(vcpu, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS");
	call(vcpu, KVM_SET_REGS, &regs, "KVM_SET_REGS");
}

/* What the guest has written since it was asked last. */
static unsigned dirty_pages(void)
{
	static uint8_t bits[64];
	struct kvm_dirty_log log = {.dirty_bitmap = bits};
	unsigned count = 0;

	memset(bits, 0, sizeof(bits));
	call(vm, KVM_GET_DIRTY_LOG, &log, "KVM_GET_DIRTY_LOG");
	for (unsigned i = 0; i < pages; i++) {
		unsigned page = PAGES_AT / PAGE_BYTES + i;

		count += bits[page / 8] >> page % 8 & 1;
	}
	return count;
}

static void check_round(unsigned round)
{
	uint16_t told;
	unsigned dirty;

	memcpy(&told, (uint8_t *)run + run->io.data_offset, sizeof(told));
	if (run->io.port != PORT || told != round)
		fail("round %u: port %#x says %u", round, run->io.port, told);
	dirty = dirty_pages();
	if (dirty != pages)
		fail("round %u: %u of %u pages are dirty", round, dirty, pages);
	for (unsigned i = 0; i < pages; i++)
		if (memory[PAGES_AT + i * PAGE_BYTES] != (uint8_t)round)
			fail("round %u: page %u holds %u", round, i,
			     memory[PAGES_AT + i * PAGE_BYTES]);
	if (every && round % every == 0) {
		printf("kvm_small: round %u\n", round);
		fflush(stdout);
	}
}

/* How many rounds it was. */
static unsigned run_guest(void)
{
	unsigned round = 0;

	for (;;) {
		call(vcpu, KVM_RUN, NULL, "KVM_RUN");
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			check_round(++round);
			if (!rounds && access(STOP, F_OK) == 0)
				return round;
			break;
		case KVM_EXIT_HLT:
			if (round != rounds)
				fail("halted after %u rounds", round);
			return round;
		default:
			fail("exit %u, hardware reason %#llx", run->exit_reason,
			     (unsigned long long)run->hw.hardware_exit_reason);
		}
	}
}

int main(int argc, char **argv)
{
	int kvm = open("/dev/kvm", O_RDWR);

	if (kvm < 0)
		fail("/dev/kvm: %m");
	if (argc > 1)
		pages = (unsigned)atoi(argv[1]);
	if (argc > 2)
		rounds = (unsigned)atoi(argv[2]);
	if (argc > 3)
		every = (unsigned)atoi(argv[3]);
	if (!pages || pages > PAGES_MAX || rounds > ROUNDS_MAX)
		fail("1 to %u pages, 0 to %u rounds", PAGES_MAX, ROUNDS_MAX);
	make_vm(kvm);
	make_vcpu(kvm);
	printf("kvm_small: PASS %u pages, %u rounds\n", pages, run_guest());
	return 0;
}
