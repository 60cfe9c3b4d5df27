# SPDX-License-Identifier: MIT
"""The labs of docs/labs: each one's solution, done by a script, shows what its answer says.

Labs 3 to 6 change the toy: docs/labs/solutions/N.patch, applied to a copy of pv-guest and built
there.
"""
import os
import re
import shutil
import subprocess

import pytest

from debuggers import gdb, has, rings  # noqa: F401 (fixtures)
from machine import BUILD, LOGS, TOP

LABS = TOP / "docs" / "labs"


@pytest.fixture
def changed_toy(request, tmp_path):
    """The toy with the solution of the lab that the test is named after; its ELF file."""
    number = request.node.name.rpartition("_")[2]
    shutil.copytree(TOP / "pv-guest", tmp_path / "pv-guest")
    for kept in ("build/cross", "build/newlib", "build/unpack", "xen/unpack"):
        (tmp_path / kept).parent.mkdir(exist_ok=True)
        (tmp_path / kept).symlink_to(TOP / kept)
    shutil.copytree(BUILD / "guests" / "lib", tmp_path / "build/guests/lib")
    subprocess.run(["git", "apply", str(LABS / "solutions" / f"{number}.patch")], check=True,
                   cwd=tmp_path, env=dict(os.environ, GIT_CEILING_DIRECTORIES=str(tmp_path)))
    made = subprocess.run(["make", "-f", "pv-guest/guest.mk", "build/guests/toy.elf"],
                          cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    assert made.returncode == 0, made.stdout
    return tmp_path / "build/guests/toy.elf"


def serial(request):
    """What the machine of this test printed on its serial port."""
    return (LOGS / f"{request.node.name}.serial").read_text(errors="replace").replace("\r", "")


def test_lab_1(gdb):
    """Selectors: the toy's own, the hypervisor's, and what the processor says to the latter."""
    out = gdb(["guest-symbols toy", "hbreak command_rings", "continue", "ring",
               "gdt 0xe019", "gdt 0xe021", "gdt 0xe008", "gdt 0xe02b"],
              [f"{BUILD}/guests/toy.elf rings"])
    has(out, r"^ring 1: e019", r"^e019 = 1110000000011 0 01  index 7171, TI 0 \(GDT\), RPL 1",
        r"DPL 1 .* type 1011  last offset f67fffff",
        r"^e021 = 1110000000100 0 01", r"DPL 1 .* type 0011  last offset f67fffff",
        r"^e008 = 1110000000001 0 00", r"DPL 0 .* last offset ffffffff",
        r"^e02b = 1110000000101 0 11", r"DPL 3 ")


def test_lab_2(rings):
    """cli: six words on the TSS's stack, four on the toy's, which has not moved otherwise."""
    out = rings("--script", "cli")
    fault = out.partition("crossing vector 13")[2].partition("crossing vector 13")[2]
    esp0 = int(re.search(r"ss0:esp0 = e010:(\w+)", fault).group(1), 16)
    entry, bounce = fault.split("ringlet> pushed 13")
    pushed = re.findall(r"pushed (\w+)  (\w+)  (\S+)", entry)
    assert [int(at, 16) for at, _, _ in pushed] == list(range(esp0 - 24, esp0, 4)), pushed
    esp = int(next(value for _, value, name in pushed if name == "esp"), 16)
    words = re.findall(r"pushed (\w+)  (\w+)  (\S+)", bounce)
    assert [int(at, 16) for at, _, _ in words] == list(range(esp - 16, esp, 4)), words
    assert [value for _, value, _ in words[:3]] == [value for _, value, _ in pushed[:3]]


def test_lab_3(rings, changed_toy, request):
    """The hypervisor's first word: #GP, until the limit of ds is widened by hand."""
    boot = ["--guest", str(changed_toy), "--words", "reach halt"]
    rings(*boot, commands=["go"])
    has(serial(request), r"ds ends at 0xf67fffff", r"^reach: fault")
    out = rings(*boot, commands=["crossing 2", "widen 0xe021 0xfffff", "go"])
    has(out, r"e020: DPL 1, data, writable, base 00000000, limit ffffffff")
    has(serial(request), r"ds ends at 0xffffffff", r"^reach: read 0x1badb002")


def test_lab_4(gdb, changed_toy, request):
    """A hypercall from ring 3: #GP, until the gate's DPL is 3."""
    modules = [f"{changed_toy} user halt"]
    gdb(["continue"], modules)
    has(serial(request), r"#GP general protection, error code 0412",
        r"int \$0x80 with eax 17: from cs 0xe02b")
    out = gdb(["hbreak hypercall_entry", "continue", "delete",
               "set var cpus[0].idt[0x82].type |= 3 << 5", "idt 0x82", "continue"], modules)
    has(out, r"82  hypercall +DPL 3, interrupt gate to e008")
    text = serial(request)
    assert "error code 0412" not in text
    version = int(re.search(r"int \$0x80 with eax (\d{3,}): from cs 0xe02b", text).group(1))
    assert version >> 16 == 4, text


def test_lab_5(gdb, changed_toy, request):
    """int $0x80 with the mask flag: the real gate leads to the hypervisor."""
    out = gdb([f"guest-symbols {changed_toy}", "hbreak *0x400000", "continue", "idt 0x80",
               "idt guest 0x80", "delete",
               "hbreak int80_entry", "continue", "x/5wx $esp", "delete",
               "hbreak syscall_stub", "continue", "ring", "vcpu",
               "delete", "continue"], [f"{changed_toy} user halt"])
    has(out, r"80  system call +DPL 3, interrupt gate to e008:\w+ <int80_entry>",
        r"80  system call +DPL 3, masks events to e019:\w+ <syscall_stub>",
        r"^0x\w+:\s+0x\w+\s+0x0000e02b\s+0x\w+\s+0x\w+\s*$", r"^0x\w+:\s+0x0000e033",
        r"^ring 1: e019:\w+ <syscall_stub>", r"upcall_mask 1")
    has(serial(request), r"hello from ring 3", r"The program is over")


def test_lab_6(gdb, changed_toy, request):
    """A handler's IRET with IF clear changes nothing; the hypercall sets the event mask."""
    gdb(["continue"], [f"{changed_toy} iflag halt"])
    has(serial(request), r"after iret: IF 1, event mask 0",
        r"after the iret hypercall: IF 1, event mask 1")


def test_every_lab_is_told():
    """Six documents, each with question, what to do and an answer; each patch is mentioned."""
    texts = {path.name: path.read_text() for path in LABS.glob("[1-6]-*.md")}
    assert len(texts) == 6
    for name, text in texts.items():
        for heading in ("## Question", "## Do", "## Answer"):
            assert heading in text, f"{name} has no {heading}"
        assert f"test_lab_{name[0]}" in text, f"{name} does not name its test"
        patch = LABS / "solutions" / f"{name[0]}.patch"
        assert patch.exists() == (f"solutions/{name[0]}.patch" in text), name
