# SPDX-License-Identifier: MIT
"""The commands of tools/gdb, in gdb on a QEMU that is stopped at points between the rings.

Each test is one run of `gdb -batch`, which starts QEMU itself, and reads what the commands print.
"""
import re

from debuggers import gdb, has, talk  # noqa: F401 (gdb is a fixture)
from machine import BUILD

COMMANDS = ["domains", "vcpu", "ring", "gdt", "idt", "pagewalk", "frame mfn", "mfn", "evtchn",
            "trapframe", "frames", "guest-symbols"]


def test_help(gdb):
    """`help ringlet` lists every command, and each has a help text."""
    out = gdb(["help ringlet"] + [f"help {name}" for name in COMMANDS], attach=False)
    for name in COMMANDS:
        assert re.search(rf"^(?:  .*\b)?{name}\b", out, re.MULTILINE), name
    assert "not documented" not in out


def test_before_paging(gdb):
    """At the processor's reset nothing of the hypervisor exists, and the commands say so."""
    out = gdb(["ring", "python\nfor name in ('domains', 'vcpu', 'gdt', 'idt', 'evtchn', "
               "'trapframe', 'pagewalk 0', 'mfn 0'):\n  try:\n    gdb.execute(name)\n"
               "  except gdb.error as e:\n    print(name, 'SAYS', e)\nend"])
    assert len(re.findall(r"SAYS The hypervisor has not set up", out)) == 7, out
    has(out, r"pagewalk 0 SAYS Paging is off")


def test_first_hypercall(gdb):
    """In ring 0, on the first instruction behind the hypercall gate."""
    out = gdb(["hbreak hypercall_entry", "continue", "ring", "domains", "vcpu", "gdt",
               "gdt 0xe019", "idt", "idt 0x0d", "evtchn", "trapframe"],
              [f"{BUILD}/guests/toy.elf"])
    has(out, r"^ring 0: e008:\w+ <hypercall_entry>",
        r"cs +e008 +index 7169, GDT, RPL 0: DPL 0, code.* limit ffffffff",
        r"ds +e021 +index 7172, GDT, RPL 1: DPL 1, data.* limit f67fffff",
        r"^ +\* +0 +alive +16384 .* d0v0 running",
        r"^d0v0: running", r"cs:eip e019:\w+ <hypercall_page.*\(ring 1\)", r"upcall_mask 1",
        r"^  e018 +index 7171 +DPL 1, code, readable, base 00000000, limit f67fffff",
        r"^  e028 .*DPL 3, code", r"^  e040 .*DPL 0, TSS, busy",
        r"^e019 = 1110000000011 0 01  index 7171, TI 0 \(GDT\), RPL 1",
        r"^  03  #BP +DPL 3", r"^  08  #DF .*task gate to e048",
        r"^  82  hypercall +DPL 1, interrupt gate to e008:\w+ <hypercall_entry>",
        r"^  0d  #GP +DPL 0, interrupt gate to e008",
        r"2-level ABI", r"the guest's registers", r"ss:esp e021:")


def test_pagewalk(gdb):
    """The three levels, whose frames they are, and where the walk ends."""
    out = gdb(["hbreak hypercall_entry", "continue", "pagewalk 0xc0000000", "pagewalk 0xfbc00000",
               "pagewalk 0xf5800000", "pagewalk 0", "python mfn = current()['l3_frame']",
               "python gdb.execute(f'frame mfn {int(mfn):#x}')", "mfn 0xffffff"],
              [f"{BUILD}/guests/toy.elf"])
    has(out, r"^c0000000: L3 slot 3, L2 slot 0, L1 slot 0",
        r"L3\[3\] = \w+  P; owner domain slot 0, .*type L2 x 1.*top",
        r"L2\[0\] = \w+  P RW .*type L1 x 1", r"L1\[0\] = \w+  P RW .*type writable",
        r"machine address 0x\w+; the guest's part",
        r"L2\[478\] .*PSE", r"machine address 0x400000; .*beyond every guest segment's limit",
        r"L2\[428\] = \w+  P A PSE", r"read-only M2P, which guests may read",
        r"not mapped", r"^mfn 0x\w+: owner domain slot 0, .*type L3 x \d.*validated", r"M2P: pfn",
        r"beyond the frame table")


def test_guest_cli(gdb):
    """The toy's cli: in ring 1 with the guest's symbols, in do_trap, and at the bounce frame."""
    out = gdb(["hbreak hypercall_entry", "continue", "delete", "hbreak execute_cli", "continue",
               "ring", "vcpu", "idt guest 13", "hbreak do_trap if regs->entry_vector == 13",
               "python address = int(current()['traps'][13]['address'])", "continue", "ring",
               "trapframe", "python gdb.execute(f'hbreak *{address:#x}')", "continue", "ring",
               "trapframe", "guest-symbols"], [f"{BUILD}/guests/toy.elf cli"])
    has(out, r"^Breakpoint 2, execute_cli .* at pv-guest/toy/segments.c",
        r"^ring 1: e019:\w+ <execute_cli\+?\d*> .*IOPL 0.* IF", r"=> .*\bcli",
        r"in the guest now: ring 1", r"kernel stack e021:",
        r"event callback e019:\w+ <event_upcall>", r"0d  #GP +DPL 0 to e019",
        r"do_trap \(regs=0x\w+\)", r"^ring 0: e008", r"vector 0d #GP, error code 0000 \(no selec",
        r"cs:eip e019:\w+ <execute_cli\+?\d*>  \(ring 1\)",
        r"^ring 1: e019", r"^bounce frame at \w+, vector 0d #GP",
        r"00000000  error code", r"eip +<execute_cli\+?\d*>",
        r"cs +index 7171, GDT, RPL 1; upcall mask before it: 0",
        r"eflags +IOPL 0.* IF", r"^guest symbols: .*toy.elf")


