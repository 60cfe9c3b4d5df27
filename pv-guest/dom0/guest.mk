# SPDX-License-Identifier: MIT
#
# What the control domain needs beside its folder: the hypervisor's readers of kernel files, shared
# with it, and the libraries that these use.
GUEST_SOURCES_dom0 := xen/elfload.c xen/unpack/unpack.c
GUEST_ARCHIVES_dom0 := $(UNPACK)/guest.a
GUEST_CFLAGS_dom0 := -Iinclude $(UNPACK_CPPFLAGS)
build/guests/dom0/xen/unpack/unpack.c.o: | $(UNPACK_SOURCE)/key
