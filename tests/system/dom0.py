# SPDX-License-Identifier: MIT
"""What tests do at the control domain's prompt."""
import re

DOM0 = "dom0> "
LEAVE = "\x1d"  # a guest's console is left by Ctrl-]


def attach(m, name, prompt):
    """Attaches to a guest's console and gets a fresh prompt there."""
    m.sendline(f"console {name}")
    m.expect(r"Ctrl-\] leaves")
    m.sendline()
    m.expect(re.escape(prompt))


def leave(m):
    """Back to the control domain's prompt."""
    m.send(LEAVE)
    m.expect(r"\[\w+: left\]")
    m.expect(DOM0)


def state(m, name):
    """A guest's state, as `list` has it."""
    listing = m.command("list", DOM0)
    row = re.search(rf"^ *(?:\d+|-) +{name} +\d+ +(.*?)(?: +\d+\.\d s)? *$", listing, re.MULTILINE)
    assert row, f"list does not show {name}:\n{listing}"
    return row.group(1)
