# SPDX-License-Identifier: MIT
"""A machine that boots Ringlet, and what a test does with its serial console.

    with Machine("shutdown", modules=[guest("toy")], emulator="bochs") as m:
        m.expect("toy> ")
        m.sendline("halt")
        m.wait_end()

An emulator runs under `timeout`, so that it ends even if the test is killed; leaving the `with`
block ends it too. Everything the console printed is kept in build/test-logs/NAME.log.

Read next: tap.py, which reads a test guest's results from the console; conftest.py, where tests
get the emulator to use.
"""
import os
import pathlib
import re
import shutil
import subprocess

import pexpect

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = TOP / "build"
LOGS = BUILD / "test-logs"

# QEMU -kernel, QEMU from the ISO through GRUB, Bochs from the ISO through GRUB.
EMULATORS = ("qemu", "qemu-iso", "bochs")

# Seconds to wait for one expected string, and for a whole run. Bochs interprets every instruction.
WAIT = {"qemu": 40, "qemu-iso": 40, "bochs": 120}
LIMIT = {"qemu": 240, "qemu-iso": 240, "bochs": 600}
SCALE = float(os.environ.get("TEST_TIMEOUT_SCALE", "1"))

# TEST_KERNEL puts another hypervisor under the same tests, TEST_CMDLINE adds words for it: what a
# real Xen answers is the standard. guest_audit lets domains ask for the audit. TEST_QEMU adds options for QEMU: "-smp 4" has all tests but those
# that count instructions run on a machine with four processors. See docs/testing.md.
CMDLINE = "console=com1 dom0_mem=64M guest_audit" + os.environ.get("TEST_CMDLINE", "")

# A panic ends a test early; the lines behind it go into the report.
PANIC = rb"\n(?:\(XEN\) )?Panic: "

# What terminals want and readers do not.
NOISE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\0")


# What the hypervisor says last before it ends the machine. A real Xen has its own words.
LAST_LINE = None if "TEST_KERNEL" in os.environ else \
    r": (powering off|rebooting) the machine"


def guest_sources(pattern="*"):
    """The main.c of each test guest with such a name: in a group of tests/guests or beside them."""
    mains = [*(TOP / "tests/guests").glob(f"*/{pattern}/main.c"),
             *(TOP / "tests/guests").glob(f"{pattern}/main.c")]
    return {main.parent.name: main for main in sorted(mains, key=lambda main: main.parent.name)}


def guest(name, words=""):
    """The module string of a guest that the Makefile built."""
    return f"{BUILD}/guests/{name}.elf {words}".strip()


def dom0_modules(words=""):
    """The modules of the control domain with its usual ramdisk."""
    return [guest("dom0", words), str(BUILD / "dom0.cpio")]


