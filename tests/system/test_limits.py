# SPDX-License-Identifier: MIT
"""What one domain may not take from the others: processor time by debugging aids, and what the hypervisor
has to give to all of them."""
import pytest

import machine
from dom0 import DOM0
from machine import guest, ramdisk

PLAIN = machine.CMDLINE.replace(" guest_audit", "")


def start(boot, name, guests, configs, **options):
    """A control domain with a ticker, and these guests to create."""
    disk = ramdisk(f"limits-{name}", *(guest(g) for g in ["ticker", *guests]),
                   "ticker.cfg:kernel=ticker.elf;memory=8;autostart=yes", *configs)
    m = boot([guest("dom0"), disk], **options)
    m.expect(r"ticker: domain \d+")
    m.expect(DOM0)
    return m


@pytest.mark.parametrize("words,cmdline", [("", PLAIN), ("allowed", machine.CMDLINE)],
                         ids=["refused", "allowed"])
def test_debug_facilities(boot, ended_guest, words, cmdline):
    """None of what is there for debugging answers a guest; the audit where the command line says so."""
    m = start(boot, f"debug-{words}", ["debug-refused"],
              [f"d.cfg:kernel=debug-refused.elf;memory=8;cmdline={words}"], cmdline=cmdline)
    m.sendline("create d")
    m.expect(r"d: domain \d+ powered off")
    ended_guest(m, "d")
    assert "Audit" not in m.transcript, "a guest typed a key to the hypervisor"
    m.sendline("shutdown")
    m.wait_end()
