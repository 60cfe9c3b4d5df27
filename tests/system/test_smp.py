# SPDX-License-Identifier: MIT
"""Several processors: those that are not used stay out of it, and no domain costs another's time."""
import itertools
import re

import pexpect

from dom0 import DOM0
from machine import CMDLINE, dom0_modules, guest, ramdisk
from test_sched import LOGGED, windows


def test_halt_with_unused_processors(boot):
    """More processors than are used (at most 4 are): a crash halts the machine, told by its reason.

    Those that were never started have no IDT: an NMI to them would reset the machine.
    """
    m = boot([guest("crash-notraps", "ud2")], cmdline=CMDLINE + " noreboot", smp=8, limit=60)
    m.expect(r"CPUs: 4 of 8 in use")
    m.expect(r"initial domain ended \(reason 3\): halting the machine")
    m.process.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=3)
    assert m.process.isalive(), "the machine did not stay halted"


def test_power_off_with_unused_processors(boot):
    """maxcpus= leaves two processors unused; the machine is switched off with its last line."""
    m = boot(dom0_modules(), cmdline=CMDLINE + " maxcpus=2", smp=4)
    m.expect(r"CPUs: 2 of 4 in use")
    m.expect(DOM0)
    m.sendline("shutdown")
    m.wait_end()


def share(m, victim, storms):
    """What the victim gets beside three guests, each on another processor: the best of 3 windows."""
    for cpu, name in enumerate(storms):
        m.command(f"create {name}", DOM0)
        assert "runs on processors" in m.command(f"pin {name} 0 {cpu}", DOM0)
    got = [window["victim"] for window in itertools.islice(windows(m, victim, ["victim"]), 1, 4)]
    for name in storms:
        m.command(f"destroy {name}", DOM0)
    return max(got)


def test_another_domains_processor(boot):
    """What three domains do on their processors costs a fourth on another one less than 2 %.

    In Bochs, whose processors all keep the same exact time. They run what made every processor
    flush its TLB each time: frames that change their type, a page registered again.
    """
    kinds = ("spin", "flips", "eoimap")
    disk = ramdisk("steal", guest("load"), "victim.cfg:kernel=load.elf;memory=8;cmdline=spin 100",
                   *(f"{kind}{n}.cfg:kernel=load.elf;memory=8;cmdline={kind} 100000"
                     for kind in kinds for n in range(3)))
    m = boot([guest("dom0"), disk], emulator="bochs", smp=4, cmdline=LOGGED, limit=500)
    m.expect(DOM0)
    text = m.command("create victim", DOM0)
    victim = {"victim": int(re.search(r"victim: domain (\d+)", text).group(1))}
    assert "runs on processors 0x8" in m.command("pin victim 0 3", DOM0)
    got = {kind: share(m, victim, [f"{kind}{n}" for n in range(3)]) for kind in kinds}
    print(got)
    for kind in kinds[1:]:
        assert got[kind] >= got["spin"] * 98 / 100, got
