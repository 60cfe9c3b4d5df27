# SPDX-License-Identifier: MIT
"""gdb on QEMU and the debugger of Bochs, each run once with a list of commands.

Tests import the fixtures `gdb` and `rings` from here. Each is a function that runs the debugger,
named after the test in build/test-logs, and returns everything it printed. talk() types at a make
target instead.
"""
import os
import re
import signal
import subprocess

import pexpect
import pytest

import machine
from machine import BUILD, LOGS, SCALE, TOP


def has(out, *patterns):
    """Each pattern stands in the output, in this order."""
    at = 0
    for pattern in patterns:
        match = re.compile(pattern, re.MULTILINE).search(out, at)
        assert match, f"no {pattern!r} in:\n{out[at:]}"
        at = match.end()


def log_name(request):
    """Where this test's files go, without a suffix."""
    LOGS.mkdir(parents=True, exist_ok=True)
    return LOGS / re.sub(r"[^A-Za-z0-9._-]+", "-", request.node.name).strip("-")


def run_to_end(command, log, commands, limit):
    """Runs a debugger in a session of its own, which is ended when its time is up."""
    with subprocess.Popen(command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          start_new_session=True) as process:
        try:
            out, _ = process.communicate(commands, timeout=limit * SCALE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out = "(the time was up)\n" + process.communicate()[0]
    log.write_text(out)
    return out


def talk(target, words, prompt, commands):
    """Runs `make TARGET` on a terminal and types commands at its prompt; all that was printed."""
    child = pexpect.spawn("make", [target, *words], cwd=str(TOP), encoding="latin-1",
                          timeout=120 * SCALE, dimensions=(50, 160),
                          env=dict(os.environ, TERM="dumb"))
    out = ""
    try:
        for command in commands:
            child.expect_exact(prompt)
            out += child.before
            child.sendline(command)
        child.expect(pexpect.EOF)
        out += child.before
    except pexpect.TIMEOUT:
        out += f"(the time was up)\n{child.before}"
    finally:
        child.close(force=True)
    return out.replace("\r", "")


@pytest.fixture
def gdb(request):
    """run(commands, modules): gdb with Ringlet's commands, on a QEMU stopped at its reset."""

    def run(commands, modules=(), attach=True, options="", limit=60):
        name = log_name(request)
        # gdb gives QEMU a session of its own, and leaves it running when a command here fails.
        qemu = (f"QEMU_SERIAL=file:{name}.serial timeout --foreground {int(limit * SCALE)} "
                f"tools/run-qemu -monitor none -gdb stdio -S "
                f"-kernel {BUILD}/ringlet.elf -append '{machine.CMDLINE}' {options}")
        if modules:
            qemu += f" -initrd '{','.join(str(module) for module in modules)}'"
        script = name.with_suffix(".gdb")
        # Without `kill`, gdb waits five seconds for QEMU to end by itself.
        start, end = ([f"target remote | {qemu}"], ["kill"]) if attach else ([], [])
        script.write_text("\n".join(start + list(commands) + end) + "\n")
        return run_to_end(["gdb", "-nx", "-q", "-batch", "-x", "tools/gdb/ringlet.gdb", "-x",
                           str(script), f"{BUILD}/ringlet.elf"],
                          name.with_suffix(".log"), "", limit)

    return run


@pytest.fixture
def rings(request):
    """run(options, commands): tools/bochs/rings with commands on its standard input."""

    def run(*options, commands=(), limit=100):
        name = log_name(request)
        return run_to_end(["tools/bochs/rings", "--serial", f"{name}.serial", "--log",
                           f"{name}.bochs", *options],
                          name.with_suffix(".log"), "\n".join(commands) + "\n", limit)

    return run
