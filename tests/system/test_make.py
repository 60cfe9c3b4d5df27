# SPDX-License-Identifier: MIT
"""What a new hand types first: make targets with a guest of one's own, and single tests."""
import os
import re
import shutil
import subprocess

import pytest

from debuggers import has, talk
from machine import BUILD, TOP

OWN = """/* SPDX-License-Identifier: MIT */
/* A guest that test_make.py wrote, and removes. */
#include <stdio.h>

int main(void)
{
    printf("hello from a guest of one's own\\n");
    return 0;
}
"""


@pytest.fixture(params=[".", "life"])
def own_guest(request):
    """The name of a guest that has a folder, beside the groups or in one, and has not been built."""
    name = f"own-{os.getpid()}"
    folder = TOP / "tests/guests" / request.param / name
    folder.mkdir()
    (folder / "main.c").write_text(OWN)
    yield name
    shutil.rmtree(folder)
    shutil.rmtree(BUILD / "guests" / name, ignore_errors=True)
    for suffix in (".elf", ".sym"):
        (BUILD / "guests" / (name + suffix)).unlink(missing_ok=True)


def make(*words):
    """Runs make without a terminal; its status and what it printed.

    As from a shell: `make test` is no make above this one, which would add to what it prints.
    """
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(["make", *words], cwd=TOP, stdin=subprocess.DEVNULL, text=True,
                          env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    return done.returncode, done.stdout


def test_own_guest(own_guest):
    """`make run GUEST=NAME` builds and boots a folder that was just made."""
    out = talk("run", [f"GUEST={own_guest}"], "never typed", [])
    has(out, rf"LD +build/guests/{own_guest}\.elf", r"hello from a guest of one's own",
        r"initial domain powered off")


@pytest.mark.parametrize("target", ["run", "gdb", "bochs-debug", "trace"])
def test_unknown_guest(target):
    """A guest that is not there is named, and where it was looked for; no traceback."""
    status, out = make(target, "GUEST=nobody")
    assert status != 0
    assert re.match(r"GUEST=nobody: there is no main.c in pv-guest/nobody/, tests/guests/nobody/ "
                    r"or tests/guests/\*/nobody/\n"
                    r"make: \*\*\*.*\n$", out), out
    if target != "run":
        assert "GUEST=linux: there is no main.c" in make(target, "GUEST=linux")[1]


def test_single_test_builds_its_guest(own_guest):
    """A test run by itself builds guests that are missing: `make run` alone builds but a few."""
    subprocess.run(["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "--collect-only",
                    "-q", "tests/system/test_make.py"], cwd=TOP, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, check=False)
    assert (BUILD / "guests" / f"{own_guest}.elf").exists()
