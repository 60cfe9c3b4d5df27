# SPDX-License-Identifier: MIT
"""What the system tests share: the machine fixture and the record of TAP results.

A test that takes the fixture `boot` calls it with the arguments of Machine, without a name: the
name comes from the test, and the machine ends with it. Tests run in any order and side by side.
"""
import re
import subprocess

import pytest

import machine
import tap
from dom0 import DOM0


def pytest_sessionstart(session):
    """Builds the guests that are missing, once: `make run` alone builds but a few.

    By their own makefile, so that the hypervisor stays the build that it is.
    """
    if hasattr(session.config, "workerinput"):
        return
    done = subprocess.run(["make", "-f", "pv-guest/guest.mk", "--no-print-directory", "all-guests"],
                          cwd=machine.TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode:
        pytest.exit(f"the guests cannot be built:\n{done.stdout}", returncode=3)


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
        results.record(record_property)
        problem = results.problem()
        assert problem is None, problem
        return results

    return run


@pytest.fixture
def ended_guest(record_property):
    """A function that reads the console of a guest that has ended, at the control domain's prompt:
    its text and results. All guests' lines of TAP count, and one that failed is a failure."""
    total = tap.Results()

    def read(running, name):
        running.sendline(f"console {name}")
        running.expect(r"Ctrl-\] leaves")
        running.expect("no longer runs")
        text, results = running.before, tap.Results()
        for line in text.splitlines():
            results.add(line)
        total.passed += results.passed
        total.failed += results.failed
        total.skipped += results.skipped
        total.record(record_property)
        assert results.problem() is None, f"{name}: {results.problem()}"
        running.expect(DOM0)
        return text, results

    return read
