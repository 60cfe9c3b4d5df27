# SPDX-License-Identifier: MIT
#
# Mini-Linux (docs/mini-linux.md): the kernel comes from pv-guest/linux/build, which keeps a cache of its
# own; the programs, busybox and the scripts of initramfs/ make its initramfs.

MINI := $B/mini-linux
MINI_DIR := pv-guest/linux
MINI_SCRIPTS := $(sort $(wildcard $(MINI_DIR)/initramfs/*))
MINI_PROGRAMS := bench check fill rings segments tiny
MINI_BINARIES := $(MINI_PROGRAMS:%=$(MINI)/bin/%)

# Programs as anybody's: glibc, linked statically. Their calls go by the C library, int $0x80.
MINI_CFLAGS := -m32 -march=i686 -O2 -std=gnu11 -D_GNU_SOURCE -static -pthread -Wall -Wextra -Werror

$(MINI)/bin/%: $(MINI_DIR)/programs/%.c $(MINI_DIR)/programs/sha256.h
	@mkdir -p $(@D)
	@echo '  CC   $<'
	$Qgcc $(MINI_CFLAGS) -o $@ $< -lm

$(MINI)/bin/tiny: $(MINI_DIR)/programs/tiny.S
	@mkdir -p $(@D)
	$Qgcc -m32 -nostdlib -static -o $@ $<

$(MINI)/bin/busybox: | tools/deb-file
	@echo '  GET  $@'
	$Qtools/deb-file busybox-static:i386 bin/busybox $@

$(MINI)/initramfs.cpio.gz: $(MINI_BINARIES) $(MINI)/bin/busybox $(MINI_SCRIPTS)
	@echo '  PACK $@'
	$Qrm -rf $(MINI)/root && mkdir -p $(addprefix $(MINI)/root/,bin dev proc sys tmp)
	$Qcp $(MINI_BINARIES) $(MINI)/bin/busybox $(MINI_SCRIPTS) $(MINI)/root/bin
	$Qstrip $(MINI_BINARIES:$(MINI)/%=$(MINI)/root/%)
	$Qmv $(MINI)/root/bin/init $(MINI)/root/init
	$Qln -s busybox $(MINI)/root/bin/sh && ln -s poweroff $(MINI)/root/bin/reboot && ln -s bin $(MINI)/root/sbin
	$Qcd $(MINI)/root && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet | gzip -9n >../initramfs.cpio.gz.new
	$Qmv $@.new $@

# Only the script knows whether the kernel at hand is the right one; it is quick when it is.
mini-linux: $(MINI)/initramfs.cpio.gz ## Linux 6.1 from Debian's source with pv-guest/linux's patches: build/mini-linux
	@tools/install-deps mini-linux
	$Q$(MINI_DIR)/build $(MINI)

.PHONY: mini-linux
