# SPDX-License-Identifier: MIT
"""The initial domain's interrupts where test_guests.py does not look: old machines, other domains."""
import pytest

from machine import guest, ramdisk


@pytest.mark.parametrize("machine", ["pic", "mptable"])
def test_old_machines(boot, tap_run, machine):
    """Without an APIC, lines come through the PICs; without ACPI, the MP table tells of IO-APICs."""
    if machine == "pic":
        m = boot([guest("irqs")], cpu="qemu32,-apic")
        m.expect("Interrupts: PIC, 16 lines")
    else:
        m = boot([guest("irqs")], extra=["-machine", "pc,acpi=off"])
        m.expect("Interrupts: IO-APIC, 24 lines")
    tap_run(m)
    m.expect("initial domain powered off")


def test_other_domains(boot):
    """A domain that the control domain started gets no line, no port, no PCI bus."""
    disk = ramdisk("irqs", guest("irqs"), "irqs.cfg:kernel=irqs.elf;memory=8;autostart=yes")
    m = boot([guest("dom0"), disk])
    m.expect("dom0> ")
    m.sendline("console irqs")
    m.expect(r"(\d+) passed, (\d+) failed")
    assert m.after.endswith(" 0 failed")
    assert int(m.after.split()[0]) > 10
