# SPDX-License-Identifier: MIT
"""Random lives of domains: created, paused, crashed, destroyed in the middle of whatever they do.

SOAK_LIVES=10000 SOAK_SEED=7 in the environment make it the long run of docs/testing.md.
"""
import os
import re

from machine import guest, ramdisk
from test_dom0 import DOM0

LIVES = int(os.environ.get("SOAK_LIVES", "300"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
CPUS = int(os.environ.get("SOAK_CPUS", "1"))
REPORT = (r"soak \d+: (\d+) lives(.*): (\d+) powered off, (\d+) rebooted, "
          r"(\d+) suspended, (\d+) crashed, "
          r"(\d+) destroyed; (\d+) hung, (\d+) stuck, (\d+) panicked; (\d+) events between peers; "
          r"free before: (\d+), after: (\d+) pages")


def test_soak(boot):
    """No frame lost, none counted wrongly, no event lost, and every way to end was taken."""
    lives = (f"{name}{vcpus}.cfg:kernel=life.elf;memory=2;vcpus={vcpus}"
             for vcpus in range(1, 5) for name in "ab")
    hostile = (f"{name}.cfg:kernel=hostile.elf;memory=6;cmdline=ops=100000 audit=100000000"
               for name in ("h1", "h2"))
    disk = ramdisk("soak", guest("life"), guest("hostile"), guest("toy"), *lives, *hostile,
                   "witness.cfg:kernel=toy.elf;memory=4;autostart=yes")
    limit = 120 + LIVES
    m = boot([guest("dom0"), disk], limit=limit + 60, extra=["-smp", str(CPUS)])
    m.expect(r"witness: domain \d+")
    m.expect(DOM0)
    m.sendline(f"soak {SEED} {LIVES}")
    m.expect(REPORT, limit)
    report = re.match(REPORT, m.after).groups()
    assert (int(report[0]), report[1]) == (LIVES, "")
    endings, (hung, stuck, panicked) = map(int, report[2:7]), report[7:10]
    assert all(endings), m.after
    assert (hung, stuck, panicked) == ("0", "0", "0"), m.after
    assert int(report[10]) > LIVES
    assert report[11] == report[12], "memory is lost"
    audits = re.findall(r"Audit of the frame table: (\d+) differences", m.transcript)
    assert len(audits) > LIVES // 100 and not any(map(int, audits))
    m.expect(DOM0)
    m.command("console witness", "Ctrl-] leaves")
    m.sendline()
    m.expect("toy> ")