def ramdisk(name, *files):
    """Makes a ramdisk for the control domain of other guests: files as pv-guest/dom0/pack has them.

    The module string, to go behind guest("dom0").
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    out = LOGS / f"{name}.cpio"
    subprocess.run([str(TOP / "pv-guest/dom0/pack"), str(out)] + [str(f) for f in files],
                   check=True, cwd=TOP)
    return str(out)


class Machine:
    """One run of an emulator, its serial console driven by pexpect."""

    def __init__(self, name, modules, cmdline=CMDLINE, emulator="qemu", mem=512, cpu=None,
                 icount=None, smp=None, extra=(), limit=None, kernel=None, panics=False, qemu=None):
        """Starts it.

        modules: multiboot modules, each a file name with the words of its command line behind it.
        mem: MiB; cpu: a QEMU or Bochs processor model; icount: QEMU's -icount value; smp: processors.
        qemu: another emulator than qemu-system-i386. extra: further QEMU options. panics: the test means the hypervisor to panic.
        limit: seconds after which the run is ended by force.
        """
        LOGS.mkdir(parents=True, exist_ok=True)
        for module in modules:
            assert pathlib.Path(module.split()[0]).exists(), f"{module.split()[0]} is not built: make all"
        self.name = name
        self.emulator = emulator
        self.kernel = str(kernel or os.environ.get("TEST_KERNEL") or BUILD / "ringlet.elf")
        self.panic = [] if panics else [PANIC]
        self.iso = None
        self.wait = WAIT[emulator] * SCALE
        if emulator == "qemu":
            command = self._qemu_kernel(modules, cmdline)
        else:
            self.iso = self._make_iso(modules, cmdline)
            command = self._qemu_iso() if emulator == "qemu-iso" else self._bochs(mem, cpu, smp)
        if emulator != "bochs":
            # A test's own options go last: they win. QEMU starves processors that count instructions.
            more = "" if icount else os.environ.get("TEST_QEMU", "")
            command += ["-m", str(mem)] + more.split() + list(extra)
            command += ["-cpu", cpu] if cpu else []
            command += ["-icount", icount] if icount else []
            command += ["-smp", str(smp)] if smp else []
        limit = int((limit or LIMIT[emulator]) * SCALE)
        self.log = open(LOGS / f"{name}.log", "wb")
        self.log.write((" ".join(command) + "\n\n").encode())
        environment = dict(os.environ, QEMU=qemu) if qemu else None
        self.process = pexpect.spawn("timeout", ["--foreground", "-k", "5", str(limit)] + command,
                                     timeout=self.wait, cwd=str(TOP), env=environment, echo=False)
        self.process.logfile_read = self.log
        self.process.delaybeforesend = 0.02
        self.transcript = ""

    def _qemu_base(self):
        return ["tools/run-qemu", "-monitor", "none"]

    def _qemu_kernel(self, modules, cmdline):
        command = self._qemu_base() + ["-kernel", self.kernel, "-append", cmdline]
        if modules:
            # A comma separates modules; one that belongs to a module's words is doubled.
            command += ["-initrd", ",".join(m.replace(",", ",,") for m in modules)]
        return command

    def _make_iso(self, modules, cmdline):
        iso = LOGS / f"{self.name}.iso"
        subprocess.run([str(TOP / "tools/mkiso"), str(iso), self.kernel,
                        "--entry", self.name, cmdline] + list(modules), check=True, cwd=TOP)
        return iso

    def _qemu_iso(self):
        return self._qemu_base() + ["-cdrom", str(self.iso), "-boot", "d"]

    def _bochs(self, mem, cpu, smp):
        command = ["tools/run-bochs", "--mem", str(mem), "--log", str(LOGS / f"{self.name}.bochs")]
        command += ["--cpu", cpu] if cpu else []
        command += ["--smp", str(smp)] if smp else []
        return command + [str(self.iso)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends the emulator, if it runs still, and removes the ISO."""
        self.process.close(force=True)
        self.log.close()
        if self.iso:
            self.iso.unlink(missing_ok=True)

    def _note(self):
        """Adds what the last expect consumed to the transcript."""
        for part in (self.process.before, self.process.after):
            if isinstance(part, bytes):
                self.transcript += NOISE.sub("", part.decode("latin-1"))

    def _fail(self, what):
        """Raises, with the console's last words."""
        tail = NOISE.sub("", (self.process.before or b"").decode("latin-1"))[-2500:]
        raise AssertionError(f"{self.name}: {what}; the console's last words:\n{tail}") from None

    def _await(self, patterns, timeout):
        """pexpect's expect, which a panic of the hypervisor ends at once."""
        try:
            index = self.process.expect(patterns + self.panic, timeout=timeout)
        except pexpect.TIMEOUT:
            self._fail(f"waited {timeout:.0f} s for {patterns}")
        except pexpect.EOF:
            self._fail(f"the machine ended before {patterns}")
        if index == len(patterns):
            self.process.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=2 * SCALE)
            self._fail(f"the hypervisor panicked: {self.process.before.decode('latin-1')[:100]}")
        self._note()
        return index

    def expect(self, pattern, timeout=None):
        """Waits for a regular expression, or the first of several; its index.

        What the console printed since the last expect, up to and with the match, is in .before
        and .after, without terminal escapes.
        """
        patterns = [pattern] if isinstance(pattern, str) else list(pattern)
        return self._await([p.encode("latin-1") for p in patterns],
                           timeout * SCALE if timeout else self.wait)

    @property
    def before(self):
        """The text in front of the last match."""
        return NOISE.sub("", self.process.before.decode("latin-1"))

    @property
    def after(self):
        """The text that matched last."""
        return NOISE.sub("", self.process.after.decode("latin-1"))

    def send(self, text):
        """Types text as it is."""
        self.process.send(text.encode("latin-1"))

    def sendline(self, text=""):
        """Types text and Enter."""
        self.send(text + "\r")

    def command(self, text, prompt, timeout=None):
        """Types a command at a prompt, waits for the next prompt; what was printed between."""
        self.sendline(text)
        # The echo comes first: without waiting for it, a prompt that stood there already matches.
        # GRUB moves the cursor before each character it echoes.
        self.expect(r"(?:\x1b\[[0-9;]*H)*".join(re.escape(c) for c in text), timeout)
        self.expect(re.escape(prompt), timeout)
        return self.before

    def wait_end(self, timeout=None, last=LAST_LINE):
        """Waits until the machine switches itself off or resets; the emulator's exit status.

        The emulator ends with 0 as well where a triple fault reset the machine: so the last line
        printed must be `last`, what the hypervisor says before it ends the machine.
        """
        self._await([pexpect.EOF], timeout * SCALE if timeout else self.wait)
        self.process.close()
        lines = [line for line in self.transcript.splitlines() if line.strip()]
        if last and not (lines and re.search(last, lines[-1])):
            raise AssertionError(f"{self.name}: the machine ended without a word, behind\n" +
                                 "\n".join(lines[-10:]))
        return self.process.exitstatus


def have(emulator):
    """Whether an emulator is installed."""
    return shutil.which("bochs-bin" if emulator == "bochs" else "qemu-system-i386") is not None
