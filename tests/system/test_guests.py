# SPDX-License-Identifier: MIT
"""Runs every test guest in tests/guests and counts the TAP lines it prints.

Where a guest runs is said in its opening comment (tests/guests/GROUP/NAME/main.c), for example:

     * Run: qemu bochs
     * Machine: mem=64 cpu=core2duo timeout=300

`Run` names emulators (qemu where there is no such line; none for a guest that other tests start),
`Machine` options of machine.Machine and the seconds to wait for a line. The guest is the initial
domain.
"""
import re

import pytest

from machine import CMDLINE, EMULATORS, guest, guest_sources


def story(name):
    """A guest's emulators and options, from its opening comment."""
    text = guest_sources(name)[name].read_text().split("*/", 2)
    head = "*/".join(text[:2])
    run = re.search(r"^ \* Run: (.*)$", head, re.MULTILINE)
    machine = re.search(r"^ \* Machine: (.*)$", head, re.MULTILINE)
    emulators = run.group(1).split() if run else ["qemu"]
    if emulators[:1] == ["none"]:
        emulators = []
    assert set(emulators) <= set(EMULATORS), f"{name}: unknown emulator in {emulators}"
    options = dict(word.split("=", 1) for word in machine.group(1).split()) if machine else {}
    return emulators, {k: int(v) if v.isdigit() else v for k, v in options.items()}


def cases():
    """Every (guest, emulator)."""
    for name in guest_sources():
        for emulator in story(name)[0]:
            yield name, emulator


@pytest.mark.parametrize("name,emulator", cases())
def test_guest(boot, tap_run, name, emulator):
    options = story(name)[1]
    timeout = options.pop("timeout", None)
    m = boot([guest(name)], emulator=emulator, **options)
    tap_run(m, timeout)
    m.expect(r"initial domain powered off")
    m.wait_end()


@pytest.mark.parametrize("name", ["emulate", "sysenter", "vectors"])
def test_few_features(boot, tap_run, name):
    """A processor without SYSENTER, machine checks, global pages and SSE."""
    tap_run(boot([guest(name)], cpu="qemu32,-sep,-mce,-pge,-sse,-sse2"))


def test_console_to_ring(boot, tap_run):
    """The word that has the initial domain's output kept: sysctl readconsole then has it."""
    tap_run(boot([guest("control")], mem=256, cmdline=CMDLINE + " console_to_ring"))


def test_nx_is_not_told(boot, tap_run):
    """Linux with CONFIG_DEBUG_WX walks into the hypervisor's page tables where it sees NX."""
    tap_run(boot([guest("emulate")], cpu="core2duo"))
