# SPDX-License-Identifier: MIT
#
# What `make gdb` gives the debugger. QEMU is started by gdb itself, stopped before its first
# instruction; the serial console goes to build/serial.txt (watch it with tail -f).
#
# The hypervisor runs where it is linked only after paging is on: until then use hbreak, not break.
# Guests share the debugger with the hypervisor: a breakpoint in a guest stops whatever domain
# executes that linear address. The commands are in ringlet.py: `help ringlet` lists them.

# gdb asks again after two seconds, and does not understand a QEMU that then answers twice.
set remotetimeout 30
set architecture i386
set confirm off
set pagination off
set print pretty on
set disassembly-flavor att

source tools/gdb/ringlet.py
