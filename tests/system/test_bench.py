# SPDX-License-Identifier: MIT
"""What operations cost: the figures in docs/performance.md are those that are counted."""
import os
import subprocess

import pytest

from machine import TOP


@pytest.mark.skipif("TEST_KERNEL" in os.environ, reason="the figures are Ringlet's")
def test_documented_figures():
    """The column of the build that is tested is what `make bench` counts; a good run says no more."""
    done = subprocess.run(["tools/bench", "--check"], cwd=TOP, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "signal" not in done.stdout, done.stdout
    assert "round trips in a million instructions" in done.stdout
