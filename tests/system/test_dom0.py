# SPDX-License-Identifier: MIT
"""The control domain: it builds, connects and buries domains at its prompt."""
import re

import pytest

import machine
from dom0 import DOM0, attach, leave, state
from machine import EMULATORS, dom0_modules, guest, ramdisk
from test_toy import COMMANDS as TOY_COMMANDS

TOY = "toy> "
GRUB = "grub> "


@pytest.fixture(params=EMULATORS)
def dom0(boot, request):
    """The usual control domain: a toy and a PV-GRUB are started with it."""
    m = boot(dom0_modules(), emulator=request.param)
    m.expect(r"pvgrub: domain \d+, 64 MiB")
    m.expect(r"toy: domain \d+, 16 MiB")
    m.expect(DOM0)
    return m


def test_two_guests_at_once(dom0):
    """The toy and PV-GRUB run side by side, each driven by typed commands."""
    attach(dom0, "toy", TOY)
    assert "0xe019" in dom0.command("rings", TOY)
    leave(dom0)

    attach(dom0, "pvgrub", GRUB)
    assert "hello from grub" in dom0.command("echo hello from grub", GRUB)
    dom0.command("ls", GRUB)
    assert re.search(r"\bnormal\b", dom0.command("lsmod", GRUB))
    leave(dom0)

    # The toy has not forgotten where it was, and still counts ticks beside GRUB.
    attach(dom0, "toy", TOY)
    assert "tick 5" in dom0.command("tick", TOY)
    dom0.sendline("halt")
    dom0.expect(r"toy: domain \d+ powered off|no longer runs")
    dom0.expect(DOM0)
    assert state(dom0, "toy") == "not running"

    attach(dom0, "pvgrub", GRUB)
    dom0.sendline("halt")
    dom0.expect(r"no longer runs")
    dom0.expect(DOM0)
    assert state(dom0, "pvgrub") == "not running"

    # Both can be built again.
    assert re.search(r"toy: domain \d+", dom0.command("create toy", DOM0))
    attach(dom0, "toy", TOY)
    leave(dom0)
    dom0.sendline("shutdown")
    dom0.wait_end()


def test_commands(boot):
    """list, pause, unpause, destroy, create, and what they say to nonsense."""
    m = boot(dom0_modules())
    m.expect(r"toy: domain \d+")
    m.expect(DOM0)
    listing = m.command("help", DOM0)
    for command in ("list", "create", "console", "pause", "unpause", "destroy", "help"):
        assert re.search(rf"^ +{command}\b", listing, re.MULTILINE), f"help omits {command}"

    assert "paused" in m.command("pause toy", DOM0)
    assert state(m, "toy") == "paused"
    m.command("unpause toy", DOM0)
    assert state(m, "toy") in ("blocked", "ready", "running")

    assert "destroyed" in m.command("destroy toy", DOM0)
    assert state(m, "toy") == "not running"
    m.command("destroy toy", DOM0)
    for _ in range(3):
        m.command("create toy", DOM0)
        attach(m, "toy", TOY)
        leave(m)
        assert "destroyed" in m.command("destroy toy", DOM0)

    m.command("create nobody", DOM0)
    assert "no guest named nobody" in m.before
    assert "no command frobnicate" in m.command("frobnicate", DOM0)
    m.sendline("shutdown")
    m.wait_end()


def test_toy_without_privilege(boot):
    """Each of the toy's commands shows an unprivileged domain what it shows the initial one."""
    m = boot(dom0_modules())
    m.expect(r"toy: domain \d+")
    m.expect(DOM0)
    attach(m, "toy", TOY)
    shown = {}
    for command, expected in TOY_COMMANDS:
        if command not in shown:
            shown[command] = m.command(command, TOY)
        assert re.search(expected, shown[command], re.MULTILINE), \
            f"{command}: no {expected}:\n{shown[command]}"
    assert re.search(r"write 0xf5800000: refused", m.command("poke 0xf5800000", TOY))
    leave(m)
    m.sendline("shutdown")
    m.wait_end()


