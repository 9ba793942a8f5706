# Umbra: one Makefile, not recursive.
#
# The object lists per floor ARE the architecture: lower floors first, each
# floor may use those above it in this list (tools/check_layers.py holds the
# exact rule). "pure" objects hold no privileged instruction and are compiled
# twice: into the image, and for the host under sanitizers.
#
#	make		build/umbra.elf and build/umbra.iso
#	make iso	build/umbra.iso alone
#	make check	format, layers, headers, purity, static analysis
#	make test	everything that needs no special hardware
#	make demo	a hypervisor and its guest move to a second machine
#	make fuzz	the fuzzers, long
#	make setup	installs what the above need (Debian)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

CROSS_COMPILE ?=
CC	:= $(CROSS_COMPILE)gcc
LD	:= $(CROSS_COMPILE)ld
NM	:= $(CROSS_COMPILE)nm
OBJCOPY	:= $(CROSS_COMPILE)objcopy
NASM	:= nasm
HOSTCC	:= gcc
CLANG	:= clang
PYTHON	:= python3
B	:= build

# V=1 shows the commands.
V ?= 0
say = $(if $(filter 0,$(V)),@printf '  %-7s %s\n' '$(1)' '$@' &&)

# --- The floors -----------------------------------------------------------

FLOORS := lib mm arch/x86/ept pml shadow nested devices emulate migrate loader \
	  acpi arch/x86/cpu arch/x86/vmx drivers core boot

lib.pure		:= crc32c err fmt lz4 string symbol_table
mm.pure			:= frame_alloc dirty_log guest_mem guest_walk
arch/x86/ept.pure	:= ept_entry ept ept_track
pml.pure		:= pml track
shadow.pure		:= coherence compose ept12 fill pool quick shadow table
nested.pure		:= capability checks checks_controls checks_events evmcs \
			   checks_guest checks_host checks_segments checks_state \
			   fields host_state instruction merge operand operand_page \
			   owner posted slots vmcs12
devices.pure		:= acpi_pm aml cable guest_acpi guest_time hyperv i8042 ioapic lapic \
			   lapic_deliver lapic_state lapic_timer msix mtrr pci \
			   pic pit platform platform_irq platform_pci platform_ports \
			   rtc uart virtio_console virtio_pci virtqueue
emulate.pure		:= access alu breakpoint decode emulate operation string_operation task
migrate.pure		:= audit link link_fault link_memory net pack pages receiver record \
			   record_machine record_nested record_vcpu serial_frame shape source \
			   stream stream_frame wire
loader.pure		:= boot_info cmdline elf guest_image guest_load guest_map \
			   guest_pin guest_place guest_plan image_file linux \
			   multiboot1_info multiboot2_info multiboot_guest \
			   multiboot_header options region_map
acpi.pure		:= acpi acpi_table dmar fadt madt mcfg s5
arch/x86/vmx.pure	:= apicv controls event guest_cpu guest_cpuid mitigation msr_bitmap \
			   msr_value refusal vpid

arch/x86/cpu.hard	:= apic cpu descriptors paging smp traps tsc vectors xmm
arch/x86/vmx.hard	:= capability control_registers exit exit_cpuid \
			   exit_cr exit_emulate exit_ept exit_event exit_hyperv \
			   exit_io exit_misc exit_msr exit_task exit_vmx \
			   exit_vmx_fast mitigate nested_entry \
			   nested_events nested_exit nested_memory nested_vcpu vcpu vcpu_apic \
			   vcpu_events vcpu_state vcpu_sync vm vmcs02 vmcs_host vmcs_shadow \
			   vmx_cpu
drivers.pure		:= e1000_rx serial uart_link virtio_gather

drivers.hard		:= e1000 interrupts net_link pci rtc serial_port \
			   virtio virtio_link
core.hard		:= backtrace bench cables console crash guests links linktest \
			   linktest_bare linktest_memory log loopback \
			   machine main memory migration migration_receiver \
			   migration_source monitor nmi panic \
			   record_loop sched settings symbols typed vm_make vm_record
boot.hard		:=

