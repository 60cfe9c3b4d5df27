# SPDX-License-Identifier: MIT
#
# What the control domain needs beside its folder: the hypervisor's ELF reader, shared with it.
GUEST_SOURCES_dom0 := xen/elfload.c
GUEST_CFLAGS_dom0 := -Iinclude
