# SPDX-License-Identifier: MIT
"""tools/bochs/rings: Bochs's debugger as `make bochs-debug` starts it, and its scripts."""
import re
import signal
import time

import pexpect

from debuggers import has, rings, talk  # noqa: F401 (rings is a fixture)
from machine import LOGS, SCALE, TOP


def test_first_crossing(rings):
    """It stops at the self-test's way into ring 1; the next is the fault that brings it back."""
    out = rings("--guest", "toy", commands=["crossing", "help", "blist", "q"])
    has(out, r"^crossing 1: ring 0 -> ring 1, by IRET", r"now in ring 1 at selftest_ring1",
        r"cs  e019  index 7171, GDT, RPL 1: DPL 1, code.*limit f67fffff",
        r"^crossing 2: ring 1 -> ring 0, vector 0x0d #GP",
        r"gate 0d: DPL 0, interrupt gate to e008",
        r"stack: from the TSS, ss0:esp0 = e010:", r"00000000  error code no selector",
        r"pushed \w+  0000e019  cs", r"pushed \w+  0000e021  ss",
        r"now in ring 0 at selftest_faulted",
        r"crossing \[N\]", r"lbreakpoint", r"Bochs has ended")


def test_crossings_script(rings):
    """Hypercalls: in by the gate with DPL 1, back by IRET."""
    out = rings("--script", "crossings")
    has(out, r"ring 1 -> ring 0, vector 0x82 hypercall", r"gate 82: DPL 1, interrupt gate",
        r"eip +hypercall_page", r"now in ring 0 at hypercall_entry",
        r"ring 0 -> ring 1, by IRET", r"^  82: DPL 1", r"^  0d: DPL 0", r"^  80: DPL 3",
        r"entry into ring 0: ss0:esp0 = e010", r"entry into ring 1: ss1:esp1 = e021",
        r"entry into ring 2: .*none")
    assert len(re.findall(r"^crossing \d+: ", out, re.M)) == 11


def test_cli_script(rings):
    """The guest's cli: #GP into ring 0, and the bounce frame without ss:esp."""
    out = rings("--script", "cli")
    has(out, r"#GP", r"vector 0x0d #GP", r"eip +execute_cli", r"now in ring 0 at",
        r"ring 0 -> ring 1, by IRET", r"ringlet> pushed 13", r"error code no selector",
        r"eip +execute_cli", r"0000e019  cs", r"eflags +IOPL 0.* IF")
    assert not re.search(r"pushed .* ss ", out.partition("ringlet> pushed 13")[2])


def test_sysenter(rings):
    """SYSENTER pushes nothing and has no gate: it is told all the same."""
    out = rings("--guest", "sysenter", commands=["crossing vector 0x100", "crossing", "q"])
    has(out, r"ring 3 -> ring 0, by SYSENTER", r"no gate", r"now in ring 0 at sysenter",
        r"cs  e008 ", r"ring 0 -> ring 1, by IRET")


def test_syscall_script(rings):
    """int $0x80 goes from ring 3 to ring 1; a page fault of ring 3 enters ring 0 first."""
    out = rings("--script", "syscall")
    has(out, r"ring 1 -> ring 3, by IRET", r"cs  e02b  index 7173, GDT, RPL 3: DPL 3",
        r"^  80: DPL 3, trap gate to e019",
        r"ring 3 -> ring 1, vector 0x80 system call", r"from the TSS, ss1:esp1 = e021",
        r"0000e02b  cs", r"0000e033  ss", r"now in ring 1 at syscall_stub",
        r"ring 3 -> ring 0, vector 0x0e #PF", r"from the TSS, ss0:esp0 = e010",
        r"protection, read, ring 3", r"ring 0 -> ring 1", r"pushed 14", r"0000e033  ss")


def test_limit_script(rings):
    """Paging would let ring 1 at the hypervisor; the limit of ds does not."""
    out = rings("--script", "limit")
    has(out, r"vector 0x0d #GP", r"selftest_ring1", r"linear page 0x0*fb800000 maps to physical",
        r"^crossing 3: ring 0 -> ring 1", r"limit f67fffff")


def test_no_such_script(rings):
    """A name that is none lists those that are."""
    assert re.search(r"no script nonsense; there are: cli, crossings, limit, syscall",
                     rings("--script", "nonsense"))


def test_make_bochs_debug():
    """The target itself, with the control domain; `go` passes changes of ring."""
    out = talk("bochs-debug", [], "ringlet> ",
               ["crossing 2", 'lb "do_domctl"', "go", "rings", "crossing from 1", "q"])
    has(out, r"^crossing 1: ring 0 -> ring 1", r"^crossing 3: ring 0 -> ring 1",
        r"\(do_domctl\+0\)", r"cs  e008", r"^crossing \d+: ring 1 -> ring 0")


def heed_interrupts():
    """A shell's background jobs ignore Ctrl-C, and what they start does too unless told otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupt():
    """Ctrl-C stops a machine that runs, here the toy waiting at its prompt, and it goes on."""
    LOGS.mkdir(parents=True, exist_ok=True)
    child = pexpect.spawn("tools/bochs/rings", ["--serial", f"{LOGS}/test_interrupt.serial",
                                                "--log", f"{LOGS}/test_interrupt.bochs"],
                          cwd=str(TOP), timeout=60 * SCALE, encoding="latin-1",
                          preexec_fn=heed_interrupts)
    try:
        for _ in range(2):
            child.expect_exact("ringlet> ")
            child.sendline("go")
            time.sleep(3)
            child.sendintr()
            child.expect(r"Next at t=")
        child.expect_exact("ringlet> ")
        child.sendline("rings")
        child.expect(r"cs  e0\w\w  index")
        child.sendline("q")
        child.expect("Bochs has ended")
    finally:
        child.close(force=True)
