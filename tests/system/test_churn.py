# SPDX-License-Identifier: MIT
"""Domains come and go, and leave nothing behind: no frame lost, none counted wrongly.

CHURN_ROUNDS=1000 in the environment makes it the long run of docs/testing.md.
"""
import os
import re

from dom0 import DOM0
from machine import guest, ramdisk

SWITCH = "\x01" * 6  # Ctrl-A three times; run-qemu's terminal sends one for two typed
REPORT = r"fly: (\d+) rounds(.*); free before: (\d+), after: (\d+) pages"
ROUNDS = int(os.environ.get("CHURN_ROUNDS", "50"))


def test_churn(boot):
    """Build, run and destroy a domain many times, beside one that stays."""
    disk = ramdisk("churn", guest("toy"), "fly.cfg:kernel=toy.elf;memory=16",
                   "witness.cfg:kernel=toy.elf;memory=16;autostart=yes")
    m = boot([guest("dom0"), disk], limit=120 + ROUNDS)
    m.expect(r"witness: domain \d+")
    m.expect(DOM0)
    m.sendline(f"churn fly {ROUNDS}")
    m.expect(REPORT, 60 + ROUNDS)
    rounds, error, before, after = re.match(REPORT, m.after).groups()
    assert (int(rounds), error) == (ROUNDS, "")
    assert before == after
    m.expect(re.escape(DOM0))
    m.send(SWITCH)
    m.expect("Console input goes to")
    m.send("a")
    m.expect(r"Audit of the frame table: \d+ differences")
    assert ": 0 differences" in m.after
    m.send(SWITCH)
    m.expect("Console input goes to")
    m.sendline()
    m.expect(DOM0)
    m.sendline("shutdown")
    m.wait_end()
