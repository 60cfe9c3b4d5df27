# SPDX-License-Identifier: MIT
"""What the system tests share: the machine fixture and the record of TAP results.

A test that takes the fixture `boot` calls it with the arguments of Machine, without a name: the
name comes from the test, and the machine ends with it. Tests run in any order and side by side.
"""
import re

import pytest

import machine
import tap


@pytest.fixture
def boot(request):
    """A function that starts a Machine named after the test."""
    running = []

    def start(modules, **options):
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", request.node.name).strip("-")
        if running:
            name += f"-{len(running) + 1}"
        if not machine.have(options.get("emulator", "qemu")):
            pytest.fail(f"{options['emulator']} is not installed: tools/install-deps test")
        running.append(machine.Machine(name, modules, **options))
        return running[-1]

    yield start
    for each in running:
        each.close()


@pytest.fixture
def tap_run(record_property):
    """A function that reads a machine's TAP to its end, counts its lines and fails if one did."""

    def run(running, timeout=None):
        results = tap.read(running, timeout)
        record_property("tap_passed", len(results.passed))
        record_property("tap_failed", len(results.failed))
        record_property("tap_skipped", len(results.skipped))
        problem = results.problem()
        assert problem is None, problem
        return results

    return run
