# SPDX-License-Identifier: MIT
"""Sixty-four domains of 32 MiB on a machine with 16 GiB."""
import re

from dom0 import DOM0, LEAVE
from machine import guest, ramdisk

COUNT = 64


def test_sixty_four_domains(boot):
    """All run at once, each with memory, console and time of its own; then all is back as it was.

    Twice, for the hypervisor keeps a page or two that it allocated when they were first so many.
    """
    names = [f"toy{i}" for i in range(COUNT)]
    disk = ramdisk("many", guest("toy"),
                   *(f"{name}.cfg:kernel=toy.elf;memory=32" for name in names))
    m = boot([guest("dom0"), disk], mem=16384, cpu="core2duo", limit=900)
    m.expect(DOM0)
    frames = []
    for first in (True, False):
        frames.append(re.search(r"(\d+) pages", m.command("free", DOM0)).group(1))
        for name in names:
            assert re.search(rf"{name}: domain \d+, 32 MiB", m.command(f"create {name}", DOM0, 60))
        listing = m.command("list", DOM0)
        up = re.findall(r"^ *\d+ +toy\d+ +32 +(?:blocked|ready|running)", listing, re.MULTILINE)
        assert len(up) == COUNT
        for name in [] if first else names:
            m.sendline(f"console {name}")
            m.expect(r"Ctrl-\] leaves")
            assert "tick 5" in m.command("tick", "toy> ", 60)
            m.send(LEAVE)
            m.expect(DOM0)
        for name in names:
            assert "destroyed" in m.command(f"destroy {name}", DOM0, 60)
    frames.append(re.search(r"(\d+) pages", m.command("free", DOM0)).group(1))
    assert frames[1] == frames[2]
    m.sendline("shutdown")
    m.wait_end()
