# SPDX-License-Identifier: MIT
"""A domain's life from the control domain's prompt: how it ends, pauses, is saved and goes on."""
import re

from dom0 import DOM0, leave, state
from machine import guest, ramdisk

ENDINGS = {"off": (0, "powered off"), "crash": (3, "crashed"), "hang": (4, r"hung \(watchdog\)"),
           "again": (1, "rebooted")}
WAIT_LIMIT = 50  # ms


def test_endings(boot):
    """Each reason to end reaches the control domain; a rebuild can be called off."""
    disk = ramdisk("endings", guest("life"),
                   *(f"{name}.cfg:kernel=life.elf;memory=4;cmdline=end={reason}"
                     for name, (reason, _) in ENDINGS.items()))
    m = boot([guest("dom0"), disk])
    m.expect(DOM0)
    for name, (_, words) in ENDINGS.items():
        m.command(f"create {name}", DOM0)
        m.expect(rf"{name}: domain \d+ {words}")
        if name == "again":
            m.expect("again: built again in 1 s")
            assert "not built again" in m.command("destroy again", DOM0)
        assert state(m, name) == "not running"
    m.sendline("shutdown")
    m.wait_end()


def longest_wait(m):
    """What `service` has printed last: the second look shows fresh lines only."""
    for _ in range(2):
        m.sendline("console service")
        m.expect(r"service: longest wait (\d+) ms")
        wait = int(m.process.match.group(1))
        leave(m)
    return wait


def test_building_holds_up_nobody(boot):
    """While a large guest is built, the control domain serves others; reboots' delays double.

    Time is counted in instructions.
    """
    disk = ramdisk("building", guest("life"), guest("service"),
                   "service.cfg:kernel=service.elf;memory=4;autostart=yes",
                   "large.cfg:kernel=life.elf;memory=400;cmdline=forever",
                   "again.cfg:kernel=life.elf;memory=4;cmdline=end=1")
    m = boot([guest("dom0"), disk], mem=768, icount="shift=0,sleep=off")
    m.expect(r"service: domain \d+")
    m.expect(DOM0)
    assert re.search(r"large: domain \d+", m.command("create large", DOM0))
    wait = longest_wait(m)
    assert wait <= WAIT_LIMIT, f"a guest waited {wait} ms for the control domain"
    m.sendline("create again")
    for seconds in (1, 2):
        m.expect(rf"again: built again in {seconds} s")
    m.sendline("destroy again")
    m.expect("again: it is not built again")
    m.sendline("shutdown")
    m.wait_end()


def test_all_vcpus_down(boot):
    """A domain all whose vcpus go down at once has powered off, whoever of them was the last."""
    disk = ramdisk("down", guest("life"), "d.cfg:kernel=life.elf;memory=4;vcpus=4;cmdline=down")
    m = boot([guest("dom0"), disk], smp=4)
    m.expect(DOM0)
    for _ in range(10):
        m.sendline("create d")
        m.expect(r"d: domain \d+ powered off")
        m.sendline()
        m.expect(DOM0)
    m.sendline("shutdown")
    m.wait_end()


def test_suspend(boot):
    """A guest that suspends itself waits; resumed, it is told that it was not saved."""
    disk = ramdisk("suspend", guest("life"), "s.cfg:kernel=life.elf;memory=4;cmdline=end=2")
    m = boot([guest("dom0"), disk])
    m.expect(DOM0)
    for _ in range(2):
        assert "not suspended" in m.command("resume s", DOM0)
        m.command("create s", DOM0)
        m.expect(r"s: domain \d+ suspended")
        assert state(m, "s") == "suspended"
        m.sendline("console s")
        m.expect("ends with reason 2")
        leave(m)
        assert "s: resumed" in m.command("resume s", DOM0)
        m.expect(r"s: domain \d+ powered off")
        m.sendline("console s")
        m.expect("goes on: 1")
        m.expect("no longer runs")
    m.command("create s", DOM0)
    m.expect(r"s: domain \d+ suspended")
    assert "destroyed" in m.command("destroy s", DOM0)
    assert state(m, "s") == "not running"
    m.sendline("shutdown")
    m.wait_end()


def test_pause_and_crash(boot):
    """A paused guest uses no time; one is asked by xenstore, crashed from outside as if by itself."""
    disk = ramdisk("pause", guest("life"),
                   "f.cfg:kernel=life.elf;memory=4;cmdline=forever;vcpus=3;autostart=yes")
    m = boot([guest("dom0"), disk])
    m.expect(DOM0)
    m.sendline("console f")
    m.expect("2 other vcpus")
    leave(m)
    assert "f: paused" in m.command("pause f", DOM0)
    assert "paused already" in m.command("pause f", DOM0)
    times = [re.search(r" f +4 +paused +(\d+\.\d) s", m.command("list", DOM0)).group(1)
             for _ in range(3)]
    assert times[0] == times[2]
    m.command("unpause f", DOM0)
    assert state(m, "f") != "paused"
    assert "it is not paused" in m.command("unpause f", DOM0)
    assert "f: asked" in m.command("suspend f", DOM0)
    store = m.command("store f", DOM0)
    assert 'shutdown = "suspend"' in store
    assert store.count('availability = "online"') == 3
    m.command("crash f", DOM0)
    m.expect(r"f: domain \d+ crashed")
    assert "it does not run" in m.command("crash f", DOM0)
    m.sendline("shutdown")
    m.wait_end()
