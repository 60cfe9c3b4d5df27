# SPDX-License-Identifier: MIT
"""The hostile guest (tests/guests/hostile/hostile), alone and beside a quiet domain.

Alone it is the initial domain, which may do more and so has more to abuse. Beside a ticker it is an
ordinary domain; the ticker must not notice, and the guest must reach its end. HOSTILE_OPS and HOSTILE_SEED set what a run does: a million by hand is

    HOSTILE_OPS=1000000 HOSTILE_SEED=7 tests/run system -k hostile
"""
import os
import re
import time

import pytest

from dom0 import DOM0
from machine import guest, ramdisk
from test_containment import ticks

OPS = int(os.environ.get("HOSTILE_OPS", "100000"))
SEED = int(os.environ.get("HOSTILE_SEED", "1"))
# 100000 operations take 5 s in QEMU on an idle machine. Several vcpus wait for each other, which takes long
# where the machine has less than a processor for each: they stop after so many seconds.
PATIENCE = 60 + OPS // 2000
SECONDS = 20 + OPS // 20000


@pytest.mark.parametrize("seed", [SEED, SEED + 1])
def test_hostile_initial_domain(boot, tap_run, seed):
    """Half of all operations by the rules, half against them, an audit every thousand."""
    m = boot([guest("hostile", f"seed={seed} ops={OPS}")], mem=256, limit=4 * PATIENCE)
    tap_run(m, PATIENCE)
    m.expect(r"initial domain powered off")
    m.wait_end()


def test_hostile_vcpus(boot, tap_run):
    """Four vcpus at once, on a processor each, on the same pages; audits while all are at it."""
    m = boot([guest("hostile", f"seed={SEED} ops={OPS} vcpus=4 seconds={SECONDS}")], mem=256, smp=4,
             limit=4 * PATIENCE)
    tap_run(m, PATIENCE)
    m.expect(r"initial domain powered off")
    m.wait_end()


@pytest.mark.parametrize("vcpus", [1, 4])
def test_hostile_neighbour(boot, ended_guest, vcpus):
    """The same as an ordinary domain, twice, beside one that goes on ticking."""
    configs = [f"h{n}.cfg:kernel=hostile.elf;memory=16;vcpus={vcpus};cmdline=seed={SEED + n} "
               f"ops={OPS // 2} neighbour=1 vcpus={vcpus} seconds={SECONDS}" for n in (1, 2)]
    m = boot([guest("dom0"), ramdisk(f"hostile-neighbour-{vcpus}", guest("ticker"), guest("hostile"),
                                     "ticker.cfg:kernel=ticker.elf;memory=8;autostart=yes",
                                     *configs)], smp=vcpus, limit=4 * PATIENCE)
    m.expect(r"ticker: domain \d+")
    m.expect(DOM0)
    before = ticks(m)
    for name in ("h1", "h2"):
        m.sendline(f"create {name}")
        m.expect(rf"{name}: domain \d+ powered off", PATIENCE)
        ended_guest(m, name)
        assert ticks(m) > before, "the ticker stood still"
    m.sendline("shutdown")
    m.wait_end()


def test_hostile_pair(boot, ended_guest):
    """Two domains of two vcpus each map, copy by and transfer to one another's grants, end and change
    them all at once; one is destroyed in the middle of it, and the other goes on to its end."""
    words = f"ops={10 * OPS} vcpus=2 pester=1"
    configs = [f"{name}{n}.cfg:kernel=hostile.elf;memory=8;vcpus=2;cmdline=seed={SEED + 2 * n + own} "
               f"{words} neighbour={2 * n + 2 - own} seconds={SECONDS // (2 - own)}"
               for n in range(3) for own, name in enumerate("ab")]
    m = boot([guest("dom0"), ramdisk("hostile-pair", guest("hostile"), *configs)], smp=4,
             limit=6 * PATIENCE)
    m.expect(DOM0)
    maps, free = 0, []
    for n in range(3):
        for own, name in enumerate("ab"):
            assert f"{name}{n}: domain {2 * n + 1 + own}," in m.command(f"create {name}{n}", DOM0, 60)
        time.sleep(SECONDS / 4)
        assert "destroyed" in m.command(f"destroy a{n}", DOM0, 120)
        ends = [rf"b{n}: domain \d+ crashed", rf"b{n}: domain \d+ powered off"]
        crashed = re.search(ends[0], m.transcript) or m.expect(ends, PATIENCE + SECONDS) == 0
        assert not crashed, m.command(f"console b{n}", "no longer runs", 20)
        text, _ = ended_guest(m, f"b{n}")
        maps += int(re.search(r"grant map +(\d+) of", text).group(1))
        free.append(re.search(r"(\d+) pages", m.command("free", DOM0)).group(1))
    assert free[1] == free[2] and maps > 0, (free, maps)
    m.sendline("shutdown")
    m.wait_end()


def test_untidy_deaths(boot):
    """Domains that die with frames given back in use: all their memory is free for the next one."""
    m = boot([guest("dom0"), ramdisk("hostile-teardown", guest("hostile-teardown"),
                                     "untidy.cfg:kernel=hostile-teardown.elf;memory=24")], mem=128)
    m.expect(DOM0)
    for _ in range(12):
        m.sendline("create untidy")
        m.expect(r"untidy: domain \d+ powered off")
        m.sendline()
        m.expect(DOM0)
    m.sendline("shutdown")
    m.wait_end()
