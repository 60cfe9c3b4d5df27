# SPDX-License-Identifier: MIT
"""Booting and ending: what the machine does around its initial domain."""
import struct

import pytest

import machine
from machine import EMULATORS, guest

NOTE_TYPE_PAE = 9
POWER_OFF = r"initial domain powered off: powering off the machine"


@pytest.mark.parametrize("emulator", EMULATORS)
def test_self_test_tells_the_truth(boot, emulator):
    """QEMU's TCG does not check segment limits, Bochs does: the boot line must say so."""
    m = boot([guest("toy")], emulator=emulator)
    expected = r"ring compression: enforced" if emulator == "bochs" else r"NOT contained"
    m.expect(expected)
    m.expect("toy> ")


@pytest.mark.parametrize("emulator", EMULATORS)
def test_power_off_follows_the_initial_domain(boot, emulator):
    m = boot([guest("toy")], emulator=emulator)
    m.expect("toy> ")
    m.sendline("halt")
    m.expect(POWER_OFF)
    m.wait_end()


def test_sixteen_gib(boot):
    """Memory is clipped at 16 GiB of addresses; frames above 4 GiB are used (PAE)."""
    m = boot([guest("toy")], mem=16384, cpu="core2duo")
    m.expect("toy> ")
    m.sendline("halt")
    m.expect(POWER_OFF)
    m.wait_end()


def test_smallest_processor(boot):
    """The least Ringlet runs on has PAE and nothing younger: no NX, no SSE."""
    m = boot([guest("toy")], cpu="pentium2", mem=128)
    m.expect("toy> ")
    m.sendline("halt")
    m.expect(POWER_OFF)
    m.wait_end()


def elf64():
    """An x86-64 executable's header, which is all that a loader looks at before it refuses."""
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x1000, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 4096, 4096, 4096) + bytes(4096)


def without_pae(image):
    """The same kernel with its PAE note saying no."""
    note = struct.pack("<III", 4, 4, NOTE_TYPE_PAE) + b"Xen\0yes\0"
    assert image.count(note) == 1
    return image.replace(note, struct.pack("<III", 4, 3, NOTE_TYPE_PAE) + b"Xen\0no\0\0")


@pytest.mark.parametrize("what,reason", [
    ("x86-64", r"x86-64 kernel"),
    ("no-pae", r"not PAE"),
    ("truncated", r"truncated"),
    ("text", r"not ELF"),
])
def test_refused_module(boot, tmp_path, what, reason):
    """A module this ABI cannot run is refused by its name, with the reason."""
    toy = (machine.BUILD / "guests/toy.elf").read_bytes()
    image = {"x86-64": elf64(), "no-pae": without_pae(toy), "truncated": toy[:6000],
             "text": b"this is no kernel\n" * 100}[what]
    module = tmp_path / f"bad-{what}"
    module.write_bytes(image)
    m = boot([str(module)], panics=True)
    m.expect(rf"bad-{what} is no kernel [^\n]*: {reason}")


def test_no_module(boot):
    """Without an initial domain there is nothing to run, and Ringlet says so."""
    m = boot([], panics=True)
    m.expect(r"no kernel for the initial domain")
