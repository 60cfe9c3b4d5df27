# SPDX-License-Identifier: MIT
"""Booting and ending: what the machine does around its initial domain."""
import re
import socket
import struct
import time

import pytest

import machine
from machine import EMULATORS, dom0_modules, guest, ramdisk

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


def test_soft_off(boot):
    """An initial domain that interprets the ACPI tables asks for the state S5."""
    m = boot([guest("life", "soft-off")])
    m.expect(POWER_OFF)
    m.wait_end()


def test_more_vcpus_than_there_are(boot):
    """dom0_max_vcpus= beyond the ABI's 32 means 32."""
    m = boot([guest("toy")], cmdline=machine.CMDLINE + " dom0_max_vcpus=1000")
    m.expect("toy> ")


def walk_entries(m):
    """The entries of each level of a walk, as the toy's `map` shows it; the toy's prompt is up."""
    walk = re.search(r"level 3 ([0-9a-f]+), level 2 ([0-9a-f]+), level 1 ([0-9a-f]+)",
                     m.command("map", "toy> "))
    return [int(entry, 16) for entry in walk.groups()]


@pytest.mark.parametrize("modules", ["toy", "dom0"])
def test_sixteen_gib(boot, modules):
    """Memory is used up to the address 16 GiB, and a domain built there runs.

    Its page tables lie below 4 GiB as long as there is memory, for this emulator's sake: see
    test_page_tables_above_4_gib.
    """
    m = boot([guest("toy")] if modules == "toy" else dom0_modules(), mem=16384, cpu="core2duo")
    m.expect(r"memory: (\d+) MiB free")
    assert int(m.process.match.group(1)) > 15000
    if modules == "dom0":
        m.expect(r"toy: domain \d+")
        m.expect("dom0> ")
        m.sendline("console toy")
    m.expect("toy> ")
    assert not any(entry >> 32 for entry in walk_entries(m))
    if modules == "dom0":
        m.send("\x1d")
        m.expect("dom0> ")
    m.sendline("halt" if modules == "toy" else "shutdown")
    m.expect(POWER_OFF)
    m.wait_end()


def test_page_tables_above_4_gib(boot):
    """A domain whose memory and page tables lie above 4 GiB, where only PAE reaches.

    It gets such memory because another domain has taken what there is below, but for a reserve:
    the L3 itself must lie there. QEMU 7.2's qemu-system-i386 cuts the address of a page table to
    32 bits when it walks one, and resets; its qemu-system-x86_64 runs the same hypervisor and walks
    right.
    """
    disk = ramdisk("above-4-gib", guest("toy"), "eater.cfg:kernel=toy.elf;memory=256;autostart=yes",
                   "toy.cfg:kernel=toy.elf;memory=16")
    m = boot([guest("dom0"), disk], mem=4096, cpu="core2duo", qemu="qemu-system-x86_64",
             extra=["-machine", "pc,max-ram-below-4g=256M"])
    m.expect(r"eater: domain \d+")
    m.expect("dom0> ")
    assert re.search(r"toy: domain \d+", m.command("create toy", "dom0> "))
    m.sendline("console toy")
    m.expect("toy> ")
    entries = walk_entries(m)
    assert all(entry >> 32 for entry in entries), [hex(entry) for entry in entries]
    m.send("\x1d")
    m.command("shutdown", POWER_OFF)
    m.wait_end()


def test_memory_beyond_the_processor(boot):
    """QEMU gives qemu32, which has 32 address bits, memory above 4 GiB too: it is left alone."""
    m = boot([guest("toy")], cpu="qemu32", mem=512, extra=["-machine", "pc,max-ram-below-4g=256M"])
    m.expect(r"memory: \d+ MiB free of 4096 MiB")
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