boot.asm		:= headers start
arch/x86/cpu.asm	:= ap_trampoline trap_entries
arch/x86/vmx.asm	:= enter

paths = $(foreach f,$(FLOORS),$(addprefix $(f)/,$($(f).$(1))))
PURE := $(call paths,pure)
HARD := $(call paths,hard)
ASM  := $(call paths,asm)

# What runs once, for a person, or when something is wrong: compiled for size.
SMALL := $(filter acpi/% loader/%,$(PURE)) \
	 lib/symbol_table devices/aml devices/guest_acpi emulate/task \
	 migrate/link_fault \
	 $(addprefix arch/x86/cpu/,cpu descriptors paging smp) \
	 $(addprefix arch/x86/vmx/,capability exit_task guest_cpu mitigation) \
	 $(addprefix drivers/,pci rtc) \
	 $(addprefix core/,backtrace crash machine main memory monitor nmi \
	 panic settings symbols)

# --- The image ------------------------------------------------------------

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wconversion -Wundef -Wvla \
	    -Wstrict-prototypes -Wmissing-prototypes -Wimplicit-fallthrough \
	    -Wswitch-enum -Wnull-dereference -Wwrite-strings -Wcast-qual \
	    -Wpointer-arith -Wold-style-definition -Wdate-time \
	    -Wlogical-op -Wduplicated-cond -Wduplicated-branches
CLANG_WARNINGS := $(filter-out -Wlogical-op -Wduplicated-%,$(WARNINGS))

CPPFLAGS := -I. -I$(B)
# Another one shows tests that hang on how long a path is (docs/TESTING.md).
OPTIMIZE ?= -O2
CFLAGS := -std=gnu11 $(OPTIMIZE) -g -ffreestanding -fno-pic -fno-pie \
	  -mno-red-zone -mgeneral-regs-only -fno-stack-protector \
	  -fno-omit-frame-pointer -fno-asynchronous-unwind-tables \
	  -fno-strict-aliasing -fcf-protection=none -fno-common \
	  -ffile-prefix-map='$(CURDIR)'=. -Wframe-larger-than=1024 $(WARNINGS)
LDFLAGS := -nostdlib -static -z noexecstack -z max-page-size=4096 \
	   --build-id=none --no-warn-rwx-segments

IMAGE_OBJECTS := $(addprefix $(B)/image/,$(addsuffix .o,$(PURE) $(HARD) $(ASM)))

$(SMALL:%=$(B)/image/%.o): CFLAGS += -Os

$(B)/image/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(B)/image/%.o: %.asm Makefile
	@mkdir -p $(@D)
	$(call say,NASM)$(NASM) -f elf64 -w+all -w+error -I. -I$(B)/ -MD $(@:.o=.d) -MP $< -o $@

# Linked twice: first without function names, then with the table of those of
# the first link. The table lies behind all code, so that nothing that it
# lists moves. umbra.elf64 is for gdb; umbra.elf is what loaders start (QEMU's
# -kernel takes 32-bit ELF files only). -n: loaders copy segments, so that they
# need not begin at a page of the file.
IMAGE_LINK = $(LD) $(LDFLAGS) -n -T linker.ld $(IMAGE_OBJECTS)

$(B)/no-symbols.asm: tools/symbols.py
	@mkdir -p $(@D)
	@$(PYTHON) tools/symbols.py $(NM) - $@
$(B)/symbols.asm: $(B)/umbra-first.elf64 tools/symbols.py
	@$(PYTHON) tools/symbols.py $(NM) $< $@
$(B)/symbols.o $(B)/no-symbols.o: %.o: %.asm
	@$(NASM) -f elf64 $< -o $@
$(B)/umbra-first.elf64: $(IMAGE_OBJECTS) $(B)/no-symbols.o linker.ld
	@$(IMAGE_LINK) $(B)/no-symbols.o -o $@
$(B)/umbra.elf64: $(IMAGE_OBJECTS) $(B)/symbols.o linker.ld
	$(call say,LD)$(IMAGE_LINK) $(B)/symbols.o -o $@
$(B)/umbra.elf: $(B)/umbra.elf64
	@$(OBJCOPY) --strip-all -O elf32-i386 $< $@

