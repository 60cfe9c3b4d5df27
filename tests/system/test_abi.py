# SPDX-License-Identifier: MIT
"""What the ABI answers, where it depends on who asks, or ends the machine."""
import pytest

from dom0 import DOM0
from machine import guest, ramdisk
from test_containment import ticks

# Guests whose expectations differ between the initial domain (test_guests.py) and others.
ORDINARY = ["out-args", "mmu-errors"]


def test_errors_for_an_ordinary_domain(boot, ended_guest):
    """Errors and what they leave in the arguments, for domains without privilege."""
    disk = ramdisk("abi", *(guest(g) for g in ["ticker", *ORDINARY]),
                   "ticker.cfg:kernel=ticker.elf;memory=8;autostart=yes",
                   *(f"{g}.cfg:kernel={g}.elf;memory=16" for g in ORDINARY))
    m = boot([guest("dom0"), disk])
    m.expect(r"ticker: domain \d+")
    m.expect(DOM0)
    before = ticks(m)
    for each in ORDINARY:
        m.sendline(f"create {each}")
        m.expect(rf"{each}: domain \d+ powered off")
        ended_guest(m, each)
    assert ticks(m) > before, "the ticker stood still"
    m.sendline("shutdown")
    m.wait_end()


@pytest.mark.parametrize("words,end", [
    ("crash", r"initial domain ended \(reason 3\): halting the machine"),
    ("crash down", r"initial domain ended \(reason 3\): halting the machine"),
    ("poweroff", r"initial domain powered off: powering off the machine")])
def test_shutdown_code_of_the_initial_domain(boot, words, end):
    """The reason recorded first is the one that counts, and `noreboot` is honoured."""
    m = boot([f"{guest('shutdown-code')} {words}"], cmdline="console=com1 noreboot")
    m.expect(r"shutdown_code 2: 0")
    m.expect(end)


def test_root_above_4_gib(boot, tap_run):
    """The ELF note's PAE "yes" allows a page-table root above 4 GiB; the first one lies low."""
    m = boot([guest("l3-above-4g")], mem=7000, cpu="core2duo",
             cmdline="console=com1 dom0_mem=5500M")
    tap_run(m)
    m.expect(r"initial domain powered off")
    m.wait_end()
