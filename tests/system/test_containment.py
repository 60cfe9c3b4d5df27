# SPDX-License-Identifier: MIT
"""Hostile and crashing guests beside a quiet one, which must not notice.

A ticker prints a line every 100 ms as a domain of its own; whatever its neighbour does, its lines
go on coming, the neighbour dies alone, and the control domain can build it again.
"""
import re

import pytest

from dom0 import DOM0, LEAVE
from machine import guest, ramdisk


# Each crash: the guest's name here, its kernel, the word on its command line.
CRASHES = [
    ("nt-ud2", "crash-notraps", "ud2"),
    ("nt-page", "crash-notraps", "page"),
    ("nt-hlt", "crash-notraps", "privileged"),
    ("bs-none", "crash-badstack", "unmapped"),
    ("bs-hv", "crash-badstack", "hypervisor"),
    ("bs-m2p", "crash-badstack", "m2p"),
    ("bs-pt", "crash-badstack", "pagetable"),
    ("bs-wrap", "crash-badstack", "wrap"),
    ("bs-ring3", "crash-badstack", "ring3"),
    ("bs-deep", "crash-badstack", "recursion"),
    ("endless", "crash-endless", ""),
    ("failsafe", "failsafe", "loop"),
]

# What the hypervisor says of a dead domain, in this order: reason, registers, stack.
EPITAPH = [r"(?i)domain \d+ (?:\(vcpu#\d+\) )?crashed", r"(?i)[er]ip:? +(?:e0|0019)", r"(?i)guest stack"]


def start(boot, name, emulator, kernels, configs, **options):
    """A control domain with the ticker running and guests to create."""
    disk = ramdisk(f"{name}-{emulator}", *(guest(kernel) for kernel in {"ticker", *kernels}),
                   "ticker.cfg:kernel=ticker.elf;memory=8;autostart=yes", *configs)
    m = boot([guest("dom0"), disk], emulator=emulator, **options)
    m.expect(r"ticker: domain \d+")
    m.expect(DOM0)
    return m


def ticks(m):
    """The number of a line the ticker prints now.

    Its console shows what came since somebody last looked, so the second look sees fresh lines.
    """
    for _ in range(2):
        m.sendline("console ticker")
        m.expect(r"Ctrl-\] leaves")
        m.expect(r"ticker: \d+ at \d+ ms")
        number = int(re.search(r"ticker: (\d+)", m.after).group(1))
        m.send(LEAVE)
        m.expect(r"\[ticker: left\]")
        m.expect(DOM0)
    return number


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_crashes_are_contained(boot, emulator):
    """Every crash dies alone, with reason, registers and stack, twice over."""
    configs = [f"{name}.cfg:kernel={kernel}.elf;memory=8;cmdline={word}"
               for name, kernel, word in CRASHES]
    m = start(boot, "crashes", emulator, {kernel for _, kernel, _ in CRASHES}, configs)
    before = ticks(m)
    for name, _, _ in CRASHES * 2:
        m.sendline(f"create {name}")
        for pattern in EPITAPH:
            m.expect(pattern)
        m.expect(rf"{name}: domain \d+ crashed")
        m.sendline()
        m.expect(DOM0)
    after = ticks(m)
    assert after > before, f"the ticker stood still: {before}, then {after}"
    m.sendline("shutdown")
    m.wait_end()


def test_guard_page(boot):
    """A recursion with frames of more than a page ends in the guard page below the stack."""
    m = boot([guest("crash-badstack", "recursion")])
    m.expect(r"the guard page is at 0x(\w+)")
    guard = int(m.process.match.group(1), 16)
    m.expect(r"no room for a frame on the guest's stack at e021:(\w+)")
    assert guard - 256 <= int(m.process.match.group(1), 16) < guard + 4096
    m.expect(r"initial domain ended")
    m.wait_end()


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_forbidden_instructions(boot, ended_guest, emulator):
    """Rings 1 and 3 of an unprivileged domain try what they may not, and get the right faults."""
    m = start(boot, "forbidden", emulator, {"rings"}, ["rings.cfg:kernel=rings.elf;memory=16"])
    before = ticks(m)
    m.sendline("create rings")
    m.expect(r"rings: domain \d+ powered off")
    text, results = ended_guest(m, "rings")
    assert ("enforced here" in text) and (emulator == "qemu" or not results.skipped)
    after = ticks(m)
    assert after > before, f"the ticker stood still: {before}, then {after}"
    m.sendline("shutdown")
    m.wait_end()


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_endless_loop(boot, emulator):
    """A guest that faults for ever at one instruction gets its share, no more, until destroyed."""
    m = start(boot, "forever", emulator, {"crash-endless"},
              ["loop.cfg:kernel=crash-endless.elf;memory=8;cmdline=forever"])
    assert re.search(r"loop: domain \d+", m.command("create loop", DOM0))
    before = ticks(m)
    after = ticks(m)
    assert after > before, f"the ticker stood still: {before}, then {after}"
    assert "destroyed" in m.command("destroy loop", DOM0)
    m.sendline("shutdown")
    m.wait_end()
