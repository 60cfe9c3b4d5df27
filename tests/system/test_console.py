# SPDX-License-Identifier: MIT
"""The hypervisor's console: keys, who gets what is typed, words of the command line, the panic."""
import pathlib
import re
import socket
import time

import pexpect
import pytest

from debuggers import gdb, has, log_name, rings  # noqa: F401 (gdb is a fixture)
from machine import SCALE, TOP, guest

# Ctrl-A three times. The terminals of QEMU and run-bochs send one for two typed.
SWITCH = "\x01" * 6


def test_keys(boot):
    """Every key answers, the system goes on, and the input comes back to the initial domain."""
    m = boot([guest("toy")])
    m.expect("toy> ")
    m.send(SWITCH)
    m.expect(r"input goes to the hypervisor")
    for key, answer in [
            ("h", r" h  list of keys"), ("h", r" t  time"), ("d", r"CPU 0 "), ("q", r"Domain 0: alive"),
            ("q", r"vcpu 0: "), ("e", r"d0: event channels"), ("e", r"port 1"), ("g", r"grant table"), ("m", r"frames free"),
            ("t", r"System time \d+\.\d{9} s"), ("r", r"CPU0 runs"), ("a", r": 0 differences")]:
        m.send(key)
        m.expect(answer)
    m.send("?")
    m.expect(r"no key '\?'; 'h' lists the keys")
    m.send(SWITCH)
    m.expect(r"input goes to the initial domain")
    assert "rings" in m.command("help", "toy> ")
    m.sendline("halt")
    m.wait_end()


def test_switch_keys_that_switch_nothing(boot):
    """One or two Ctrl-A are for the initial domain, like every other key."""
    m = boot([guest("toy")])
    m.expect("toy> ")
    m.send("\x01" * 4)
    assert "rings" in m.command("help", "toy> ")
    m.sendline("halt")
    m.wait_end()


def test_reboot_key(boot):
    m = boot([guest("toy")])
    m.expect("toy> ")
    m.send(SWITCH + "R")
    m.wait_end(last=r"\(XEN\) Key R: rebooting the machine")


def test_words_nobody_knows(boot):
    """They are reported, though they stand in front of those that set the console up."""
    m = boot([guest("toy")], cmdline="nonsense com1=fast ucode=scan console=com1 dom0_mem=16M")
    m.expect(r'unknown word "nonsense"')
    m.expect(r'bad value in "com1=fast"')
    m.expect(r'unknown word "ucode=scan"')
    m.expect(r"initial domain: [^\n]*16 MiB")
    m.expect("toy> ")


def test_words_are_reported_once(boot):
    """In order: the banner, then what the command line has of mistakes, each once. A console that
    does not exist leaves the machine its voice."""
    m = boot([guest("toy")], cmdline="nonsense console=com3 dom0_mem=16M")
    m.expect("toy> ")
    lines = [line for line in m.before.splitlines() if "Ringlet" in line or "Command line" in line]
    assert [re.sub(r".*\(XEN\) (\S+ \S+ \S+ ?\S*).*", r"\1", line) for line in lines] == [
        "Ringlet 0.1, a Xen-compatible", 'Command line: unknown word', 'Command line: bad value'], lines


def test_nobody_reads_the_serial_line(boot):
    """Output is dropped while the other side reads nothing; then both directions work again."""
    m = boot([guest("toy")])
    m.expect("toy> ")
    asked = 120
    for _ in range(asked):
        m.sendline("help")
    time.sleep(12 * SCALE)
    shown = b""
    while not shown.endswith(b"quiet"):
        try:
            shown += m.process.read_nonblocking(65536, timeout=2 * SCALE)
        except pexpect.TIMEOUT:
            shown += b"quiet"
    assert shown.count(b"power off this domain") < asked, "nothing was dropped: it was never stuck"
    assert "power off this domain" in m.command("help", "toy> ")
    m.sendline("halt")
    m.wait_end()


def test_second_serial_line(boot, tmp_path, monkeypatch):
    """com1= with another port: output goes there, and input comes from there."""
    monkeypatch.setenv("QEMU_SERIAL", f"file:{tmp_path / 'first'}")
    m = boot([guest("toy")], cmdline="console=com1 com1=57600,8n1,0x2f8,3",
             extra=["-serial", "stdio"])
    m.expect("toy> ")
    assert "rings" in m.command("help", "toy> ")
    assert not (tmp_path / "first").read_bytes()


def test_documented_words():
    """docs/command-line.md names each word that the hypervisor knows."""
    words = re.findall(r'^    {"(\w+=?)", parse_', (TOP / "xen/cmdline.c").read_text(), re.MULTILINE)
    text = (TOP / "docs/command-line.md").read_text()
    assert len(words) > 7 and not [word for word in words if f"`{word}" not in text]


def test_initial_domain_crashes_and_stays(boot):
    """noreboot keeps the last words on the screen after a crash of the initial domain, too."""
    m = boot([guest("toy")], cmdline="console=com1 sync_console noreboot")
    m.expect("toy> ")
    m.sendline("crash")
    m.expect(r"initial domain ended \(reason 3\): halting the machine")
    assert m.process.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=2) == 1


def test_log_level(boot):
    m = boot([guest("toy")], cmdline="console=com1 loglvl=none")
    m.expect("toy> ")
    assert "TSC" not in m.before


def test_panic(boot):
    """A reason, the calls by name, and with noreboot a machine that stays as it is."""
    m = boot([], cmdline="console=com1 noreboot", panics=True)
    m.expect(r"Panic: ")
    m.expect(r"CPU 0, ")
    m.expect(r"\[[0-9a-f]{8}\] build_initial_domain\+0x")
    m.expect(r"\[[0-9a-f]{8}\] start_hypervisor\+0x")
    m.expect(r"noreboot")
    assert m.process.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=2) == 1


