# SPDX-License-Identifier: MIT
"""The hypervisor's console: keys, who gets what is typed, words of the command line, the panic."""
import pexpect

from machine import guest

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
            ("q", r"vcpu 0: "), ("e", r"port 1"), ("g", r"grant table"), ("m", r"frames free"),
            ("t", r"System time \d+\.\d{9} s"), ("r", r"CPU0 runs"), ("a", r": 0 differences")]:
        m.send(key)
        m.expect(answer)
    m.send("?")
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
    m.wait_end()


def test_words_nobody_knows(boot):
    """They are reported, though they stand in front of those that set the console up."""
    m = boot([guest("toy")], cmdline="nonsense com1=fast ucode=scan console=com1 dom0_mem=16M")
    m.expect(r'unknown word "nonsense"')
    m.expect(r'bad value in "com1=fast"')
    m.expect(r'unknown word "ucode=scan"')
    m.expect(r"initial domain: [^\n]*16 MiB")
    m.expect("toy> ")


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


def test_panic_reboots(boot):
    m = boot([], panics=True)
    m.expect(r"Panic: ")
    m.expect(r"Rebooting")
    m.wait_end()
