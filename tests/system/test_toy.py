# SPDX-License-Identifier: MIT
"""The toy kernel as the initial domain: every command it has, typed on the serial console."""
import re

import pytest

from machine import EMULATORS, guest

PROMPT = "toy> "


@pytest.fixture(params=EMULATORS)
def toy(boot, request):
    m = boot([guest("toy")], emulator=request.param)
    m.expect(PROMPT)
    return m


def test_commands(toy):
    """Each command explains one thing, and the prompt comes back."""
    listing = toy.command("help", PROMPT)
    for command in ("rings", "fault", "user", "cli", "poke", "map", "event", "tick", "hypercall",
                    "crash", "halt"):
        assert re.search(rf"\b{command}\b", listing), f"help does not list {command}"
    assert "0xe019" in toy.command("rings", PROMPT)
    assert re.search(r"(?i)page fault|#PF", toy.command("fault", PROMPT))
    assert re.search(r"(?i)ring 3", toy.command("user", PROMPT))
    assert re.search(r"(?i)cli", toy.command("cli", PROMPT))
    assert toy.command("map", PROMPT).strip()
    assert toy.command("event", PROMPT).strip()
    assert toy.command("tick", PROMPT).strip()
    assert toy.command("hypercall", PROMPT).strip()
    toy.command("nonsense", PROMPT)
    toy.sendline("halt")
    assert toy.wait_end() == 0


def test_poke(toy):
    """The hypervisor's memory is out of reach where limits are checked; the M2P may be read."""
    answer = toy.command("poke 0xfc000000", PROMPT)
    if toy.emulator == "bochs":
        assert re.search(r"(?i)#GP|general protection", answer)
    assert not re.search(r"(?i)panic", toy.transcript)


def test_crash(toy):
    """A crash of the initial domain ends it with a reason, and with it the machine."""
    toy.sendline("crash")
    toy.expect(r"(?i)crash")
    toy.wait_end()
