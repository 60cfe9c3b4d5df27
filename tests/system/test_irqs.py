# SPDX-License-Identifier: MIT
"""The initial domain's interrupts where test_guests.py does not look: old machines, other domains."""
import pytest

from machine import guest, ramdisk


@pytest.mark.parametrize("machine", ["pic", "mptable"])
def test_old_machines(boot, tap_run, machine):
    """Without an APIC, lines come through the PICs; without ACPI, the MP table tells of IO-APICs."""
    if machine == "pic":
        m = boot([guest("irqs")], cpu="qemu32,-apic", smp=1)
        m.expect("Interrupts: PIC, 16 lines")
    else:
        m = boot([guest("irqs")], extra=["-machine", "pc,acpi=off"])
        m.expect("Interrupts: IO-APIC, 24 lines")
    tap_run(m)
    m.expect("initial domain powered off")


def test_disk_and_serial_port(boot, tap_run, tmp_path):
    """The initial domain drives a disk and the second serial port by their interrupts."""
    disk = tmp_path / "disk"
    disk.write_bytes(b"\0" * 7 * 512 + b"Ringlet's disk" + b"\0" * 65536)
    m = boot([guest("irqs", "devices")],
             extra=["-drive", f"file={disk},format=raw,if=ide", "-serial", "null"])
    tap_run(m)
    m.expect("initial domain powered off")
    assert int.from_bytes(disk.read_bytes()[3 * 512:3 * 512 + 2], "little") == 0x1234


def test_other_domains(boot):
    """A domain that the control domain started gets no line, no port, no PCI bus."""
    disk = ramdisk("irqs", guest("irqs"), "irqs.cfg:kernel=irqs.elf;memory=8;autostart=yes")
    m = boot([guest("dom0"), disk])
    m.expect("dom0> ")
    m.sendline("console irqs")
    m.expect(r"(\d+) passed, (\d+) failed")
    assert m.after.endswith(" 0 failed")
    assert int(m.after.split()[0]) > 15


def test_given_devices(boot):
    """A domain given the clock chip, the drives and the screen drives them; when it has ended, the
    next one can."""
    given = "ioports=70-71 1f0-1f7 3f6 170-177 376;irqs=8 14-15;iomem=b8"
    disk = ramdisk("given", guest("irqs"),
                   f"first.cfg:kernel=irqs.elf;memory=8;cmdline=given;{given};autostart=yes",
                   f"second.cfg:kernel=irqs.elf;memory=8;cmdline=given;{given}")
    m = boot([guest("dom0"), disk])
    m.expect("dom0> ")
    for name in ("first", "second"):
        m.sendline(f"console {name}")
        m.expect(r"(\d+) passed, (\d+) failed")
        assert m.after.endswith(" 0 failed")
        assert int(m.after.split()[0]) > 10
        m.expect("no longer runs")
        m.command("create second", "dom0> ")
