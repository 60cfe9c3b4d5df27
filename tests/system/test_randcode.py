# SPDX-License-Identifier: MIT
"""More than a million random bytes as instructions, and a neighbour that must not notice."""
import re

import pytest

from dom0 import DOM0
from test_containment import start, ticks

# Of 15 bytes each: a million in ring 3, and most of them in ring 1.
COUNT = {"qemu": 70000, "bochs": 10000}


@pytest.mark.parametrize("emulator,seed", [("qemu", 1), ("bochs", 2)])
def test_random_code(boot, ended_guest, emulator, seed):
    """An unprivileged domain with virtual IOPL 1 runs them; the ticker beside it ticks on."""
    config = f"random.cfg:kernel=randcode.elf;memory=16;" \
             f"cmdline=seed={seed} count={COUNT[emulator]} iopl=1"
    m = start(boot, f"random-{seed}", emulator, {"randcode"}, [config])
    before = ticks(m)
    assert re.search(r"random: domain \d+", m.command("create random", DOM0))
    during = ticks(m)
    assert during > before, f"the ticker stood still: {before}, then {during}"
    m.sendline()
    ended = m.expect([r"random: domain \d+ powered off", r"random: domain \d+ crashed"], timeout=300)
    assert ended == 0, "the random domain killed itself"
    ended_guest(m, "random")
    after = ticks(m)
    assert after > during, f"the ticker stood still: {during}, then {after}"
    m.sendline("shutdown")
    m.wait_end()
