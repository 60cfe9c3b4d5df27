# SPDX-License-Identifier: MIT
#
# Builds Ringlet, its guests and its boot images, and runs them. `make help` lists the targets.
#
# The hypervisor is every .c and .S file in $(HV_DIRS), compiled freestanding and linked by
# arch/i386/ringlet.lds.S. Guests and host tests have makefiles of their own, included below:
# pv-guest/guest.mk, pv-guest/dom0/dom0.mk, tests/host/host.mk. All output goes to build/.

# DEBUG=1 keeps assertions and lock checks (the default); DEBUG=0 is the release build.
DEBUG ?= 1
# make run GUEST=toy boots another guest as the initial domain.
GUEST ?= dom0
# make gdb GUEST=toy WORDS='cli halt' puts words on the guest's command line; the toy runs them.
WORDS ?=
# make run SMP=4 has four processors, and so the initial domain has four vcpus; so do linux, gdb, bochs and trace.
SMP ?= 1
# Words for the hypervisor's command line, as Xen has them.
XENARGS ?= console=com1 dom0_mem=64M

B := build
HV_DIRS := arch/i386 xen hypercall mm traps evtchn
# A file directly in a room is core; a folder in a room is a module (include/ringlet/module.h).
CORE_C := $(filter-out arch/i386/asm-offsets.c,$(foreach d,$(HV_DIRS),$(sort $(wildcard $d/*.c))))
CORE_S := $(filter-out %.lds.S,$(foreach d,$(HV_DIRS),$(sort $(wildcard $d/*.S))))
MODULE_C := $(foreach d,$(HV_DIRS),$(sort $(wildcard $d/*/*.c)))
MODULE_S := $(foreach d,$(HV_DIRS),$(sort $(wildcard $d/*/*.S)))
CORE_OBJ := $(CORE_C:%.c=$B/obj/%.c.o) $(CORE_S:%.S=$B/obj/%.S.o)
MODULE_OBJ := $(MODULE_C:%.c=$B/obj/%.c.o) $(MODULE_S:%.S=$B/obj/%.S.o)
HV_OBJ := $(CORE_OBJ) $(MODULE_OBJ)
HV_H := $(sort $(wildcard include/ringlet/*.h $(addsuffix /*/*.h,$(HV_DIRS))))
OFFSETS := $B/include/ringlet/asm-offsets.h

HV_CC := gcc
HV_CPPFLAGS := -Iinclude -I$B/include -D__XEN_TOOLS__ $(if $(filter 0,$(DEBUG)),-DNDEBUG,-DDEBUG=1)
# -mregparm=3 passes arguments in eax, edx, ecx; functions called from assembly say asmlinkage.
# The hypervisor never touches the FPU, whose registers belong to whichever guest ran last.
HV_ARCH := -m32 -march=i686 -mtune=generic -ffreestanding -fno-pic -fno-pie -fno-stack-protector \
           -fcf-protection=none -mno-sse -mno-mmx -mno-80387 -mregparm=3
HV_WARN := -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wundef \
           -Wwrite-strings
HV_CFLAGS := -std=gnu11 -O2 -falign-functions=16 -falign-loops=1 -falign-jumps=1 -falign-labels=1 -g $(HV_ARCH) $(HV_WARN) -fno-common -fno-strict-aliasing \
             -fno-asynchronous-unwind-tables
HV_ASFLAGS := -g $(HV_ARCH) -D__ASSEMBLY__
# Without libgcc, which is not built with -mregparm=3: see xen/divide.c.
HV_LDFLAGS := -m32 -nostdlib -static -no-pie -Wl,--build-id=none -Wl,--nmagic \
              -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments


# What the targets for people build, they build on all processors, unless make was told how many.
JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

# make V=1 prints whole commands; otherwise one short line a step.
Q := $(if $(V),,@)

MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

# --- the hypervisor ------------------------------------------------------------------------------

include xen/unpack/decoders.mk

# A stamp that changes when the flags do, so that DEBUG=0 after DEBUG=1 rebuilds everything.
FLAGS_NOW := $(HV_CC) $(HV_CPPFLAGS) $(HV_CFLAGS) $(HV_ASFLAGS)
$(shell mkdir -p $B/obj; echo '$(FLAGS_NOW)' | cmp -s - $B/obj/flags || \
        echo '$(FLAGS_NOW)' >$B/obj/flags)

$B/obj/%.c.o: %.c $B/obj/flags | $(OFFSETS)
	@mkdir -p $(@D)
	@echo '  CC   $<'
	$Q$(HV_CC) $(HV_CPPFLAGS) $(HV_CFLAGS) -MMD -MP -c -o $@ $<

$B/obj/%.S.o: %.S $B/obj/flags | $(OFFSETS)
	@mkdir -p $(@D)
	@echo '  AS   $<'
	$Q$(HV_CC) $(HV_CPPFLAGS) $(HV_ASFLAGS) -MMD -MP -c -o $@ $<

$B/obj/xen/unpack/unpack.c.o: HV_CPPFLAGS += $(UNPACK_CPPFLAGS)
$B/obj/xen/unpack/unpack.c.o: | $(UNPACK_SOURCE)/key

# Structure offsets for assembly: asm-offsets.c emits lines `.ascii "->NAME value"`, which become
# #defines. The header is rewritten only when a value changed.
$B/obj/asm-offsets.s: arch/i386/asm-offsets.c $B/obj/flags
	@mkdir -p $(@D)
	$Q$(HV_CC) $(HV_CPPFLAGS) $(HV_CFLAGS) -MMD -MP -MT $@ -MF $B/obj/asm-offsets.d -S -o $@ $<

$(OFFSETS): $B/obj/asm-offsets.s
	@mkdir -p $(@D)
	@{ echo '/* Generated from arch/i386/asm-offsets.c; do not edit. */'; \
	   sed -n 's/^.*"->\([A-Za-z0-9_]*\) *\$$\{0,1\}\(-\{0,1\}[0-9][0-9a-fx]*\).*/#define \1 \2/p' \
	   $<; } >$@.new
	@if cmp -s $@.new $@; then rm $@.new; touch $@; else mv $@.new $@; fi

$B/ringlet.lds: arch/i386/ringlet.lds.S $B/obj/flags | $(OFFSETS)
	$Q$(HV_CC) $(HV_CPPFLAGS) -m32 -E -P -x c -D__ASSEMBLY__ -MMD -MP -MT $@ -MF $B/obj/ringlet.lds.d -o $@ $<

# The panic backtrace needs a symbol table inside the image. Link once with an empty one, make the
# table from that image, link again; the tables are the last read-only data, so text stays in
# place, and tools/symtab --check proves that it did.
HV_LINK = $(HV_CC) $(HV_LDFLAGS) -Wl,-T,$B/ringlet.lds -o $@ $(filter %.o,$^)

$B/obj/symtab-empty.S: tools/symtab
	@mkdir -p $(@D)
	$Qtools/symtab --empty >$@

$B/obj/symtab-empty.o $B/obj/ringlet-symtab.o $B/obj/ringlet-core-symtab.o: %.o: %.S
	$Q$(HV_CC) $(HV_ASFLAGS) -c -o $@ $<

# $(1): the image's name; $(2): its objects.
define HV_IMAGE
$B/obj/$(1)-pass1.elf: $(2) $B/obj/symtab-empty.o $B/ringlet.lds
	@echo '  LD   $$@'
	$Q$$(HV_LINK)

$B/obj/$(1)-symtab.S: $B/obj/$(1)-pass1.elf tools/symtab
	$Qtools/symtab $$< >$$@

$B/$(1).elf: $(2) $B/obj/$(1)-symtab.o $B/ringlet.lds
	@echo '  LD   $$@'
	$Q$$(HV_LINK)
	$Qtools/symtab --check $B/obj/$(1)-pass1.elf $$@
endef

$(eval $(call HV_IMAGE,ringlet,$(HV_OBJ) $(UNPACK)/decoders.o))
$(eval $(call HV_IMAGE,ringlet-core,$(CORE_OBJ)))

# For Bochs (ldsym) and for reading.
$B/ringlet.sym: $B/ringlet.elf
	$Qnm -n $< | sed -n 's/^\([0-9a-f]\{8,\}\) [^aU] \(.*\)/0x\1 \2/p' >$@

$B/ringlet.asm: $B/ringlet.elf
	$Qobjdump -S $< >$@

-include $(HV_OBJ:.o=.d) $B/obj/asm-offsets.d $B/obj/ringlet.lds.d

core: $B/ringlet-core.elf ## The hypervisor without its modules: build/ringlet-core.elf

hypervisor: $B/ringlet.elf $B/ringlet.sym $B/ringlet.asm ## The hypervisor alone: build/ringlet.elf, .sym, .asm

# --- guests and host tests -----------------------------------------------------------------------

-include pv-guest/guest.mk
-include pv-guest/dom0/dom0.mk
-include pv-guest/linux/linux.mk
-include tests/host/host.mk
host-tests: $B/pvgrub/grub-i386-xen.bin

# --- boot images and emulators -------------------------------------------------------------------

# A kernel nobody here wrote: GRUB as a Xen guest, as Debian builds it.
$B/pvgrub/grub-i386-xen.bin: | tools/deb-file
	@echo '  GET  $@'
	$Qtools/deb-file grub-xen-host usr/lib/grub-xen/grub-i386-xen.bin $@

guests: all-guests $B/dom0.cpio ## The guests (build/guests/NAME.elf) and the control domain's ramdisk

all: hypervisor core guests iso ## The hypervisor, the guests and the boot ISO (the default)

BOOT_FILES := $B/ringlet.elf $B/guests/dom0.elf $B/guests/toy.elf $B/dom0.cpio

$B/ringlet.iso: tools/mkiso $(BOOT_FILES)
	@echo '  ISO  $@'
	$Qtools/mkiso $@ $B/ringlet.elf \
	  --entry 'Ringlet: control domain' '$(XENARGS)' $B/guests/dom0.elf $B/dom0.cpio \
	  --entry 'Ringlet: toy as the initial domain' '$(XENARGS)' $B/guests/toy.elf

iso: $B/ringlet.iso ## build/ringlet.iso, for QEMU, Bochs and machines with a BIOS

# QEMU's multiboot loader takes modules as one comma-separated list.
MODULES := $B/guests/$(GUEST).elf$(if $(WORDS), $(WORDS))$(if $(filter dom0,$(GUEST)),$(shell printf ,)$B/dom0.cpio)
ifeq ($(GUEST),linux)
MODULES := $(MINI)/vmlinux console=hvc0$(if $(WORDS), $(WORDS)),$(MINI)/initramfs.cpio.gz
endif
QEMU_BOOT = -smp $(SMP) -kernel $B/ringlet.elf -append '$(XENARGS)' -initrd '$(MODULES)'

# What GUEST names: a folder in pv-guest/, in a group of tests/guests/ or directly in tests/guests/.
# `make run` takes linux as well.
GUEST_ELF = $(if $(filter linux,$(GUEST)),,$B/guests/$(GUEST).elf)
KNOWN_GUEST = @$(if $(wildcard $(addsuffix /$(GUEST)/main.c,pv-guest tests/guests tests/guests/*)),:, \
  echo 'GUEST=$(GUEST): there is no main.c in pv-guest/$(GUEST)/, tests/guests/$(GUEST)/' \
    'or tests/guests/*/$(GUEST)/'; exit 2)
DEBUG_FILES = $(sort $(filter-out $B/ringlet.elf,$(BOOT_FILES)) $(GUEST_ELF))

# The packages come first: the makefiles included above may need them to be read at all.
run: ## Install what is missing, build, boot QEMU into the control domain (GUEST=toy, GUEST=linux, SMP=4)
	$(if $(filter linux,$(GUEST)),,$(KNOWN_GUEST))
	@tools/install-deps run
	@$(MAKE) $(JOBS) --no-print-directory hypervisor $(if $(filter linux,$(GUEST)),mini-linux,$(DEBUG_FILES))
	@echo 'Ctrl-A x ends QEMU.'
	$Qtools/run-qemu $(QEMU_BOOT)

# A person's own kernel as the initial domain (docs/linux.md). A comma in ARGS separates words, not
# modules, so QEMU wants it doubled.
comma := ,
linux: XENARGS = console=com1
linux: LINUX_MODULES = $(KERNEL) console=hvc0 $(subst $(comma),$(comma)$(comma),$(ARGS))
linux: ## Boot a Linux kernel: KERNEL=bzImage or vmlinux, INITRD=file, ARGS='words', DISK=raw image
	@[ -r '$(KERNEL)' ] || { echo 'make linux KERNEL=bzImage|vmlinux [INITRD=] [ARGS=] [DISK=]'; exit 2; }
	@tools/install-deps run
	@$(MAKE) $(JOBS) --no-print-directory hypervisor
	@echo 'Ctrl-A x ends QEMU.'
	$Qtools/run-qemu -smp $(SMP) -kernel $B/ringlet.elf -append '$(XENARGS)' \
	  -initrd '$(LINUX_MODULES)$(if $(INITRD),$(comma)$(INITRD))' \
	  $(if $(DISK),-drive 'file=$(DISK)$(comma)format=raw$(comma)if=ide')

bochs: ## Boot the ISO in Bochs, which checks segment limits; Ctrl-A x ends it
	@tools/install-deps bochs
	@$(MAKE) $(JOBS) --no-print-directory iso
	$Qtools/run-bochs --smp $(SMP) --log $B/bochs.log $B/ringlet.iso

bochs-debug: ## Bochs's debugger, stopped at the first change of ring (GUEST=toy; SCRIPT=cli)
	$(KNOWN_GUEST)
	@tools/install-deps bochs
	@$(MAKE) $(JOBS) --no-print-directory hypervisor $(DEBUG_FILES)
	$Qtools/bochs/rings --guest $(GUEST) --words '$(WORDS)' $(if $(SCRIPT),--script $(SCRIPT))

gdb: ## Boot QEMU stopped, with gdb attached and symbols loaded (GUEST=toy: its symbols too)
	$(KNOWN_GUEST)
	@tools/install-deps gdb
	@$(MAKE) $(JOBS) --no-print-directory hypervisor $(DEBUG_FILES)
	$Qgdb -q -x tools/gdb/ringlet.gdb $B/ringlet.elf -ex 'guest-symbols $(GUEST)' \
	  -ex "target remote | QEMU_SERIAL=file:$B/serial.txt tools/run-qemu -gdb stdio -S $(QEMU_BOOT)"

walk: ## The core told stop by stop, with the code (build/walk.md; a page: build/walk.html)
	@mkdir -p $B
	@tools/walk >$B/walk.md
	@tools/install-deps walk >&2 && tools/walk --html $B/walk.html || \
	  echo 'walk: no build/walk.html this time; the text is whole' >&2
	@if [ -t 1 ]; then $${PAGER:-less} $B/walk.md; else cat $B/walk.md; fi

trace: ## What crosses between the rings: build/trace.html, trace.json (GUEST=toy WORDS='fault halt')
	$(KNOWN_GUEST)
	@tools/install-deps run
	@$(MAKE) $(JOBS) --no-print-directory hypervisor $(DEBUG_FILES)
	$Qtools/trace --smp $(SMP) --guest $(GUEST) $(if $(WORDS),--words '$(WORDS)')

# --- tests and checks ----------------------------------------------------------------------------

test: ## Install what is missing and run every test; ends with "N passed, N failed"
	@tools/install-deps test
	@$(MAKE) $(JOBS) --no-print-directory all
	@$(MAKE) --no-print-directory mini-linux
	@tests/run

bench: ## Count instructions of each operation, beside those of real Xen
	@tools/install-deps run
	@$(MAKE) $(JOBS) --no-print-directory hypervisor $(addprefix $B/guests/,bench.elf dom0.elf life.elf)
	@tools/bench

bench-linux: ## Count what mini-Linux's operations cost natively and as a guest (DEBUG=0: release)
	@tools/install-deps run
	@$(MAKE) $(JOBS) --no-print-directory hypervisor mini-linux
	@tools/bench-linux

SOURCES = $(shell find $(HV_DIRS) include pv-guest tests -name '*.[ch]' | sort)

# Assembly that enters C; C calls the rest.
ENTRY_S = $(filter-out %/usercopy.S,$(CORE_S) $(MODULE_S))

lint: check-headers check-core ## Layout, static analysis, headers, length of functions, opening comments, the walk
	@bad=0; \
	clang-format --dry-run -Werror $(SOURCES) || bad=1; \
	tools/check-functions $(SOURCES) || bad=1; \
	tools/check-style || bad=1; \
	tools/check-entry $(ENTRY_S) || bad=1; \
	tools/walk --check || bad=1; \
	tools/cppcheck $B || bad=1; \
	tools/check-rooms || bad=1; \
	tools/size || bad=1; \
	[ $$bad -eq 0 ] && echo 'lint: $(words $(SOURCES)) files'

check-core: $(HV_OBJ) ## No core file names a symbol that only a module defines
	@tools/check-core $(CORE_OBJ) -- $(MODULE_OBJ)

GUEST_H = $(sort $(wildcard $(GUEST_LIB)/include/pv/*.h pv-guest/*/*.h tests/guests/*.h tests/guests/*/*.h \
	tests/guests/*/*/*.h))

check-headers: $(OFFSETS) $(GUEST_READY) ## Every header compiles alone
	@for header in $(HV_H); do \
	  $(HV_CC) $(HV_CPPFLAGS) $(HV_CFLAGS) -fsyntax-only -x c -include $$header /dev/null || \
	  { echo "check-headers: $$header does not compile alone"; exit 1; }; done
	@for header in $(GUEST_H); do \
	  $(GUEST_CROSS)gcc $(GUEST_CPPFLAGS) $(GUEST_CFLAGS) -Iinclude -fsyntax-only -x c \
	  -include $$header /dev/null || \
	  { echo "check-headers: $$header does not compile alone"; exit 1; }; done
	@echo 'check-headers: $(words $(HV_H) $(GUEST_H)) headers compile alone'

format: ## Lay out every source file as .clang-format says
	clang-format -i $(SOURCES)

clean: ## Remove build/
	rm -rf $B

help: ## This list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | \
	  awk -F '\t' '{ printf "  make %-14s %s\n", $$1, $$2 }'

.PHONY: all core hypervisor guests iso run linux bochs bochs-debug gdb walk trace test bench bench-linux lint check-headers check-core format clean help
