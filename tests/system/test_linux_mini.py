# SPDX-License-Identifier: MIT
"""Mini-Linux (pv-guest/linux) as the initial domain, and the same kernel on the bare machine.

`make mini-linux` builds it. What its programs print is in pv-guest/linux/initramfs and programs.
"""
import os
import re
import subprocess

import pytest

from dom0 import DOM0, attach, leave
from machine import BUILD, SCALE, TOP, guest, ramdisk

MINI = BUILD / "mini-linux"
PROMPT = "mini-linux# "
CMDLINE = "console=com1 loglvl=warning dom0_mem=96M"
# Ctrl-A three times: QEMU's terminal and run-bochs send one for two typed.
SWITCH = "\x01" * 6
STRESS_SECONDS = int(os.environ.get("STRESS_SECONDS", "120"))
TROUBLE = re.compile(r"BUG:|WARNING: CPU|cut here|Oops|Call Trace|rcu: INFO|soft lockup|Unknown hypercall")


def modules(words="", kernel="vmlinux"):
    """The kernel and its initramfs as multiboot modules."""
    assert (MINI / kernel).exists(), "mini-Linux is not built: make mini-linux"
    return [f"{MINI}/{kernel} console=hvc0 {words}".strip(), f"{MINI}/initramfs.cpio.gz"]


@pytest.fixture
def linux(boot):
    """A function that boots mini-Linux on Ringlet with words for Linux."""

    def start(words="", vcpus=1, kernel="vmlinux", **options):
        cmdline = f"{CMDLINE} dom0_max_vcpus={vcpus}"
        if vcpus > 1:
            options.setdefault("extra", ["-smp", str(vcpus)])
        return boot(modules(words, kernel), cmdline=options.pop("cmdline", cmdline), **options)

    return start


def sound(m):
    """Nothing in what the console said so far is a kernel's complaint."""
    found = TROUBLE.search(m.transcript)
    assert not found, m.transcript[max(0, found.start() - 200):found.end() + 1500]


def audit(m):
    """The hypervisor's audit of its frame table finds nothing."""
    m.send(SWITCH)
    m.expect("input goes to the hypervisor")
    m.send("a")
    m.expect(r"(\d+) differences")
    assert m.process.match.group(1) == b"0", m.before[-1500:]
    m.send(SWITCH)
    m.expect("input goes to the initial domain")


