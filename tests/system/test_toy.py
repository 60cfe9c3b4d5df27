# SPDX-License-Identifier: MIT
"""The toy kernel as the initial domain: every command it has, typed on the serial console."""
import re

import pytest

from debuggers import has, talk
from machine import CMDLINE, EMULATORS, guest

PROMPT = "toy> "

# What each command must have shown by the time the prompt is back.
COMMANDS = [
    ("rings", r"CPL is 1"),
    ("rings", r"cs +0xe019 .*RPL 1"),
    ("rings", r"ring-0 code +0xe008 .*hidden from ring 1"),
    ("fault", r"#PF page fault, error code 0000"),
    ("fault", r"memory from nowhere"),
    ("user", r"from cs 0xe02b \(ring 3\)"),
    ("user", r"hello from ring 3"),
    ("user", r"#PF page fault, error code 0005"),
    ("user", r"#GP general protection"),
    ("cli", r"#GP general protection, error code 0000"),
    ("map", r"one frame, two addresses"),
    ("map", r"writable: refused"),
    ("map", r"read-only: allowed"),
    ("event", r"sent: pending\[\d+\] 1, upcall_pending 1, upcall_mask 1"),
    ("event", r"unmasked: pending\[\d+\] 0, upcall_pending 0, upcall_mask 0"),
    ("tick", r"tick 5 at [5-9]\d{5} us"),
    ("hypercall", r"xen-3\.0-x86_32p"),
    ("hypercall", r"begins at 0xf5800000"),
    ("primes", r"^17984 primes below 200000, as it should be"),
    ("vcpus", r"^ +0  running  +\d+ +\d+ +\d+ +\d+$"),
    ("nonsense", r"no such command"),
]


@pytest.fixture(params=EMULATORS)
def toy(boot, request):
    m = boot([guest("toy")], emulator=request.param)
    m.expect(PROMPT)
    return m


def test_commands(toy):
    """Each command explains one thing, and the prompt comes back."""
    listing = toy.command("help", PROMPT)
    for command in {name for name, _ in COMMANDS} - {"nonsense"} | {"poke", "crash", "halt"}:
        assert re.search(rf"^ *{command}\b", listing, re.MULTILINE), f"help omits {command}"
    shown = {}
    for command, expected in COMMANDS:
        if command not in shown:
            shown[command] = toy.command(command, PROMPT)
        assert re.search(expected, shown[command], re.MULTILINE), \
            f"{command}: no {expected}:\n{shown[command]}"
    toy.sendline("halt")
    toy.wait_end()


def pieces(m):
    """How many pieces of the work each of four vcpus did, which was done once and all of it."""
    counted = re.findall(r"vcpu (\d) counted (\d+) primes in (\d+) pieces",
                         m.command("primes", PROMPT))
    assert [row[0] for row in counted] == ["0", "1", "2", "3"]
    assert sum(int(row[1]) for row in counted) == 17984
    done = [int(row[2]) for row in counted]
    assert sum(done) == 200
    return done


@pytest.mark.parametrize("processors", [1, 4])
@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_four_vcpus(boot, emulator, processors):
    """Four vcpus share the work, whether there is a processor for each or one for all."""
    m = boot([guest("toy")], emulator=emulator, smp=processors,
             cmdline=CMDLINE + " dom0_max_vcpus=4")
    m.expect(r"and 4 vcpus, the initial domain")
    m.expect(PROMPT)
    # QEMU's processors run as its host lets them: one may be left behind, but not each time.
    tries = [pieces(m) for _ in range(5 if emulator == "qemu" and processors == 4 else 1)]
    assert processors == 1 or any(min(done) > 20 for done in tries), tries
    assert "17984 primes below 200000, as it should be" in m.command("primes 2", PROMPT)
    assert "vcpu 2" not in m.before
    listed = re.findall(r"^ +(\d)  (\w+) +(\d+) +(\d+) +(\d+) +(\d+)$", m.command("vcpus", PROMPT),
                        re.MULTILINE)
    assert [row[1] for row in listed] == ["running", "blocked", "blocked", "blocked"]
    assert all(int(row[2]) > 0 and int(row[4]) > 0 for row in listed), listed
    m.sendline("halt")
    m.wait_end()


def test_make_run():
    """`make run SMP=4`: four processors, and so four vcpus for whatever the initial domain is."""
    out = talk("run", ["GUEST=toy", "SMP=4"], PROMPT, ["primes", "halt"])
    has(out, r"CPUs: 4 of 4 in use", r"and 4 vcpus", r"vcpu 3 counted", r"on 4 vcpus$")


def test_poke(toy):
    """Reading and writing the hypervisor, its read-only table, and the guest's own memory."""
    beyond = toy.command("poke 0xfc000000", PROMPT)
    if toy.emulator == "bochs":
        assert len(re.findall(r"#GP general protection", beyond)) == 2, beyond
        assert beyond.count("refused by the limit of ds") == 2, beyond
        assert "The limit keeps ring 1 out" in beyond
    else:
        assert "does not check limits" in beyond
    m2p = toy.command("poke 0xf5800000", PROMPT)
    assert re.search(r"read 0xf5800000: no fault, the word is 0x\w{8}", m2p), m2p
    assert re.search(r"write 0xf5800000: refused by the page's rights", m2p), m2p
    assert re.search(r"error code 0003\s.*write by supervisor", m2p, re.DOTALL), m2p
    nothing = toy.command("poke 0", PROMPT)
    assert re.search(r"read 0x00000000: refused as no page is there.*error code 0000\s", nothing,
                     re.DOTALL), nothing
    assert re.search(r"write 0x00000000: refused as no page is there.*error code 0002\s.*"
                     r"write by supervisor", nothing, re.DOTALL), nothing
    toy.sendline("halt")
    toy.wait_end()


def test_crash(toy):
    """A crash of the initial domain says why, and the machine restarts."""
    toy.sendline("crash")
    toy.expect(r"#UD invalid opcode\r*\n")
    toy.expect(r"initial domain ended \(reason 3\): rebooting")
    if toy.emulator == "bochs":
        toy.expect(PROMPT)
    else:
        toy.wait_end()


def test_reboot(toy):
    """A reboot of the initial domain reboots the machine."""
    toy.sendline("reboot")
    toy.expect(r"initial domain rebooted: rebooting")
    if toy.emulator == "bochs":
        toy.expect(PROMPT)
    else:
        toy.wait_end()
