# SPDX-License-Identifier: MIT
#
# The control domain's ramdisk, build/dom0.cpio: the guests it can build and their configurations.
#
# Included by the top Makefile, which fetches PV-GRUB. An archive of other guests: pv-guest/dom0/pack.

DOM0_FILES := $(wildcard pv-guest/dom0/guests/*.cfg) build/guests/toy.elf \
	build/pvgrub/grub-i386-xen.bin

build/dom0.cpio: pv-guest/dom0/pack $(DOM0_FILES)
	pv-guest/dom0/pack $@ $(DOM0_FILES)
