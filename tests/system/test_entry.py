# SPDX-License-Identifier: MIT
"""Ways into ring 0, as hostile domains use them beside a ticker: each dies alone, or nothing happens.

The guests tell their stories in their opening comments (tests/guests/rings/NAME/main.c).
"""
import pathlib
import re
import subprocess

import pytest

from dom0 import DOM0
from machine import guest, ramdisk
from test_containment import ticks

REPO = pathlib.Path(__file__).parents[2]
MACHINES = [("qemu", 1), ("qemu", 4), ("bochs", 1)]


def start(boot, emulator, cpus, kernels, configs):
    """A control domain with a ticker, and guests to create."""
    name = "-".join([*kernels, emulator, str(cpus)])
    disk = ramdisk(f"entry-{name}", *(guest(kernel) for kernel in {"ticker", *kernels}),
                   "ticker.cfg:kernel=ticker.elf;memory=8;autostart=yes", *configs)
    smp = {"smp": cpus} if emulator == "qemu" else {}
    m = boot([guest("dom0"), disk], emulator=emulator, **smp)
    m.expect(r"ticker: domain \d+")
    m.expect(DOM0)
    return m


def end(m, before):
    """The ticker has gone on since `before`, and the machine powers off."""
    after = ticks(m)
    assert after > before, f"the ticker stood still: {before}, then {after}"
    m.sendline("shutdown")
    m.wait_end()


def three_lives(m, name, ending):
    """The guest is created three times, and each time its domain ends in this way."""
    for _ in range(3):
        m.sendline(f"create {name}")
        m.expect(rf"{name}: domain \d+ {ending}")
        m.sendline()
        m.expect(DOM0)


@pytest.mark.parametrize("emulator,cpus", MACHINES)
def test_int80_direction_flag(boot, emulator, cpus):
    """int $0x80 with DF set, to a kernel that cannot be entered: the domain is ended, truly told."""
    words = ["ss", "ss nodf", "cs", "cs nodf"]
    m = start(boot, emulator, cpus, ["int80-direction-flag"],
              [f"df{n}.cfg:kernel=int80-direction-flag.elf;memory=8;cmdline={word}"
               for n, word in enumerate(words)])
    before = ticks(m)
    for n, word in enumerate(words):
        m.sendline(f"create df{n}")
        wanted = r"e019:\w+, ss 0029" if word.startswith("ss") else r"0029:\w+, ss e021"
        m.expect(rf"cannot return to the guest at {wanted}, ds e033, es e033")
        m.expect(rf"df{n}: domain \d+ crashed")
        m.sendline()
        m.expect(DOM0)
    end(m, before)


@pytest.mark.parametrize("emulator,cpus", MACHINES)
def test_crash_in_the_upcall(boot, emulator, cpus):
    """A domain whose upcall finds no stack is ended before its next instruction."""
    m = start(boot, emulator, cpus, ["crash-upcall"],
              ["cu.cfg:kernel=crash-upcall.elf;memory=8"])
    before = ticks(m)
    three_lives(m, "cu", "crashed")
    end(m, before)
    assert "runs on after its crash" not in m.transcript


# Of tests/guests/rings/entry-state: patterns of flags, ways in, ways from ring 3, faults not
# survived. A life for each way in survives; one asks for EFLAGS.VM; and each deadly case is one.
PATTERNS, WAYS, USER_WAYS, FAULTS = 8, 16, 10, 5
TOLD = r"lives 1: (\d+) lives(.*): (\d+) powered off, (\d+) crashed, (\d+) destroyed;"
# Entered by the iret hypercall alone: an event, iret's own faults, an NMI.
CASES = {way: PATTERNS * 2 * (1 if way in (7, 8, 9, 10, 16) else 2) for way in range(1, WAYS + 1)}


@pytest.mark.parametrize("emulator,cpus,patterns", [("qemu", 1, PATTERNS), ("qemu", 4, PATTERNS),
                                                    ("bochs", 1, 1)])
def test_entry_state(boot, emulator, cpus, patterns):
    """Every way in, every fault on the way out, every flag: handled, or the end of that domain."""
    m = start(boot, emulator, cpus, ["entry-state"],
              [f"{name}.cfg:kernel=entry-state.elf;memory=3" for name in "ab"])
    before = ticks(m)
    deadly = 1 + patterns * USER_WAYS * FAULTS
    m.sendline(f"lives 1 {WAYS + deadly}")
    m.expect(TOLD, 120 + 2 * (WAYS + deadly))
    assert "unexpected" not in m.transcript and "survived" not in m.transcript
    assert re.match(TOLD, m.after).groups() == (str(WAYS + deadly), "", str(WAYS), str(deadly), "0")
    done = re.findall(r"life (\d+): .* all cases end as they should: (\d+)", m.transcript)
    assert {int(life): int(cases) for life, cases in done} == CASES
    m.expect(DOM0)
    end(m, before)


@pytest.mark.parametrize("emulator,cpus", MACHINES)
def test_events_without_a_callback(boot, emulator, cpus):
    """A pending event that nothing can be told of does not keep the processor in ring 0."""
    m = start(boot, emulator, cpus, ["no-callback"],
              ["nc.cfg:kernel=no-callback.elf;memory=8"])
    before = ticks(m)
    three_lives(m, "nc", "powered off")
    end(m, before)


@pytest.mark.parametrize("old,new", [
    ("        CALL_C deliver_failsafe\n", "        call deliver_failsafe\n"),
    ("        CALL_C do_softirq\n", "1:      call do_softirq\n"),
    ("        CALL_C do_trap\n        addl $4, %esp\n", "        pushl $1f; jmp do_trap\n1:\n"),
    ("        CALL_C *%eax\n", "        call *%eax\n"),
    ("        CALL_C double_fault\n", "        jne double_fault\n"),
], ids=["call", "behind-label", "jmp", "indirect", "conditional-jump"])
def test_lint_finds_a_way_round_call_c(tmp_path, old, new):
    """tools/check-entry takes entry.S as it is, and names the line of a call that goes round CALL_C."""
    entry = (REPO / "arch/i386/entry.S").read_text(encoding="utf-8")
    spoilt = tmp_path / "entry.S"
    other = [REPO / "arch/i386/head.S"]

    def check(text):
        spoilt.write_text(text, encoding="utf-8")
        return subprocess.run([REPO / "tools/check-entry", spoilt, *other], text=True,
                              capture_output=True, check=False)

    assert old in entry
    well = check(entry)
    assert (well.returncode, well.stdout, well.stderr) == (0, "", "")
    number = entry[:entry.index(old)].count("\n") + 1
    found = check(entry.replace(old, new, 1))
    assert found.returncode == 1
    assert re.match(rf"{re.escape(str(spoilt))}:{number}: .*into C by CALL_C only", found.stdout)
    assert len(found.stdout.splitlines()) == 1 and not found.stderr