def test_ring3(gdb):
    """The toy's program in ring 3: its page, its gate, and an exception that leaves it."""
    out = gdb(["hbreak *0x400000", "continue", "ring", "pagewalk 0x400000", "idt 0x80", "delete",
               "hbreak do_trap if regs->entry_vector == 14 && (regs->cs & 3) == 3", "continue",
               "trapframe"], [f"{BUILD}/guests/toy.elf user"])
    has(out, r"^ring 3: e02b:00400000", r"cs +e02b +index 7173, GDT, RPL 3: DPL 3, code",
        r"ss +e033 +index 7174", r"L1\[0\] = \w+  P RW US",
        r"80  system call +DPL 3, trap gate to e019:\w+ <syscall_stub>",
        r"error code 0005 \(protection, read, ring 3\)", r"cs:eip e02b:\w+ .*\(ring 3\)",
        r"ss:esp e033:")


def test_two_domains(gdb):
    """The control domain and one it built; symbols follow the domain that runs."""
    out = gdb(["hbreak hypercall_entry", "continue", "guest-symbols", "delete",
               "hbreak vcpu_switched_in if v->domain->id == 2", "continue", "delete",
               "hbreak iret_to_guest", "continue", "vcpu", "guest-symbols",
               "domains", "evtchn", "evtchn 0", "vcpu 0"],
              [f"{BUILD}/guests/dom0.elf", f"{BUILD}/dom0.cpio"])
    has(out, r"guest symbols: .*dom0.elf", r"^d2v0: running", r"guest symbols: .*toy.elf",
        r"^   +0 +alive", r"^ +\* +2 +alive",
        r"event channels of domain 2", r"domain 0 port \d+",
        r"event channels of domain 0", r"virq \d+", r"domain 2 port \d+|domain 1 port \d+",
        r"^d0v0: (ready|blocked)", r"saved in struct vcpu")


def test_two_processors(gdb):
    """gdb's threads are processors: each has its ring, its vcpu, its descriptors and its stack."""
    out = gdb(["hbreak do_sched_op thread 2", "continue", "ring", "vcpu", "trapframe", "domains",
               "gdt 0xe040", "python print('one', cpu_number(), int(this_cpu()['tss'].address))",
               "thread 1", "gdt 0xe040",
               "python print('other', cpu_number(), int(this_cpu()['tss'].address))", "vcpu",
               "vcpu 0 0", "vcpu 0 1"],
              [f"{BUILD}/guests/toy.elf primes primes"], options="-smp 2")
    has(out, r"^ring 0: e008:\w+ <do_sched_op>", r"^d0v1: running", r"the guest's registers",
        r"cs:eip e019:\w+ <hypercall_page.*\(ring 1\)", r"^one 1 \d+", r"^other 0 \d+",
        r"^d0v0: ", r"^d0v0: ", r"^d0v1: running")
    bases = re.findall(r"DPL 0, TSS, busy, base (\w+)", out)
    assert len(bases) == 2 and bases[0] != bases[1], out
    for number, where in re.findall(r"^(?:one|other) (\d) (\d+)$", out, re.MULTILINE):
        assert int(bases[1 - int(number)], 16) == int(where), out


def test_above_4_gib(gdb):
    """Memory that no 32-bit address reaches: its frames are in the table, its words are read."""
    out = gdb(["hbreak hypercall_entry", "continue", "frame mfn 0x140000",
               "python print(f'read {physical_entry(0x140000000):x}')",
               "python print(f'magic {physical_entry(0x400000) & 0xffffffff:x}')"],
              [f"{BUILD}/guests/toy.elf"], options="-m 8192 -cpu core2duo")
    has(out, r"^mfn 0x140000: owner \w+", r"^  M2P: none", r"^read \w+$", r"^magic 1badb002$")


def test_make_gdb():
    """The target itself: symbols are there before the machine runs; gdb's `frame` is gdb's."""
    out = talk("gdb", ["GUEST=toy", "WORDS=cli halt"], "(gdb) ",
               ["hbreak execute_cli", "continue", "ring", "frame 0", "domains", "kill", "quit"])
    has(out, r"breakpoint 1 at 0xc\w+: file pv-guest/toy/segments.c", r"Breakpoint 1, execute_cli",
        r"^ring 1: e019:\w+ <execute_cli\+?\d*>", r"^#0  execute_cli", r"^ +\* +0 +alive .*none")


def test_fifo_events(gdb):
    """Event words of the FIFO ABI, read in the page that the guest gave."""
    out = gdb(["hbreak fifo_set_pending", "continue", "evtchn 0", "finish", "evtchn 0"],
              [f"{BUILD}/guests/events.elf"])
    has(out, r"FIFO ABI", r"^ +3  ipi .*pending 0, mask 0, linked 0", r"in evtchn_se\w+",
        r"^ +3  ipi .*pending 1, mask 0, linked 1")
