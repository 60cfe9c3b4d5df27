# SPDX-License-Identifier: MIT
"""What the bits of selectors, descriptors, gates, flags and page-table entries say, as text.

The debugger commands for gdb (ringlet.py) and the front end of Bochs's debugger
(tools/bochs/rings) share it; it needs neither. Sections are those of the Intel SDM, volume 3.
"""

# Table 6-1: mnemonic, and whether the processor pushes an error code.
VECTORS = {0: "#DE", 1: "#DB", 2: "NMI", 3: "#BP", 4: "#OF", 5: "#BR", 6: "#UD", 7: "#NM",
           8: "#DF", 9: "FPU overrun", 10: "#TS", 11: "#NP", 12: "#SS",
           13: "#GP", 14: "#PF", 15: "reserved", 16: "#MF", 17: "#AC", 18: "#MC", 19: "#XM",
           0x80: "system call", 0x82: "hypercall", 0xf0: "local APIC timer"}
WITH_ERROR_CODE = {8, 10, 11, 12, 13, 14, 17}

# Table 3-2: system descriptors.
SYSTEM_TYPES = {1: "16-bit TSS", 2: "LDT", 3: "16-bit TSS, busy", 4: "16-bit call gate",
                5: "task gate", 6: "16-bit interrupt gate", 7: "16-bit trap gate", 9: "TSS",
                11: "TSS, busy", 12: "call gate", 14: "interrupt gate", 15: "trap gate"}


def vector_name(vector):
    """#GP, hypercall, IRQ 4, ..."""
    if vector in VECTORS:
        return VECTORS[vector]
    if 0xe0 <= vector < 0xf0:
        return f"IRQ {vector - 0xe0}"
    return f"vector {vector:#04x}"


def selector(value):
    """3.4.2: index, table, requested privilege."""
    value &= 0xffff
    if value < 4:
        return "null"
    table = "LDT" if value & 4 else "GDT"
    return f"index {value >> 3}, {table}, RPL {value & 3}"


class Descriptor:
    """Eight bytes of a GDT, LDT or IDT: 3.4.5 (segments), 3.5 (system), 6.11 (gates)."""

    def __init__(self, low, high):
        self.low, self.high = low & 0xffffffff, high & 0xffffffff
        self.present = bool(high & 1 << 15)
        self.dpl = high >> 13 & 3
        self.segment = bool(high & 1 << 12)
        self.type = high >> 8 & 15

    @property
    def is_gate(self):
        """Whether the fields are those of a gate."""
        return not self.segment and self.type in (4, 5, 6, 7, 12, 14, 15)

    @property
    def base(self):
        """Linear address of offset 0."""
        return self.low >> 16 | (self.high & 0xff) << 16 | self.high & 0xff000000

    @property
    def limit(self):
        """The last valid offset of an expand-up segment, in bytes."""
        limit = self.low & 0xffff | self.high & 0xf0000
        return limit << 12 | 0xfff if self.high & 1 << 23 else limit

    @property
    def target(self):
        """Where a gate leads: selector, offset."""
        return self.low >> 16, self.high & 0xffff0000 | self.low & 0xffff

    def _segment_kind(self):
        if self.type & 8:
            text = "code, " + ("readable" if self.type & 2 else "execute-only")
            return text + (", conforming" if self.type & 4 else "")
        text = "data, " + ("writable" if self.type & 2 else "read-only")
        return text + (", expand-down" if self.type & 4 else "")

    def __str__(self):
        if not self.low and not self.high:
            return "empty"
        if not self.present:
            return f"not present ({self.high:08x}:{self.low:08x})"
        if self.segment:
            return (f"DPL {self.dpl}, {self._segment_kind()}, base {self.base:08x}, "
                    f"limit {self.limit:08x}")
        kind = SYSTEM_TYPES.get(self.type, f"reserved type {self.type}")
        if self.is_gate:
            sel, offset = self.target
            return f"DPL {self.dpl}, {kind} to {sel:04x}:{offset:08x}"
        return f"DPL {self.dpl}, {kind}, base {self.base:08x}, limit {self.limit:08x}"


def eflags(value):
    """3.4.3 of volume 1: the flags that matter between rings."""
    names = [name for bit, name in ((0, "CF"), (6, "ZF"), (8, "TF"), (9, "IF"), (10, "DF"),
                                    (14, "NT"), (16, "RF"), (17, "VM"), (18, "AC"))
             if value >> bit & 1]
    return f"IOPL {value >> 12 & 3}" + "".join(f" {name}" for name in names)


def error_code(vector, value):
    """Figure 4-12 for page faults, figure 6-7 for segment faults."""
    value &= 0xffff
    if vector == 14:
        return ", ".join(("protection" if value & 1 else "not present",
                          "write" if value & 2 else "read",
                          "ring 3" if value & 4 else "rings 0-2")
                         + (("reserved bit",) if value & 8 else ())
                         + (("instruction fetch",) if value & 16 else ()))
    if not value:
        return "no selector: the instruction itself"
    if value & 2:
        return f"IDT entry {value >> 3:#04x}" + (", from outside" if value & 1 else "")
    return f"{'LDT' if value & 4 else 'GDT'} entry {value >> 3}, selector {value & ~7:04x}"


def pte(entry):
    """4.4.2: the flags of a PAE entry; the ABI's three free bits as AVAIL."""
    if not entry & 1:
        return "not present"
    flags = "".join(f" {name}" for bit, name in (
        (1, "RW"), (2, "US"), (3, "PWT"), (4, "PCD"), (5, "A"), (6, "D"), (7, "PSE/PAT"),
        (8, "G"), (63, "NX")) if entry >> bit & 1)
    avail = f" AVAIL={entry >> 9 & 7}" if entry >> 9 & 7 else ""
    return f"P{flags}{avail}"


def frame_fields(words, vector, cpl):
    """Names the words at the stack pointer of a handler, on its first instruction, at ring `cpl`.

    Figure 6-4: [error code] eip cs eflags, and esp ss behind them when the entry changed the ring,
    which the low bits of cs tell. Pairs of (name, value), lowest address first.
    """
    names = (["error code"] if vector in WITH_ERROR_CODE else []) + ["eip", "cs", "eflags"]
    pairs = list(zip(names, words))
    if words[names.index("cs")] & 3 > cpl:
        pairs += list(zip(["esp", "ss"], words[len(names):]))
    return pairs
