# SPDX-License-Identifier: MIT
"""`make walk`: the tags in the source make a whole document, and tools/walk tells when not."""
import re
import subprocess

import pytest

from machine import TOP


def walk(*options):
    """One run of tools/walk."""
    return subprocess.run(["tools/walk", *options], cwd=TOP, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False, timeout=60)


def test_whole():
    """Sixteen stops in order, each with code, loss and test."""
    out = walk()
    assert out.returncode == 0, out.stderr
    numbers = [int(n) for n in re.findall(r"^## (\d+)\. ", out.stdout, re.M)]
    assert numbers == list(range(1, 17))
    sections = re.split(r"^## \d+\. ", out.stdout, flags=re.M)[1:]
    for section in sections:
        title = section.splitlines()[0]
        code = re.search(r"^```(?:c|asm)\n(.*?)^```", section, re.M | re.S)
        assert code and len(code.group(1).splitlines()) > 3, title
        assert "walk " not in code.group(1), title
        assert "**Without it:** " in section and "**Shown by:** `tests/" in section, title


def test_make_walk():
    """The target prints the same."""
    out = subprocess.run(["make", "-s", "walk"], cwd=TOP, stdout=subprocess.PIPE, text=True,
                         check=True, timeout=60)
    assert out.stdout == walk().stdout


def test_the_code_is_what_is_told():
    """What each stop is about stands in its code."""
    sections = re.split(r"^## \d+\. ", walk().stdout, flags=re.M)[1:]
    wanted = ["FLAT_RING|HYPERVISOR_CS", "FIRST_RESERVED_SELECTOR", "flat_segment", "DESC_DPL",
              "GUEST_SEGMENT_END", "L2_FIRST_HYPERVISOR_SLOT", "ring1_read_faults", "esp0",
              r"GATE_DPL\(1\)", "hypercall_entry", "kernel_sp", "TI_GET_DPL", "set_gate",
              r"\biret$", "EFLAGS_IF", '"cli"']
    for section, pattern in zip(sections, wanted, strict=True):
        code = re.search(r"^```(?:c|asm)\n(.*?)^```", section, re.M | re.S).group(1)
        assert re.search(pattern, code, re.M), f"{section.splitlines()[0]}: no {pattern}"


TAG = """/* walk.c */
/*
 * walk {number}: {title}
 *
 * Claim: it is
 * so.
 * Without it: nothing works.
 * Shown by: {test}
 */
int f(void)
{{
    return {number};
}}

int g;
"""
GOOD = {"number": "01", "title": "One", "test": "tests/t.py::test_it, tests/t.c::test_c"}


@pytest.fixture
def tree(tmp_path):
    """A small tree to break."""
    (tmp_path / "xen").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/t.py").write_text("def test_it(boot):\n    pass\n")
    (tmp_path / "tests/t.c").write_text("static void test_c(void)\n{\n}\n")
    (tmp_path / "xen/a.c").write_text(TAG.format(**GOOD))
    return tmp_path


def test_small_tree(tree):
    """A good tree: the claim in one paragraph, the whole function, and no more."""
    out = walk("--root", str(tree))
    assert out.returncode == 0, out.stderr
    assert "it is so." in out.stdout and "return 01;\n}\n```" in out.stdout
    assert "int g" not in out.stdout and "`xen/a.c:10`" in out.stdout
    (tree / "xen/b.c").write_text(TAG.format(**{**GOOD, "number": "02"}))
    out = walk("--root", str(tree), "--check")
    assert (out.returncode, out.stdout, out.stderr) == (0, "", "")


@pytest.mark.parametrize("changed,complaint", [
    ({"number": "01"}, r"walk 01 is at xen/a.c:2 too"),
    ({"number": "03"}, r"walk 03 comes after 01"),
    ({"number": "02", "test": "tests/t.py::test_other"}, r"no test tests/t.py::test_other"),
    ({"number": "02", "test": "tests/none.py::test_it"}, r"no test tests/none.py::test_it"),
    ({"number": "02", "test": ""}, r"walk 02 has no `Shown by:`"),
])
def test_broken_tags(tree, changed, complaint):
    """A second file whose tag is wrong: exit status 1 and a line that says where."""
    (tree / "xen/b.c").write_text(TAG.format(**{**GOOD, **changed}))
    out = walk("--root", str(tree), "--check")
    assert re.search(rf"^walk: xen/b.c:2: .*{complaint}|{complaint}$", out.stderr, re.M), out.stderr
    assert out.returncode == 1


def test_no_claim_no_code_no_tag(tree):
    """Fields that are missing, a tag before nothing, a comment that only looks like a tag."""
    (tree / "xen/b.c").write_text("/*\n * walk 02: Two\n *\n * Claim: yes.\n */\n")
    (tree / "xen/c.c").write_text("/* walk 03: three */\nint h;\n")
    out = walk("--root", str(tree), "--check")
    for complaint in ("walk 02 has no `Without it:`", "walk 02 has no `Shown by:`",
                      "walk 02 stands before no code", "xen/c.c: a `walk NN:` that is no tag"):
        assert complaint in out.stderr, out.stderr
    assert out.returncode == 1