def test_toy_does_what_it_is_asked(boot):
    """suspend, resume, reboot, shutdown: the toy hears of them by xenstore and does them."""
    m = boot(dom0_modules())
    m.expect(r"toy: domain \d+")
    m.expect(DOM0)
    attach(m, "toy", TOY)
    leave(m)
    store = m.command("store toy", DOM0)
    for what in ("poweroff", "reboot", "suspend"):
        assert f'feature-{what} = "1"' in store, store
    for _ in range(2):
        m.sendline("suspend toy")
        m.expect(r"toy: domain \d+ suspended")
        assert state(m, "toy") == "suspended"
        assert "toy: resumed" in m.command("resume toy", DOM0)
        m.sendline("console toy")
        m.expect(r"xenstore asks: suspend\s+suspend: going on in the same domain")
        assert "CPL is 1" in m.command("rings", TOY)
        leave(m)
        assert 'shutdown = ""' in m.command("store toy", DOM0)
    m.sendline("reboot toy")
    m.expect(r"toy: domain \d+ rebooted")
    m.expect(r"toy: domain \d+, 16 MiB")
    attach(m, "toy", TOY)
    leave(m)
    m.sendline("shutdown toy")
    m.expect(r"toy: domain \d+ powered off")
    m.sendline("shutdown")
    m.wait_end()


@pytest.mark.parametrize("processors", [1, 4])
def test_pasted_text(boot, processors):
    """What is pasted at the prompt, faster than anybody types, arrives whole."""
    m = boot(dom0_modules(), smp=processors)
    m.expect(r"toy: domain \d+")
    m.expect(DOM0)
    m.send("".join(f"pause guest{i:03}\r" for i in range(150)))
    for i in range(150):
        m.expect(rf"no guest named guest{i:03} ")
    m.expect(DOM0)
    m.sendline("shutdown")
    m.wait_end()


def test_thirty_guests(boot):
    """As many as a small machine holds, each with a console of its own; all can be built again."""
    names = [f"toy{i}" for i in range(30)]
    disk = ramdisk("thirty", guest("toy"),
                   *(f"{name}.cfg:kernel=toy.elf;memory=4;autostart=yes" for name in names))
    m = boot([guest("dom0"), disk])
    m.expect(DOM0)
    for _ in range(2):
        for name in (names[0], names[17], names[-1]):
            attach(m, name, TOY)
            assert "tick 5" in m.command("tick", TOY)
            leave(m)
        for name in names:
            assert "destroyed" in m.command(f"destroy {name}", DOM0)
        assert not re.search(r"blocked|ready|dying", m.command("list", DOM0))
        for name in names:
            assert re.search(rf"{name}: domain \d+", m.command(f"create {name}", DOM0))
    m.sendline("shutdown")
    m.wait_end()


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_crash_is_contained(boot, emulator):
    """A guest that crashes dies alone, with its state printed, and can be built again."""
    disk = ramdisk(f"crash-{emulator}", guest("toy"),
                   "victim.cfg:kernel=toy.elf;memory=16;autostart=yes",
                   "witness.cfg:kernel=toy.elf;memory=16;autostart=yes")
    m = boot([guest("dom0"), disk], emulator=emulator)
    m.expect(r"victim: domain \d+")
    m.expect(r"witness: domain \d+")
    m.expect(DOM0)
    for _ in range(2):
        attach(m, "victim", TOY)
        m.sendline("crash")
        m.expect(r"victim: domain \d+ crashed|no longer runs")
        m.expect(DOM0)
        assert state(m, "victim") == "not running"
        attach(m, "witness", TOY)
        assert "0xe019" in m.command("rings", TOY)
        leave(m)
        assert re.search(r"victim: domain \d+", m.command("create victim", DOM0))
    m.sendline("shutdown")
    m.wait_end()


def test_refused_kernels(boot, tmp_path):
    """The control domain refuses what the hypervisor refuses, by the same reader, and goes on."""
    (tmp_path / "text").write_bytes(b"this is no kernel\n" * 100)
    (tmp_path / "cut").write_bytes((machine.BUILD / "guests/toy.elf").read_bytes()[:6000])
    disk = ramdisk("refused", guest("toy"), tmp_path / "text", tmp_path / "cut",
                   "text.cfg:kernel=text", "cut.cfg:kernel=cut", "gone.cfg:kernel=gone",
                   "large.cfg:kernel=toy.elf;memory=4000", "toy.cfg:kernel=toy.elf;memory=16")
    m = boot([guest("dom0"), disk])
    m.expect(DOM0)
    assert re.search(r"text: .*not ELF", m.command("create text", DOM0))
    assert re.search(r"cut: .*truncated", m.command("create cut", DOM0))
    assert re.search(r"gone: no file gone", m.command("create gone", DOM0))
    refusal = m.command("create large", DOM0)
    assert re.search(r"large: ", refusal) and "domain" not in refusal
    assert re.search(r"toy: domain \d+", m.command("create toy", DOM0))
    attach(m, "toy", TOY)
    leave(m)
    m.sendline("shutdown")
    m.wait_end()
