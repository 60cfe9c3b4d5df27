# SPDX-License-Identifier: MIT
#
# What `make gdb` gives the debugger. QEMU is started by gdb itself, stopped before its first
# instruction; the serial console goes to build/serial.txt (watch it with tail -f).
#
# The hypervisor runs where it is linked only after paging is on: until then use hbreak, not break.
# Guests share the debugger with the hypervisor: `guest-symbols toy` adds a guest's symbols, and a
# breakpoint in a guest stops whatever domain executes that linear address.

set architecture i386
set confirm off
set pagination off
set print pretty on
set disassembly-flavor att

define guest-symbols
    add-symbol-file build/guests/$arg0.elf
end
document guest-symbols
guest-symbols NAME: add the symbols of build/guests/NAME.elf.
end

define ring
    printf "ring %d, cs %#x, eip %#x, esp %#x, eflags %#x\n", $cs & 3, $cs, $eip, $esp, $eflags
    x/i $pc
end
document ring
ring: the privilege level of the code that runs now, and its next instruction.
end

define frames
    x/24wa $esp
end
document frames
frames: the top of the stack as words with symbols: a trap frame, seen from a stub.
end