# What gdb does to the hypervisor at its first xen_version, and what the panic then shows.
FAULTS = {
    "set $eip = 0x10": [
        r"Panic: unexpected fault", r"CPU 0, running vcpu 0 of domain 0",
        r"eip e008:00000010  eflags \w{8}  ring 0  vector 14  error 0000",
        r"eax \w{8}  ebx \w{8}  ecx \w{8}  edx \w{8}",
        r"esi \w{8}  edi \w{8}  ebp \w{8}  esp f\w{7}",
        r"cr0 \w{8}  cr2 00000010  cr3 \w{8}  cr4 \w{8}",
        r"Code:(?: --){16} <--> --", r"Stack from f\w{7}:", r"    \[\w{8}\] hypercall\w*\+0x"],
    "set {short}$eip = 0x0b0f": [
        r"Panic: ", r"eip e008:f\w{7} .* vector 6 ", r"Code:(?: \w\w){16} <0f> 0b \w\w",
        r"    \[\w{8}\] do_xen_version\+0x0", r"    \[\w{8}\] hypercall\w*\+0x",
        r"The guest's registers:", r"eip e019:c\w{7} .* ring 1  vector 130 ",
        r"ds e021  es e021  fs e021  gs e021  ss e021"],
    # A call of bug(), as BUG_ON makes one.
    "set $ebx = 0xb1\nset $esi = 0x51\n"
    "set $eax = options.cmdline\nset $edx = 7\nset $ecx = $eax\nset $eip = bug": [
        r"Panic: console=com1 .*:7: console=com1", r"CPU 0, running vcpu 0 of domain 0",
        r"eip e008:f\w{7}  eflags \w{8}  ring 0$", r"eax \w{8}  ebx 000000b1", r"esi 00000051",
        r"cr0 \w{8}  cr2 \w{8}  cr3 \w{8}  cr4 \w{8}", r"Code:(?: \w\w){16} <\w\w>",
        r"Stack from f\w{7}:", r"    \[\w{8}\] hypercall\w*\+0x",
        r"The guest's registers:", r"eip e019:c\w{7} .* ring 1  vector 130 "],
    "set $esp = 0x10": [
        r"Panic: double fault: the stack is not to be trusted",
        r"CPU 0, running vcpu 0 of domain 0", r"eip e008:f\w{7} .* vector 8 ", r"esi .*  esp 00000010",
        r"    \[\w{8}\] do_xen_version\+0x0",
        r"The guest's registers:", r"eip e019:c\w{7} .* ring 1  vector 130 ",
        r"ds e021  es e021  fs e021  gs e021  ss e021"],
}


@pytest.mark.parametrize("deed", FAULTS)
def test_fault_in_the_hypervisor(gdb, request, deed):
    """A page fault, an undefined instruction, a lost stack: registers, code at EIP, calls by name."""
    gdb(["hbreak do_xen_version", "continue", deed, "continue"], [guest("toy")])
    serial = pathlib.Path(f"{log_name(request)}.serial").read_text(errors="replace")
    has(serial, *(rf"^\(XEN\) {line}" for line in FAULTS[deed]))


def test_panic_on_another_processor(gdb, request):
    """A fault on CPU 2 tells that CPU's registers, and the other CPUs stand still from then on."""
    out = gdb(["hbreak do_sched_op thread 3", "continue", "set $eip = 0x10", "delete",
               "hbreak machine_reboot", "continue", "thread apply all -q info symbol $pc"],
              [guest("toy", " ".join(["primes"] * 20))], options="-smp 4")
    serial = pathlib.Path(f"{log_name(request)}.serial").read_text(errors="replace")
    has(serial, r"^\(XEN\) Panic: unexpected fault", r"CPU 2, running vcpu [0-3] of domain 0",
        r"eip e008:00000010  eflags \w{8}  ring 0  vector 14  error 0000",
        r"    \[\w{8}\] hypercall\w*\+0x", r"The guest's registers:",
        r"eip e019:c\w{7} .* ring 1  vector 130 ")
    assert serial.count("Panic:") == 1
    assert len(re.findall(r"^machine_halt\b", out, re.MULTILINE)) == 3, out
    assert len(re.findall(r"^machine_reboot\b", out, re.MULTILINE)) == 1, out


def test_double_fault_in_bochs(rings, request):
    """The task gate of vector 8, by a processor that takes every step of a task switch."""
    rings("--guest", "toy", commands=['lb "do_xen_version"', "go", "set esp = 0x10", "go", "q"])
    serial = pathlib.Path(f"{log_name(request)}.serial").read_text(errors="replace")
    has(serial, *(rf"^\(XEN\) {line}" for line in FAULTS["set $esp = 0x10"]))


def test_machine_check(boot, tmp_path):
    """A broken machine ends the hypervisor with a word, not by a silent shutdown."""
    path = tmp_path / "qmp"
    m = boot([guest("toy")], cpu="core2duo", panics=True,
             extra=["-qmp", f"unix:{path},server=on,wait=off"])
    m.expect("toy> ")
    with socket.socket(socket.AF_UNIX) as qmp:
        qmp.connect(str(path))
        qmp.sendall(b'{"execute": "qmp_capabilities"} {"execute": "human-monitor-command",'
                    b' "arguments": {"command-line": "mce 0 1 0xbe00000000000000 5 0 0"}}')
        m.expect(r"Panic: machine check")
    m.expect(r"eip \w{4}:\w{8}  eflags \w{8}  ring \d  vector 18 ")


def test_panic_reboots(boot):
    m = boot([], panics=True)
    m.expect(r"Panic: ")
    m.wait_end(last=r"\(XEN\) Rebooting")
