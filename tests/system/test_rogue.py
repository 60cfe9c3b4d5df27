# SPDX-License-Identifier: MIT
"""Guests that break the rules of the rings they share with the control domain."""
import re

import pytest

from dom0 import DOM0
from machine import guest, ramdisk

TOY = "toy> "

# What to break, and what the control domain says of it.
DEEDS = {
    "console": "has an impossible index in its console ring",
    "request": "has an impossible index in its request ring",
    "response": "has an impossible index in its response ring",
    "long": "sends a message too long",
}


def works(m):
    """The prompt answers and the toy's console is carried."""
    assert "toy" in m.command("list", DOM0)
    m.sendline("console toy")
    m.expect(r"Ctrl-\] leaves")
    m.sendline()
    m.expect(re.escape(TOY))
    m.send("\x1d")
    m.expect(r"left\]")
    m.expect(DOM0)


@pytest.fixture
def dom0(boot):
    """A control domain with the toy, and a rogue for each deed."""
    configs = [f"{deed}.cfg:kernel=rogue-rings.elf;memory=8;cmdline={deed}"
               for deed in (*DEEDS, "flood")]
    disk = ramdisk("rogue", guest("toy"), guest("rogue-rings"),
                   "toy.cfg:kernel=toy.elf;memory=16;autostart=yes", *configs)
    m = boot([guest("dom0"), disk])
    m.expect(r"toy: domain \d+")
    m.expect(DOM0)
    return m


def test_broken_rings(dom0):
    """Each rogue loses its connection, alone, and can be destroyed."""
    for deed, complaint in DEEDS.items():
        dom0.sendline(f"create {deed}")
        dom0.expect(f"{deed}: {complaint}; no longer served")
        dom0.sendline()
        dom0.expect(DOM0)
        works(dom0)
        assert "destroyed" in dom0.command(f"destroy {deed}", DOM0)
    works(dom0)


def test_flood(dom0):
    """A guest that sends without end takes its share of the processor, no more."""
    dom0.command("create flood", DOM0)
    for _ in range(3):
        works(dom0)
    assert "destroyed" in dom0.command("destroy flood", DOM0)
    works(dom0)