def native(words):
    """What the same kernel prints on QEMU's machine itself; words must end the run."""
    result = subprocess.run(
        ["timeout", str(int(240 * SCALE)), "tools/run-qemu", "-kernel", str(MINI / "bzImage"),
         "-initrd", str(MINI / "initramfs.cpio.gz"), "-append", f"console=ttyS0 quiet {words}"],
        cwd=TOP, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return result.stdout.decode("latin-1").replace("\r", "")


def answers(text):
    """The lines of the workload with known answers."""
    return re.findall(r"^(ANSWERS? .*)$", text.replace("\r", ""), re.MULTILINE)


@pytest.mark.parametrize("emulator", ["qemu", "qemu-iso", "bochs"])
def test_session(linux, emulator):
    """A shell, typed at: processes, pipes, jobs, signals; the programs' checks; power-off."""
    m = linux(emulator=emulator, limit=900)
    m.expect(re.escape(PROMPT), timeout=300)

    def run(command, answer):
        assert answer in m.command(command, PROMPT, timeout=120), command

    # The shell would break a longer line in two as it echoes it.
    run("stty columns 200", "")
    run("uname -rm", "6.1.")
    run("cat /sys/hypervisor/type", "xen")
    run("seq 1 500 | sort -rn | head -n 3 | tr '\\n' ,", "500,499,498,")
    # Killed too early it would still be the shell, which ignores that signal.
    run("sleep 100 & sleep 1; kill %1; wait %1; echo status $?", "status 143")
    run("i=0; while [ $i -lt 30 ]; do i=$((i+1)); sh -c :; done; echo $i done", "30 done")
    run("dd if=/dev/urandom of=/tmp/f bs=64k count=16 2>/dev/null; gzip /tmp/f;"
        " gunzip -t /tmp/f.gz && echo intact", "intact")
    m.sendline("sh -c 'echo as''leep; exec sleep 1000'")
    m.expect("asleep")
    m.send("\x03")
    m.expect(re.escape(PROMPT))
    run("check", "CHECKS 17 passed, 0 failed")
    run("rings", "ring 3")
    sound(m)
    audit(m)
    m.sendline("poweroff -f")
    m.expect("initial domain powered off")
    m.wait_end()


@pytest.mark.parametrize("vcpus, kernel", [(1, "vmlinux"), (4, "bzImage")])
def test_known_answers(linux, vcpus, kernel):
    """The workload's answers are the same natively and as a guest, byte for byte.

    Of the bzImage the very file that ran natively is the guest.
    """
    right = answers(native("answers poweroff"))
    assert right[-1] == "ANSWERS DONE" and len(right) == 19
    m = linux("answers check poweroff", vcpus=vcpus, kernel=kernel)
    m.expect("ANSWERS DONE", timeout=200)
    assert answers(m.transcript) == right
    m.expect(r"CHECKS (\d+ passed, \d+ failed)", timeout=200)
    # One of them needs a second CPU.
    assert m.process.match.group(1) == b"%d passed, 0 failed" % (17 + (vcpus > 1)), m.before
    m.wait_end(timeout=60)
    sound(m)


def test_four_in_bochs(linux):
    """The programs' checks with four vcpus on four processors, where segment limits hold."""
    m = linux("check poweroff", vcpus=4, emulator="bochs", smp=4, limit=900)
    m.expect(r"CHECKS (\d+ passed, \d+ failed)", timeout=600)
    assert m.process.match.group(1) == b"18 passed, 0 failed", m.before
    m.expect("initial domain powered off")
    m.wait_end()
    sound(m)


def test_make_linux():
    """`make linux` boots a person's own kernel, with four vcpus on four processors."""
    result = subprocess.run(
        ["timeout", str(int(240 * SCALE)), "make", "--no-print-directory", "linux",
         f"KERNEL={MINI}/bzImage", f"INITRD={MINI}/initramfs.cpio.gz", "ARGS=check poweroff",
         "SMP=4", "XENARGS=console=com1 dom0_mem=96M dom0_max_vcpus=4"],
        cwd=TOP, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    said = result.stdout.decode("latin-1")
    assert "CHECKS 18 passed, 0 failed" in said, said[-1500:]
    assert "initial domain powered off" in said and result.returncode == 0, said[-1500:]


@pytest.mark.parametrize("mib, low", [(1024, 400), (3000, 900)])
def test_high_memory(linux, mib, low):
    """A domain with memory beyond Linux's direct map: all of it usable, given back and taken again.

    High memory has no mapping to update: neither when Linux moves the frames that lie in holes of
    the machine's memory map, nor when it balloons, nor when vmalloc() gives it to an LDT.
    """
    m = linux("segments", mem=mib + 300, limit=900,
              cmdline=f"console=com1 loglvl=warning dom0_mem={mib}M,max:{mib}M")
    m.expect(r"SEGMENTS \d+ refused, 0 accepted, 0 wrong", timeout=300)
    m.expect(re.escape(PROMPT))
    m.sendline(f"balloon {low}")
    m.expect(r"BALLOON ([^\r\n]*MiB)", timeout=700)
    assert m.process.match.group(1) == b"%d, %d, %d MiB" % (mib, low, mib), m.before[-1500:]
    assert len(re.findall(r"FILL \d+ MiB right", m.transcript)) == 3, m.before[-1500:]
    m.expect(re.escape(PROMPT))
    sound(m)
    audit(m)
    m.sendline("poweroff -f")
    m.expect("initial domain powered off")
    m.wait_end()


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_segments(linux, emulator):
    """Linux gives EINVAL, and goes on, for segments that would reach the hypervisor.

    Natively it takes them all: 7 in the LDT and 6 for thread-local storage.
    """
    assert "SEGMENTS 0 refused, 13 accepted, 0 wrong" in native("segments poweroff")
    m = linux("segments poweroff", emulator=emulator, limit=900)
    m.expect(r"SEGMENTS ([^\r\n]*wrong)", timeout=300)
    assert m.process.match.group(1) == b"13 refused, 0 accepted, 0 wrong", m.transcript[-1500:]
    m.expect("initial domain powered off", timeout=60)
    m.wait_end()
    sound(m)


def test_beside_the_control_domain(boot, tmp_path):
    """As an ordinary domain Linux resumes without a complaint, reboots and shuts down when asked."""
    (tmp_path / "initrd").write_bytes((MINI / "initramfs.cpio.gz").read_bytes())
    disk = ramdisk("linux", MINI / "vmlinux", tmp_path / "initrd",
                   "lin.cfg:kernel=vmlinux;ramdisk=initrd;memory=128;cmdline=console=hvc0;autostart=yes")
    m = boot([guest("dom0"), disk], cmdline="console=com1 loglvl=warning dom0_mem=64M", limit=600)

    def ask(command, answer):
        m.sendline(f"{command} lin")
        m.expect(answer, timeout=60)
        m.expect(DOM0)

    m.expect(r"lin: domain \d+")
    m.expect(DOM0)
    m.sendline("console lin")
    m.expect(re.escape(PROMPT), timeout=200)
    leave(m)
    ask("suspend", r"lin: domain \d+ suspended")
    ask("resume", "lin: resumed")
    attach(m, "lin", PROMPT)
    assert "6.1." in m.command("uname -r", PROMPT, timeout=60)
    leave(m)
    ask("reboot", r"lin: domain \d+ rebooted")
    m.expect(r"lin: domain \d+,")
    m.sendline("console lin")
    m.expect(re.escape(PROMPT), timeout=200)
    leave(m)
    ask("shutdown", r"lin: domain \d+ powered off")
    sound(m)


@pytest.mark.parametrize("emulator", ["qemu", "bochs"])
def test_reboot(linux, emulator):
    """A reboot that Linux asks for resets the machine: QEMU ends there, in Bochs all comes up anew."""
    m = linux("reboot", emulator=emulator)
    m.expect("initial domain rebooted", timeout=300)
    if emulator == "qemu":
        m.wait_end()
    else:
        m.expect(r"mini-Linux 6\.1")
    sound(m)


@pytest.mark.parametrize("vcpus", [1, 4])
def test_stress(linux, vcpus):
    """Everything at once, then the audit of the frame table; no complaint, no lost second."""
    seconds = STRESS_SECONDS // 2
    m = linux(f"stress={seconds}", vcpus=vcpus, limit=seconds * 4 + 700)
    m.expect(r"STRESS (\d+) rounds, (\d+) wrong, (\d+) seconds", timeout=seconds * 3 + 500)
    rounds, wrong, took = (int(n) for n in m.process.match.groups())
    assert rounds > 0 and wrong == 0 and took >= seconds, m.before[-1500:]
    m.expect(re.escape(PROMPT))
    audit(m)
    sound(m)
    m.sendline("poweroff -f")
    m.wait_end()