# --- Guests ---------------------------------------------------------------
# guests/NAME.c with the runtime in guests/lib/ is build/guests/NAME.elf, a
# 64-bit multiboot kernel; NAME.elf32 is the same bytes for loaders that take
# only 32-bit ELF files (QEMU's -kernel).

GUESTS := $(patsubst guests/%.c,%,$(wildcard guests/*.c))
GUEST_LIB := $(addprefix guests/lib/,start vectors main apic bench boot \
	       console result smp time trap) lib/fmt lib/string
GUEST_LIB_OBJECTS := $(addprefix $(B)/guestobj/,$(addsuffix .o,$(GUEST_LIB)))

$(B)/guests/lib/layout.inc: guests/lib/layout.h
	@mkdir -p $(@D)
	@sed -n 's/^#define \([A-Z0-9_]* .*\)/%define \1/p' $< > $@
$(B)/guestobj/%.o: %.asm $(B)/guests/lib/layout.inc Makefile
	@mkdir -p $(@D)
	$(call say,NASM)$(NASM) -f elf64 -w+all -w+error -I. -I$(B)/ -MD $(@:.o=.d) -MP $< -o $@
$(B)/guestobj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@
$(B)/guests/%.elf: $(B)/guestobj/guests/%.o $(GUEST_LIB_OBJECTS) \
		   guests/lib/guest.ld
	@mkdir -p $(@D)
	$(call say,LD)$(LD) $(LDFLAGS) -T guests/lib/guest.ld $(filter %.o,$^) -o $@
# Assembly of a guest's own is guests/NAME32.asm or guests/NAME64.asm.
GUEST_ASM := $(wildcard guests/*32.asm guests/*64.asm)
$(foreach a,$(GUEST_ASM),$(eval $(B)/$(patsubst %32.asm,%.elf,$(patsubst \
	%64.asm,%.elf,$(a))): $(B)/guestobj/$(a:.asm=.o)))
# Guests that are hypervisors, l1*, have VMX besides; some are many files.
GUEST_VMX := $(addprefix guests/lib/,ept12 evmcs l2 l2_enter pages user user_enter vmx)
$(B)/guests/l1vmx.elf: \
	$(patsubst %.c,$(B)/guestobj/%.o,$(wildcard guests/vmx/*.c))
$(B)/guests/l1diff.elf: \
	$(patsubst %.c,$(B)/guestobj/%.o,$(wildcard guests/diff/*.c))
$(patsubst %,$(B)/guests/%.elf,$(filter l1%,$(GUESTS))): \
	$(addprefix $(B)/guestobj/,$(addsuffix .o,$(GUEST_VMX)))
$(B)/guests/%.elf32: $(B)/guests/%.elf
	@$(OBJCOPY) -O elf32-i386 $< $@

# Programs for Linux as a guest, without a library: guests/linux/NAME.asm is
# build/guests/linux/NAME.
LINUX_PROGRAMS := $(patsubst guests/linux/%.asm,$(B)/guests/linux/%, \
		    $(wildcard guests/linux/*.asm))
$(LINUX_PROGRAMS): $(B)/guests/linux/%: $(B)/guestobj/guests/linux/%.o
	@mkdir -p $(@D)
	$(call say,LD)$(LD) $(LDFLAGS) $< -o $@

guests: $(foreach g,$(GUESTS),$(B)/guests/$(g).elf $(B)/guests/$(g).elf32) \
	$(LINUX_PROGRAMS)

# --- Host builds of the pure floors ---------------------------------------
# One archive per sanitizer set; every tests/unit/test_*.c becomes a program
# of its own that links it and tests/unit/host_seams.c. A test that wants
# threads under TSan is named tests/unit/tsan_*.c; one that wants every order of
# steps that a seed can find (tests/unit/weave.h) tests/unit/weave_*.c.

HOST_CFLAGS := -std=gnu11 -O1 -g -I. -I$(B) -fno-omit-frame-pointer \
	       -fno-strict-aliasing $(WARNINGS)
SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=all
# A spinning thread of a test machine may be waiting for one that has no core.
SAN_tsan := -fsanitize=thread -include sched.h \
	    '-D__builtin_ia32_pause()=sched_yield()'
SAN_weave := $(SAN_asan) -include tests/unit/weave.h
HOST_PURE := $(filter-out lib/string,$(PURE))
# What threads share lies below; a floor more here is what a new test may want.
THREADED := $(addsuffix /%,lib mm arch/x86/ept pml shadow devices)
ARCHIVED_asan := $(HOST_PURE)
ARCHIVED_tsan := $(filter $(THREADED),$(HOST_PURE))
ARCHIVED_weave := $(ARCHIVED_tsan)

define host_rules
$(B)/$(1)/%.o: %.c Makefile
	@mkdir -p $$(@D)
	$$(call say,HOSTCC)$$(HOSTCC) $$(HOST_CFLAGS) $$(SAN_$(1)) -MMD -MP -c $$< -o $$@
$(B)/$(1)/libumbra.a: $(addprefix $(B)/$(1)/,$(addsuffix .o,$(ARCHIVED_$(1))))
	@rm -f $$@
	@ar rcsD $$@ $$^
endef
$(foreach s,asan tsan weave,$(eval $(call host_rules,$(s))))

UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
TSAN_TESTS := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/tsan_*.c))
WEAVE_TESTS := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/weave_*.c))

OBJECTS_FIRST = $(filter %.o,$^) $(filter %.a,$^)

$(B)/unit/test_%: $(B)/asan/tests/unit/test_%.o \
		  $(B)/asan/tests/unit/host_seams.o $(B)/asan/libumbra.a
	@mkdir -p $(@D)
	$(call say,LINK)$(HOSTCC) $(SAN_asan) $(OBJECTS_FIRST) -lcmocka $(ORACLE) -o $@
$(B)/unit/tsan_%: $(B)/tsan/tests/unit/tsan_%.o \
		  $(B)/tsan/tests/unit/host_seams.o $(B)/tsan/libumbra.a
	@mkdir -p $(@D)
	$(call say,LINK)$(HOSTCC) $(SAN_tsan) $^ -lcmocka -lpthread -o $@
$(B)/unit/weave_%: $(B)/weave/tests/unit/weave_%.o \
		   $(B)/weave/tests/unit/weave.o \
		   $(B)/weave/tests/unit/host_seams.o $(B)/weave/libumbra.a
	@mkdir -p $(@D)
	$(call say,LINK)$(HOSTCC) $(SAN_asan) $^ -lcmocka -o $@

# --- Fuzzers --------------------------------------------------------------
# tests/fuzz/fuzz_X.c, with seeds in tests/fuzz/corpus/X/ if it exists.

FUZZ_CFLAGS := -std=gnu11 -O1 -g -I. -I$(B) -fno-omit-frame-pointer \
	       -fno-strict-aliasing $(CLANG_WARNINGS) \
	       -fsanitize=fuzzer-no-link,address,undefined \
	       -fno-sanitize-recover=all
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

$(B)/fuzzobj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CLANG)$(CLANG) $(FUZZ_CFLAGS) -MMD -MP -c $< -o $@
# A checksum of every byte would be most of a fuzzer's time, and its branches say
# nothing about the input.
$(B)/fuzzobj/lib/crc32c.o: FUZZ_CFLAGS += -fno-sanitize=fuzzer-no-link
$(B)/fuzzobj/libumbra.a: $(addprefix $(B)/fuzzobj/,$(addsuffix .o,$(HOST_PURE)))
	@rm -f $@
	@ar rcsD $@ $^
$(B)/fuzz/fuzz_%: $(B)/fuzzobj/tests/fuzz/fuzz_%.o \
		  $(B)/fuzzobj/tests/unit/host_seams.o $(B)/fuzzobj/libumbra.a
	@mkdir -p $(@D)
	$(call say,LINK)$(CLANG) -fsanitize=fuzzer,address,undefined $(OBJECTS_FIRST) \
		$(ORACLE) -o $@

# The instruction decoder is compared with Zydis.
$(B)/unit/test_decode: $(B)/asan/tests/unit/zydis_oracle.o
$(B)/fuzz/fuzz_decode: $(B)/fuzzobj/tests/unit/zydis_oracle.o
$(B)/unit/test_decode $(B)/fuzz/fuzz_decode: ORACLE := -lZydis
# LZ4 is compared with the library of its authors.
$(B)/unit/test_lz4: ORACLE := -llz4

# --- What the front end needs ----------------------------------------------
# The option ROM of the fast boot, and the kernel that stands in for Umbra
# where the front end itself is tested.

NASM_STRICT := -w+all -w+error
STUB_CFLAGS := -m32 -std=gnu11 -O2 -ffreestanding -fno-pic -fno-pie \
	       -mgeneral-regs-only -fno-stack-protector \
	       -fno-asynchronous-unwind-tables -Wall -Wextra -Werror
STUB_LDFLAGS := -nostdlib -static -m elf_i386 -n -Ttext=0x100000 \
		--build-id=none -z noexecstack --no-warn-rwx-segments

$(B)/optrom.bin: tools/optrom.asm
	@mkdir -p $(@D)
	$(call say,NASM)$(NASM) -f bin $(NASM_STRICT) -o $@ $<

$(B)/stub.elf: tests/machine/stub.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(STUB_CFLAGS) -c -o $(@:.elf=.o) $<
	$(call say,LD)$(LD) $(STUB_LDFLAGS) -o $@ $(@:.elf=.o)

# Programs for the initial RAM disk of a Linux that is a guest.
LINUX_PROGRAMS := $(B)/linux/kvm_small

$(B)/linux/%: tests/machine/%.c
	@mkdir -p $(@D)
	$(call say,HOSTCC)$(HOSTCC) -std=gnu11 -O2 -static -Wall -Wextra -Werror -o $@ $<

linux-programs: $(LINUX_PROGRAMS)

# The CD shows the first guest. `./umbra iso` makes others.
$(B)/umbra.iso: $(B)/umbra.elf $(B)/guests/hello.elf iso/grub.cfg \
		umbra $(wildcard tools/umbra/*.py)
	@$(PYTHON) umbra iso -o $@ --guest $(B)/guests/hello.elf --mem 64M

.PHONY: iso
iso: $(B)/umbra.iso

all: $(B)/optrom.bin $(B)/stub.elf

.SECONDARY:

# --- Commands -------------------------------------------------------------

.PHONY: linux-programs all guests unit fuzzers setup check test mutants demo fuzz clean
all: $(B)/umbra.elf $(B)/umbra.iso guests

unit: $(UNIT_TESTS) $(TSAN_TESTS) $(WEAVE_TESTS)
fuzzers: $(FUZZERS)

setup:
	@tools/setup.sh

check: $(B)/umbra.elf
	@$(PYTHON) tools/check.py

# Small mistakes in the C code, each of which a test must notice.
mutants: unit
	@$(PYTHON) tests/mutants/run.py

test:
	@$(PYTHON) tools/testsuite.py

# Each fuzzer in turn, with what earlier long runs have found as seeds.
FUZZ_SECONDS ?= 600
fuzz:
	@$(PYTHON) tools/testsuite.py --only fuzz --fuzz-seconds $(FUZZ_SECONDS)

demo: all
	@./umbra demo

clean:
	rm -rf $(B)

# For the tools: the words of a variable (tools/tree.py).
print-%:
	@:$(info $($*))

# What is missing on this machine is installed before anything is built: a
# matter of milliseconds when all is there. SETUP=no goes without.
SETUP ?= yes
GOALS := $(or $(MAKECMDGOALS),all)
ifeq ($(SETUP)$(findstring n,$(firstword -$(MAKEFLAGS))),yes)
ifneq ($(filter-out clean setup print-%,$(GOALS)),)
SETUP_GROUP := $(if $(filter-out all $(B)/%,$(GOALS)),all,build)
ifneq ($(shell tools/setup.sh $(SETUP_GROUP) >&2; echo $$?),0)
$(error set-up failed, see above)
endif
endif
endif

-include $(shell find $(B) -path $(B)/debian -prune -o \
	-name '*.d' -type f -print 2>/dev/null)
