# SPDX-License-Identifier: MIT
"""Random states at every way into and out of the hypervisor (tests/guests/rings/trapstate).

Each life is a domain with a seed, beside a ticker. It may die of what it does; nobody else may
notice. TRAPSTATE_LIVES=10000 TRAPSTATE_SEED=7 in the environment make it the long run of
docs/testing.md.
"""
import os
import re

import pytest

from dom0 import DOM0
from test_containment import start, ticks

LIVES = int(os.environ.get("TRAPSTATE_LIVES", "0"))
SEED = int(os.environ.get("TRAPSTATE_SEED", "1"))
REPORT = (r"lives \d+: (\d+) lives(.*): (\d+) powered off, (\d+) crashed, (\d+) destroyed; "
          r"free before: (\d+), after: (\d+) pages")
ENDED = r"life (\d+) (powered off|crashed|destroyed|rebooted|hung|ended)"
RUNS = [("qemu", 1, 100), ("qemu", 4, 100), ("bochs", 1, 20)]
# What must have ended steps: exceptions 0, 1, 3 to 6, 10 to 14; HOME_VECTOR, int $0x80, event,
# failsafe, NMI, sysenter.
CAUSES = 0x7c7b | 0x3f << 32


def live(m, seed, lives):
    """The command, to its end: how many lives ended in which way. A life that begins and does not
    end is the one to run again: `lives SEED 1` at the prompt."""
    m.sendline(f"lives {seed} {lives}")
    m.expect(REPORT, 120 + 2 * lives)
    report = re.match(REPORT, m.after).groups()
    assert (int(report[0]), report[1]) == (lives, ""), m.after
    m.expect(DOM0)
    return list(map(int, report[2:]))


@pytest.mark.parametrize("emulator,cpus,lives", RUNS)
def test_trap_states(boot, emulator, cpus, lives):
    """Lives end alone; the ticker goes on; no memory is lost; the ways in were all used."""
    names = "abc" if cpus > 1 else "ab"
    words = ";cmdline=vm" if emulator == "bochs" else ""
    m = start(boot, f"trapstate-{cpus}", emulator, {"trapstate"},
              [f"{name}.cfg:kernel=trapstate.elf;memory=3{words}" for name in names],
              smp=cpus, limit=600 + 3 * LIVES)
    live(m, 1000000, 2 * len(names))  # the hypervisor keeps some of what it allocates on first use
    before = ticks(m)
    powered_off, crashed, _, free, after = live(m, SEED, LIVES or lives)
    assert free == after, "memory is lost"
    assert powered_off and crashed
    assert ticks(m) > before, "the ticker stood still"
    differences = re.findall(r"Audit of the frame table: (\d+) differences", m.transcript)
    assert differences and not any(map(int, differences))
    m.sendline("shutdown")
    m.wait_end()
