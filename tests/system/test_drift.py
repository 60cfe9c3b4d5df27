# SPDX-License-Identifier: MIT
"""System time beside the machine's other clocks, and beside itself on several processors."""
from machine import guest


def test_minute(boot, tap_run):
    """A minute of virtual time; the battery-backed clock is the machine's too, not the host's."""
    results = tap_run(boot([guest("drift")], icount="shift=0,sleep=off",
                           extra=["-rtc", "clock=vm"], smp=2), timeout=150)
    assert len(results.passed) == 5


def test_turns(boot, tap_run):
    """Two vcpus on two processors read the clock in turn."""
    results = tap_run(boot([guest("drift", "turns")], smp=2), timeout=150)
    assert len(results.passed) == 1
