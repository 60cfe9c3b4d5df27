# SPDX-License-Identifier: MIT
"""Random lives of domains: created, paused, crashed, destroyed in the middle of whatever they do.

Two minutes of it, on four processors. SOAK_LIVES=10000 SOAK_SEED=7 in the environment make it the
long run of docs/testing.md, and SOAK_CPUS says on how many processors.
"""
import os
import re
import time

from dom0 import DOM0
from machine import SCALE, guest, ramdisk

LIVES = int(os.environ.get("SOAK_LIVES", "0"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
CPUS = os.environ.get("SOAK_CPUS", "4")
SECONDS = 120 * SCALE
PIECE = 30  # lives between two looks at the clock
REPORT = (r"soak \d+: (\d+) lives(.*): (\d+) powered off, (\d+) rebooted, "
          r"(\d+) suspended, (\d+) crashed, "
          r"(\d+) destroyed; (\d+) hung, (\d+) stuck, (\d+) panicked; (\d+) events between peers; "
          r"free before: (\d+), after: (\d+) pages")


def soak(m, seed, lives):
    """One command; how often each ending was taken. Nothing may be left behind, nobody hang."""
    m.sendline(f"soak {seed} {lives}")
    m.expect(REPORT, 600 + 2 * lives)
    report = re.match(REPORT, m.after).groups()
    endings, wrong = list(map(int, report[2:7])), report[7:10]
    assert (int(report[0]), report[1]) == (lives, "")
    assert wrong == ("0", "0", "0"), m.after
    assert report[11] == report[12], "memory is lost: " + m.after
    m.expect(DOM0)
    return endings + [int(report[10])]


def test_soak(boot):
    """No frame lost, none counted wrongly, no event lost, and every way to end was taken."""
    lives = (f"{name}{vcpus}.cfg:kernel=life.elf;memory=2;vcpus={vcpus}"
             for vcpus in range(1, 5) for name in "ab")
    hostile = (f"{name}.cfg:kernel=hostile.elf;memory=6;cmdline=ops=100000 audit=100000000"
               for name in ("h1", "h2"))
    disk = ramdisk("soak", guest("life"), guest("hostile"), guest("toy"), *lives, *hostile,
                   "witness.cfg:kernel=toy.elf;memory=4;autostart=yes")
    m = boot([guest("dom0"), disk], limit=1200 + 2 * LIVES, smp=CPUS)
    m.expect(r"witness: domain \d+")
    m.expect(DOM0)
    if LIVES:
        total = soak(m, SEED, LIVES)
    else:
        total, seed, end = [0] * 6, SEED, time.monotonic() + SECONDS
        while time.monotonic() < end or not all(total):
            total = [a + b for a, b in zip(total, soak(m, seed, PIECE))]
            seed += 1
    assert all(total)
    audits = re.findall(r"Audit of the frame table: (\d+) differences", m.transcript)
    assert audits and not any(map(int, audits))
    m.sendline("console witness")
    m.expect(r"Ctrl-\] leaves")
    m.sendline()
    m.expect("toy> ")
