# SPDX-License-Identifier: MIT
"""Log-dirty mode: the control domain's log of a guest's writes names the pages it wrote, and no others.

The guest (tests/guests/paging/logdirty) writes pages of an arena in all the ways there are, and says which.

Other guests run while the mode goes on and off under them, and find nothing else than without: the
one that tries everything with its memory above all.
"""
import re

import pytest

from machine import guest, ramdisk
from test_dom0 import DOM0, attach, leave

PROMPT = "number> "


def dirty(m, what, name="g"):
    """The pages that `logdirty g clean` or `peek` tells; their number must be the one counted."""
    text = m.command(f"logdirty {name} {what}", DOM0)
    count, listed = re.search(rf"{name}: (\d+) pages dirty, \d+ faults:([ 0-9-]*)", text).groups()
    pages = set()
    for part in listed.split():
        first, _, last = part.partition("-")
        pages |= set(range(int(first), int(last or first) + 1))
    assert len(pages) == int(count), text
    return pages


def quiet(m, always):
    """A guest that sleeps writes nothing: only what is never known to be clean is told."""
    dirty(m, "clean")
    m.command("list", DOM0)
    assert dirty(m, "peek") == always
    assert dirty(m, "clean") == always


def run(m, number):
    """One of the guest's commands; the pages it says it wrote."""
    attach(m, "g", PROMPT)
    text = m.command(str(number), PROMPT)
    leave(m)
    pages, wrong = re.search(r"wrote([ 0-9]*); (\d+) wrong", text).groups()
    assert wrong == "0", text
    return {int(page) for page in pages.split()}


@pytest.mark.parametrize("vcpus", [1, 4])
def test_exact(boot, vcpus):
    """Every way to write a page is seen, and none else is; what was told is clean again."""
    disk = ramdisk(f"logdirty-{vcpus}", guest("logdirty"),
                   f"g.cfg:kernel=logdirty.elf;memory=8;vcpus={vcpus};cmdline=1")
    m = boot([guest("dom0"), disk], smp=vcpus)
    m.expect(DOM0)
    before = m.command("free", DOM0)
    assert "g: domain 1" in m.command("create g", DOM0)
    m.sendline("console g")
    m.expect(rf"{vcpus} vcpus; arena at page (\d+), (\d+) commands")
    first, commands = map(int, re.search(r"page (\d+), (\d+)", m.after).groups())
    leave(m)
    arena = set(range(first, first + 64))
    assert "are not logged" in m.command("logdirty g peek", DOM0)
    assert "refuses" not in m.command("logdirty g on", DOM0)
    assert "logged already" in m.command("logdirty g on", DOM0)
    always = run(m, 0)
    for number in range(commands):
        quiet(m, always)
        wrote = run(m, number)
        seen = dirty(m, "peek")
        assert seen & arena == wrote, f"command {number}"
        assert dirty(m, "clean") >= seen
    quiet(m, always)
    assert "not logged" in m.command("logdirty g off", DOM0)
    run(m, 1)
    assert "are not logged" in m.command("logdirty g peek", DOM0)
    m.command("logdirty g on", DOM0)
    run(m, 1)
    m.command("destroy g", DOM0)
    assert m.command("free", DOM0) == before
    m.sendline("shutdown")
    m.wait_end()


@pytest.mark.parametrize("name,vcpus,words", [("hostile", 1, "seed=11 ops=60000"),
                                              ("hostile", 4, "seed=12 ops=3000 vcpus=4"),
                                              ("hostile", 2, "seed=13 ops=200 audit=1 vcpus=2"),
                                              ("runtime", 1, "")])
def test_on_and_off(boot, ended_guest, name, vcpus, words):
    """A guest does not notice that it is logged, nor that it is not any more."""
    disk = ramdisk(f"logdirty-{name}-{vcpus}", guest(name),
                   f"g.cfg:kernel={name}.elf;memory=16;vcpus={vcpus};cmdline={words}")
    m = boot([guest("dom0"), disk], smp=vcpus, limit=400)
    m.expect(DOM0)
    # Both at once: one of the guests lives for no longer than a busy host may take between them.
    m.send("create g\rlogdirty g 1000000\r")
    m.expect(r"g: logged (\d+) times", 300)
    assert int(re.search(r"\d+", m.after).group()) > 2
    ended_guest(m, "g")
    m.sendline("shutdown")
    m.wait_end()


@pytest.mark.parametrize("vcpus", [1, 4])
def test_nothing_is_left_out(boot, vcpus):
    """Whatever a guest does with its memory, the log names what has changed, and which is a table.

    Without pfns= it would give pages it writes often numbers that no log has room for, and with the
    log lost each time nothing be compared. (test_on_and_off leaves that to chance.)
    """
    disk = ramdisk(f"logdirty-verify-{vcpus}", guest("hostile"),
                   f"g.cfg:kernel=hostile.elf;memory=6;vcpus={vcpus};"
                   f"cmdline=seed=14 ops=100000000 pfns=0x8000 vcpus={vcpus}")
    m = boot([guest("dom0"), disk], smp=vcpus)
    m.expect(DOM0)
    m.command("create g", DOM0)
    m.sendline("logdirty g verify=80")
    m.expect(r"g: (\d+) rounds, (\d+) pages told, (\d+) not told, (\d+) logs lost", 120)
    rounds, told, wrong, lost = map(int, m.process.match.groups())
    assert rounds == 80 and told > 300 and wrong == 0 and lost == 0, m.after
    m.command("destroy g", DOM0)
    m.sendline("shutdown")
    m.wait_end()
