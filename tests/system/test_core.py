# SPDX-License-Identifier: MIT
"""The core without any module (build/ringlet-core.elf, `make core`; include/ringlet/module.h).

It runs one processor, PICs and a serial port, and boots the toy, the control domain with PV-GRUB and
mini-Linux. What only a module implements answers -ENOSYS.
"""
import re
import shutil
import subprocess

import pytest

from dom0 import DOM0
from machine import BUILD, TOP, dom0_modules, guest
from test_linux_mini import MINI, modules
from test_toy import COMMANDS
from test_toy import PROMPT as TOY

CORE = BUILD / "ringlet-core.elf"
LINUX = "mini-linux# "


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_toy(boot, emulator):
    """Every command of the toy shows on the core what it shows on the whole hypervisor."""
    m = boot([guest("toy")], emulator=emulator, kernel=CORE)
    m.expect(r"Interrupts: PIC")
    m.expect(TOY)
    shown = {}
    for command, expected in COMMANDS:
        if command not in shown:
            shown[command] = m.command(command, TOY)
        assert re.search(expected, shown[command], re.MULTILINE), \
            f"{command}: no {expected}:\n{shown[command]}"
    m.sendline("halt")
    m.expect("initial domain powered off")
    m.wait_end()


def test_pvgrub(boot):
    """The control domain builds PV-GRUB and the toy beside itself; PV-GRUB comes to its prompt."""
    m = boot(dom0_modules(), kernel=CORE)
    m.expect(r"pvgrub: domain 1")
    m.expect(DOM0)
    m.sendline("console pvgrub")
    m.expect("grub> ")
    m.sendline("echo from the core")
    m.expect(r"from the core\s+grub> ")
    m.send("\x1d")
    m.expect(DOM0)
    m.sendline("shutdown")
    m.expect("initial domain powered off")
    m.wait_end()


def test_mini_linux(boot):
    """Mini-Linux with one vcpu: its shell, a program, a clean power-off."""
    assert (MINI / "vmlinux").exists(), "mini-Linux is not built: make mini-linux"
    m = boot(modules(), kernel=CORE, cmdline="console=com1 loglvl=warning dom0_mem=96M")
    m.expect(LINUX, timeout=120)
    assert "500,499,498," in m.command("seq 1 500 | sort -rn | head -n 3 | tr '\\n' ,", LINUX)
    m.sendline("poweroff -f")
    m.expect("initial domain powered off")
    m.wait_end()


def test_the_rule_is_checked(tmp_path):
    """tools/check-core finds a core object that names what only a module defines."""
    for name, text in (("core", "extern void part(void); void f(void) { part(); }"),
                       ("module", "void part(void) { }")):
        source = tmp_path / f"{name}.c"
        source.write_text(text)
        subprocess.run(["gcc", "-m32", "-c", "-o", str(tmp_path / f"{name}.o"), str(source)],
                       check=True)
    core, module = str(tmp_path / "core.o"), str(tmp_path / "module.o")

    def check(*arguments):
        return subprocess.run([str(TOP / "tools/check-core"), *arguments], check=False,
                              capture_output=True, text=True)

    broken = check(core, "--", module)
    assert broken.returncode == 1 and "names part, which only the module file" in broken.stdout
    assert check(core, module, "--").returncode == 0


def test_rooms_are_told(tmp_path):
    """tools/check-rooms finds a core file, and an invariant, that a room's README.md has wrong."""
    for room in ("arch", "traps", "mm", "evtchn", "hypercall", "xen", "include", "tests/models"):
        shutil.copytree(TOP / room, tmp_path / room)

    def check():
        return subprocess.run([str(TOP / "tools/check-rooms"), str(tmp_path)], check=False,
                              capture_output=True, text=True)

    assert check().returncode == 0
    (tmp_path / "mm/new.c").write_text("")
    found = check()
    assert found.returncode == 1 and "mm/README.md: does not name new.c" in found.stdout
    (tmp_path / "mm/new.c").unlink()
    readme = tmp_path / "mm/README.md"
    readme.write_text(readme.read_text().replace("| E1 to E4 |", "| E1 to E9 |"))
    found = check()
    assert found.returncode == 1 and "E9 does not stand in" in found.stdout
