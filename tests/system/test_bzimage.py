# SPDX-License-Identifier: MIT
"""Kernels packed as Linux packs itself: unpacked by the hypervisor, and by the control domain."""
import struct
import subprocess

import pytest

import machine
from machine import EMULATORS, guest, ramdisk

TOY = machine.BUILD / "guests/toy.elf"
# As Linux's scripts/Makefile.lib calls them.
PACKERS = {"gzip": ["gzip", "-n", "-9"],
           "xz": ["xz", "--check=crc32", "--x86", "--lzma2=,dict=32MiB"],
           "lzma": ["xz", "--format=lzma", "-9"],
           "bzip2": ["bzip2", "-9"]}
SETUP = 4 * 512


def bzimage(path, packer):
    """Writes the toy to `path` as the payload of a bzImage: boot sector, setup code, kernel."""
    kernel = TOY.read_bytes()
    payload = subprocess.run(PACKERS[packer], input=kernel, stdout=subprocess.PIPE,
                             check=True).stdout
    if packer != "gzip":
        payload += struct.pack("<I", len(kernel))
    head = bytearray(SETUP + 64)
    struct.pack_into("<B", head, 0x1f1, SETUP // 512 - 1)
    struct.pack_into("<4sH", head, 0x202, b"HdrS", 0x20d)
    struct.pack_into("<II", head, 0x248, 64, len(payload))
    path.write_bytes(head + payload)
    return path


@pytest.mark.parametrize("packer", ["gzip", "xz", "lzma"])
@pytest.mark.parametrize("emulator", EMULATORS[:2])
def test_initial_domain(boot, tmp_path, emulator, packer):
    """The words behind the file's name are the kernel's as ever: the toy does what they say."""
    m = boot([f"{bzimage(tmp_path / 'toy', packer)} halt"], emulator=emulator)
    m.expect("initial domain powered off")
    m.wait_end()


def damage(path, offset, change):
    """Changes the byte at an offset from the end of a file."""
    image = bytearray(path.read_bytes())
    image[offset] ^= change
    path.write_bytes(image)
    return path


@pytest.mark.parametrize("packer,offset,reason", [
    ("gzip", -1000, "packed kernel (damaged|not as long)"),
    ("xz", -1000, "packed kernel (damaged|not as long)"),
    ("xz", -4, "packed kernel not as long as its last four bytes say"),
    ("gzip", -1, "too little memory to unpack it"),
    ("gzip", 0x24e, "truncated bzImage"),
    ("bzip2", 0x1f0, "bzImage packed by bzip2: only gzip, xz and lzma"),
])
def test_refused(boot, tmp_path, packer, offset, reason):
    """A reason, and the module's name."""
    image = damage(bzimage(tmp_path / "image", packer), offset, 0xf0)
    m = boot([str(image)], panics=True)
    m.expect(rf"first module, image, is no kernel [^\n]*: {reason}")


def test_control_domain(boot, tmp_path):
    """It builds guests from bzImages, and says why not from a bad one."""
    bzimage(tmp_path / "good", "xz")
    damage(bzimage(tmp_path / "bad", "xz"), -1000, 1)
    disk = ramdisk("bzimage", tmp_path / "good", tmp_path / "bad", "good.cfg:kernel=good;memory=16",
                   "bad.cfg:kernel=bad;memory=16")
    m = boot([guest("dom0"), disk], cmdline="console=com1 dom0_mem=128M")
    m.expect("dom0> ")
    assert "bad: packed kernel damaged" in m.command("create bad", "dom0> ")
    m.command("create good", "dom0> ")
    m.sendline("console good")
    m.expect("toy> ")
