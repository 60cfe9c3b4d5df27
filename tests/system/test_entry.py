# SPDX-License-Identifier: MIT
"""Ways into ring 0, as hostile domains use them beside a ticker: each dies alone, or nothing happens.

The guests tell their stories in their opening comments (tests/guests/NAME/main.c).
"""
import pytest

from dom0 import DOM0
from machine import guest, ramdisk
from test_containment import ticks

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
    for _ in range(3):
        m.sendline("create cu")
        m.expect(r"cu: domain \d+ crashed")
        m.sendline()
        m.expect(DOM0)
    end(m, before)
    assert "runs on after its crash" not in m.transcript
