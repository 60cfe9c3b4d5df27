# SPDX-License-Identifier: MIT
"""Event channels where test_guests.py does not look: a guest with two vcpus on two processors."""
from machine import guest


def test_two_vcpus(boot, tap_run):
    """Ports bound to the second vcpu, moved to it and back, in both ABIs."""
    results = tap_run(boot([guest("events")], smp=2))
    assert not results.skipped