def test_screen(boot, tmp_path):
    """console=vga: what the hypervisor says stands on the screen too."""
    socket_path = tmp_path / "monitor"
    m = boot([guest("toy")], cmdline="console=com1,vga",
             extra=["-monitor", f"unix:{socket_path},server,nowait"])
    m.expect("toy> ")
    dump = tmp_path / "screen"
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(socket_path))
        monitor.settimeout(20)
        monitor.recv(4096)
        monitor.sendall(f'pmemsave 0xb8000 4000 "{dump}"\n'.encode())
        # The monitor echoes in pieces of any size: the file itself tells when it is written.
        deadline = time.monotonic() + 20
        while not (dump.exists() and dump.stat().st_size == 4000):
            assert time.monotonic() < deadline, "the monitor wrote no dump"
            time.sleep(0.1)
    screen = dump.read_bytes()[::2].decode("cp437")
    assert "(XEN) Ringlet" in screen and "ring compression" in screen


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


def with_segment(image, **changed):
    """The same kernel with fields of its first LOAD segment's header changed."""
    names = ("type", "offset", "vaddr", "paddr", "filesz", "memsz", "flags", "align")
    phoff, = struct.unpack_from("<I", image, 28)
    fields = dict(zip(names, struct.unpack_from("<8I", image, phoff)))
    assert fields["type"] == 1
    fields.update(changed)
    header = struct.pack("<8I", *(fields[name] for name in names))
    return image[:phoff] + header + image[phoff + len(header):]


@pytest.mark.parametrize("what,reason", [
    ("x86-64", r"x86-64 kernel"),
    ("no-pae", r"not PAE"),
    ("truncated", r"truncated"),
    ("text", r"not ELF"),
    ("empty", r"not ELF"),
    ("no-headers", r"no program headers"),
    ("far-headers", r"truncated program header"),
    ("far-bytes", r"truncated segment"),
    ("wide", r"segment beyond the start of the hypervisor"),
    ("low", r"segment below virt_base"),
    ("more-bytes", r"segment larger in the file than in memory"),
])
def test_refused_module(boot, tmp_path, what, reason):
    """A module this ABI cannot run is refused by its name, with the reason."""
    toy = (machine.BUILD / "guests/toy.elf").read_bytes()
    image = {"x86-64": elf64(), "no-pae": without_pae(toy), "truncated": toy[:6000],
             "text": b"this is no kernel\n" * 100, "empty": b"",
             "no-headers": toy[:44] + bytes(2) + toy[46:],
             "far-headers": toy[:28] + b"\xf0\xff\xff\xff" + toy[32:],
             "far-bytes": with_segment(toy, offset=0xfffff000),
             "wide": with_segment(toy, memsz=0xfffff000),
             "low": with_segment(toy, paddr=0xfffff000),
             "more-bytes": with_segment(toy, memsz=1)}[what]
    module = tmp_path / f"bad-{what}"
    module.write_bytes(image)
    m = boot([str(module)], panics=True)
    m.expect(rf"first module, bad-{what}, is no kernel [^\n]*: {reason}")


def at_zero(image):
    """The same kernel, to be loaded at address 0, with nearly all that there is for its .bss."""
    for note, address in ((1, 0), (2, 0x1000), (3, 0)):
        head = struct.pack("<III", 4, 4, note) + b"Xen\0"
        assert image.count(head) == 1
        at = image.index(head) + len(head)
        image = image[:at] + struct.pack("<I", address) + image[at + 4:]
    second = struct.unpack_from("<I", image, 28)[0] + 32
    paddr, = struct.unpack_from("<I", image, second + 12)
    return image[:second + 20] + struct.pack("<I", 0xf0000000 - paddr) + image[second + 24:]


def test_ramdisk_round_the_end(boot, tmp_path):
    """Kernel and ramdisk together end at 4 GiB: the sum must not come out as 0."""
    module, disk = tmp_path / "kernel", tmp_path / "disk"
    module.write_bytes(at_zero((machine.BUILD / "guests/toy.elf").read_bytes()))
    with open(disk, "wb") as f:
        f.truncate(0x10000000)
    m = boot([str(module), str(disk)], panics=True)
    m.expect(r"kernel, ramdisk and memory list do not fit below f5800000")


def test_no_module(boot):
    """Without an initial domain there is nothing to run, and Ringlet says so."""
    m = boot([], panics=True)
    m.expect(r"no kernel for the initial domain")
