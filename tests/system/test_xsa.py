# SPDX-License-Identifier: MIT
"""The guests that retell security advisories (tests/guests/xsa), as ordinary domains.

test_guests.py runs each as the initial domain. Here each is a domain beside a ticker, one after the
other under one hypervisor: what one of them leaves behind would meet the next.
"""
import os

import pytest

from dom0 import DOM0
from machine import guest, guest_sources, ramdisk
from test_containment import ticks

# xsa-45 measures time, which only means something where it is counted and nobody else runs; xsa-149 and
# xsa-217 are control domains.
GUESTS = [name for name in guest_sources("xsa-*")
          if name not in ("xsa-45", "xsa-149", "xsa-217")] + ["hostile-view"]
# Short: a command with its Enter fits the serial port's FIFO, which Bochs fills at once.
DEADLY = ["cs0", "cs-null", "cs-null3", "cs-far", "cs-data", "ss0", "ss-null", "ss-ring1", "vm",
          "eip", "esp", "esp-end"]
# These look at segment limits, or at frames and flags as a processor treats them.
BOCHS = ["xsa-67", "xsa-7", "xsa-204", "xsa-213", "xsa-265", "xsa-339", "xsa-444"]
TWO_VCPUS = ["xsa-202", "xsa-287", "xsa-296", "xsa-340"]
THIRD = -(-len(GUESTS) // 3)  # the control domain takes 16 configurations


def start(boot, name, guests, configs, emulator):
    """A control domain with a ticker, and these guests to create."""
    disk = ramdisk(f"xsa-{name}-{emulator}", *(guest(g) for g in ["ticker", *guests]),
                   "ticker.cfg:kernel=ticker.elf;memory=8;autostart=yes", *configs)
    m = boot([guest("dom0"), disk], emulator=emulator)
    m.expect(r"ticker: domain \d+")
    m.expect(DOM0)
    return m


@pytest.mark.parametrize("name,guests,emulator", [
    ("first", GUESTS[:THIRD], "qemu"), ("second", GUESTS[THIRD:2 * THIRD], "qemu"),
    ("rest", GUESTS[2 * THIRD:], "qemu"), ("few", BOCHS, "bochs")])
def test_attacks_by_a_domain(boot, ended_guest, name, guests, emulator):
    """Each attack fails, whoever makes it, and the ticker goes on."""
    m = start(boot, name, guests,
              [f"{g}.cfg:kernel={g}.elf;memory=16;vcpus={2 if g in TWO_VCPUS else 1}"
               for g in guests], emulator)
    before = ticks(m)
    # Twice: the second life gets memory that the first had filled.
    for each in [*guests, *({"xsa-100"} & {*guests})]:
        m.sendline(f"create {each}")
        m.expect(rf"{each}: domain \d+ powered off")
        text, _ = ended_guest(m, each)
        assert "no audit" not in text or "TEST_KERNEL" in os.environ, "nothing was audited"
    assert ticks(m) > before, "the ticker stood still"
    m.sendline("shutdown")
    m.wait_end()


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_deadly_frames(boot, emulator):
    """A frame a guest may die of, returned to: it dies alone, or the frame was put right."""
    m = start(boot, "deadly", ["xsa-7"],
              [f"{word}.cfg:kernel=xsa-7.elf;memory=8;cmdline={word}" for word in DEADLY], emulator)
    before = ticks(m)
    for word in DEADLY:
        m.sendline(f"create {word}")
        m.expect(rf"{word}: domain \d+ (crashed|powered off)")
        m.sendline()
        m.expect(DOM0)
    assert ticks(m) > before, "the ticker stood still"
    m.sendline("shutdown")
    m.wait_end()


def test_death_in_the_middle(boot):
    """A domain that ends while its page tables are half checked is torn down, again and again."""
    m = start(boot, "middle", ["xsa-299"],
              ["die.cfg:kernel=xsa-299.elf;memory=16;cmdline=die"], "qemu")
    before = ticks(m)
    for _ in range(20):
        m.sendline("create die")
        m.expect(r"die: domain \d+ powered off")
        m.sendline()
        m.expect(DOM0)
    assert ticks(m) > before, "the ticker stood still"
    m.sendline("shutdown")
    m.wait_end()
