# SPDX-License-Identifier: MIT
#
# How a guest is built: one folder of .c and .S files, linked with pv-guest/lib and newlib, becomes
# build/guests/NAME.elf (with its symbols for the debuggers in build/guests/NAME.sym).
#
# The top Makefile includes this file; it also works alone, from the top of the tree:
#
#     make -f pv-guest/guest.mk build/guests/toy.elf
#
# The folders are pv-guest/toy, pv-guest/dom0, every tests/guests/GROUP/NAME, and every
# tests/guests/NAME that somebody adds beside the groups. A guest that needs more has a guest.mk in
# its folder that sets GUEST_CFLAGS_NAME, GUEST_SOURCES_NAME (files elsewhere
# in the tree) or GUEST_ARCHIVES_NAME (libraries).
#
# Next: pv-guest/lib/newlib.sh, pv-guest/lib/guest.ld.

# make V=1 prints whole commands; otherwise one short line a step. (So does the top Makefile.)
Q := $(if $(V),,@)

all-guests:
.PHONY: all-guests

include xen/unpack/decoders.mk

GUEST_OUT := build/guests
GUEST_LIB := pv-guest/lib
GUEST_CROSS := build/cross/bin/i686-elf-

GUEST_DIRS := $(patsubst %/,%,$(dir $(wildcard pv-guest/toy/main.c pv-guest/dom0/main.c \
	tests/guests/*/main.c tests/guests/*/*/main.c)))
GUESTS := $(notdir $(GUEST_DIRS))
ifneq ($(words $(GUESTS)),$(words $(sort $(GUESTS))))
$(error two guests have the same name, and would be one build/guests/NAME.elf: \
	$(foreach name,$(sort $(GUESTS)),$(if $(word 2,$(filter $(name),$(GUESTS))),$(filter %/$(name),$(GUEST_DIRS)))))
endif
-include $(wildcard $(addsuffix /guest.mk,$(GUEST_DIRS)))

# The interface version must be set for every file: see hypercall.h.
GUEST_CPPFLAGS := -isystem build/newlib/include -isystem $(GUEST_OUT)/include \
	-I$(GUEST_LIB)/include -I$(GUEST_OUT)/lib \
	-D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__
# A frame of more than a page touches each of its pages in turn, and so none jumps over the guard page.
GUEST_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes \
	-fno-omit-frame-pointer -fno-strict-aliasing -fstack-clash-protection
GUEST_LDFLAGS := -nostdlib -static -Wl,-T,$(GUEST_LIB)/guest.ld -Wl,--gc-sections \
	-Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack -Lbuild/newlib/lib
GUEST_COMPILE = $(GUEST_CROSS)gcc $(GUEST_CPPFLAGS) $(GUEST_CFLAGS) -MMD -MP

# --- the compiler's wrappers, newlib, the public headers ---------------------------------------

build/newlib/key: $(GUEST_LIB)/newlib.sh $(wildcard /usr/src/newlib/newlib-*.tar.*)
	@echo '  NEWLIB'
	$Q$< build
	@touch $@

$(GUEST_OUT)/include/xen:
	@mkdir -p $(@D)
	$Qln -sfn /usr/include/xen $@

GUEST_READY := build/newlib/key $(GUEST_OUT)/include/xen $(GUEST_OUT)/lib/offsets.h

# --- the library: start.S is compiled once for each guest, since it holds the guest's name ------

GUEST_LIB_SOURCES := $(filter-out %/start.S %/offsets.c,$(wildcard $(GUEST_LIB)/*.c $(GUEST_LIB)/*.S))
GUEST_LIB_OBJECTS := $(patsubst $(GUEST_LIB)/%,$(GUEST_OUT)/lib/%.o,$(GUEST_LIB_SOURCES))

# Structure offsets for assembly: the compiler computes them, sed turns its output into #defines.
$(GUEST_OUT)/lib/offsets.h: $(GUEST_LIB)/offsets.c $(wildcard $(GUEST_LIB)/include/pv/*.h) \
		| build/newlib/key $(GUEST_OUT)/include/xen
	@mkdir -p $(@D)
	$Q$(GUEST_CROSS)gcc $(GUEST_CPPFLAGS) $(GUEST_CFLAGS) -S -o - $< | \
		sed -n 's/^.*->\([A-Z_0-9]*\) \$$*\([-0-9]*\).*/#define \1 \2/p' >$@.new
	@mv $@.new $@

$(GUEST_OUT)/lib/%.o: $(GUEST_LIB)/% pv-guest/guest.mk | $(GUEST_READY)
	@mkdir -p $(@D)
	@echo '  CC   $<'
	$Q$(GUEST_COMPILE) -c -o $@ $<

$(GUEST_OUT)/lib/libpv.a: $(GUEST_LIB_OBJECTS)
	@rm -f $@
	@echo '  AR   $@'
	$Qar rcs $@ $^

# --- a guest: $(1) its name, $(2) its folder ------------------------------------------------------

define GUEST_RULES
$(GUEST_OUT)/$(1)/start.o: $(GUEST_LIB)/start.S pv-guest/guest.mk | $(GUEST_READY)
	@mkdir -p $$(@D)
	@echo '  CC   $$< ($(1))'
	$Q$$(GUEST_COMPILE) -DGUEST_NAME='"$(1)"' -c -o $$@ $$<

$(GUEST_OUT)/$(1)/%.o: % pv-guest/guest.mk | $(GUEST_READY)
	@mkdir -p $$(@D)
	@echo '  CC   $$< ($(1))'
	$Q$$(GUEST_COMPILE) -I$(2) $(GUEST_CFLAGS_$(1)) -c -o $$@ $$<

$(GUEST_OUT)/$(1).elf: $(GUEST_OUT)/$(1)/start.o $$(patsubst %,$(GUEST_OUT)/$(1)/%.o,\
		$$(wildcard $(2)/*.c $(2)/*.S) $(GUEST_SOURCES_$(1))) \
		$(GUEST_ARCHIVES_$(1)) $(GUEST_OUT)/lib/libpv.a $(GUEST_LIB)/guest.ld build/newlib/key
	@echo '  LD   $$@'
	$Q$(GUEST_CROSS)gcc $(GUEST_LDFLAGS) -o $$@ $$(filter %.o,$$^) \
		-Wl,--start-group $$(filter %.a,$$^) -lc -lgcc -Wl,--end-group
	$Qnm -n $$@ | sed -n 's/^\([0-9a-f]*\) [a-zA-Z] /0x\1 /p' >$(GUEST_OUT)/$(1).sym

all-guests: $(GUEST_OUT)/$(1).elf
endef

$(foreach dir,$(GUEST_DIRS),$(eval $(call GUEST_RULES,$(notdir $(dir)),$(dir))))
-include $(shell find $(GUEST_OUT) -name '*.d' 2>/dev/null)
