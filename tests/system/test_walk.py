# SPDX-License-Identifier: MIT
"""`make walk`: the tags in the source make a whole document, and tools/walk tells when not."""
import html.parser
import re
import subprocess

import pytest

from machine import BUILD, TOP


def walk(*options):
    """One run of tools/walk."""
    return subprocess.run(["tools/walk", *options], cwd=TOP, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False, timeout=60)


def test_whole():
    """At least forty stops in order, in all eight parts, each with code, loss and test."""
    out = walk()
    assert out.returncode == 0, out.stderr
    numbers = [int(n) for n in re.findall(r"^## (\d+)\. ", out.stdout, re.M)]
    assert len(numbers) >= 40 and numbers == list(range(1, len(numbers) + 1))
    parts = re.findall(r"^# Part (\d): (.*)$", out.stdout, re.M)
    path = re.findall(r"^# (\d) (.*)$", (TOP / "docs/reading-path").read_text(), re.M)
    assert parts == path and len(parts) == 8
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
    wanted = {"Ring 0 respects read-only pages": "CR0_WP",
              "Three rings for two": "FLAT_RING|HYPERVISOR_CS",
              "A selector, bit by bit": "FIRST_RESERVED_SELECTOR",
              "A descriptor: who may load it, how far it reaches": "flat_segment",
              "DPL 0 never stands": "DESC_DPL",
              "Limits are cut": "GUEST_SEGMENT_END",
              "Why paging cannot help against ring 1": "L2_FIRST_HYPERVISOR_SLOT",
              "Ask the machine, do not trust it": "ring1_read_faults",
              "The way in: a stack the guest cannot choose": "esp0",
              "The gate with DPL 1": r"GATE_DPL\(1\)",
              "A hypercall": "hypercall_entry",
              "One way into C": "SET_C_STATE",
              "The bounce frame: same ring and across rings": "kernel_sp",
              "A virtual IDT": "TI_GET_DPL",
              "A pointer of the guest's": "HYPERVISOR_START - n",
              "The one gate that passes us by": "set_gate",
              "The way out": r"\biret$",
              "IRET that ignores IF": "EFLAGS_IF",
              "A guest's cli, watched faulting": '"cli"',
              "A type changes at count zero": "tlb_flush_if_stale",
              "The end of a frame's life": "free_frames",
              "Say it, then look": "WAIT_BLOCKED",
              "A grant is read in one instant": "compare_exchange"}
    codes = {section.splitlines()[0]: re.search(r"^```(?:c|asm)\n(.*?)^```", section,
                                               re.M | re.S).group(1) for section in sections}
    for title, pattern in wanted.items():
        assert re.search(pattern, codes[title], re.M), f"{title}: no {pattern}"


class Page(html.parser.HTMLParser):
    """What the walk's page has: links, ids, highlighted words, stylesheets from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.marked, self.foreign = [], set(), 0, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get("id"))
        if tag == "a" and "href" in attrs:
            self.links.append(attrs["href"])
        self.marked += tag == "span" and attrs.get("class") in ("kw", "dt", "co")
        if tag in ("link", "script", "img"):
            self.foreign.append(tag)


def test_page():
    """build/walk.html: all stops, code highlighted, each link to a file or a place that exists."""
    page = BUILD / "walk.html"
    page.unlink(missing_ok=True)
    subprocess.run(["make", "-s", "walk"], cwd=TOP, stdout=subprocess.DEVNULL, check=True,
                   timeout=120)
    found = Page(page.read_text())
    stops = [line.split(None, 1)[0] for line in walk("--list").stdout.splitlines()]
    assert all(f"stop-{int(stop)}" in found.ids for stop in stops)
    files = {link for link in found.links if not link.startswith(("#", "https:", "http:"))}
    assert len(files) > len(stops) / 2
    for link in files:
        assert (page.parent / link).is_file(), link
    for link in set(found.links) - files:
        assert not link.startswith("#") or link[1:] in found.ids, link
    assert found.marked > 500 and not found.foreign


def test_page_without_pandoc(tmp_path):
    """The page cannot be made: one sentence that says what is missing, and exit status 1."""
    out = subprocess.run(["/usr/bin/python3", TOP / "tools/walk", "--html", tmp_path / "walk.html"],
                         env={"PATH": str(tmp_path)}, cwd=TOP, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert out.returncode == 1
    assert re.fullmatch(r"walk: .*walk\.html is not made: pandoc, .*\n", out.stderr), out.stderr


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


def test_parts(tree):
    """A stop in a file of a part, one in no part, one out of order, and a part without a stop."""
    (tree / "docs").mkdir()
    (tree / "docs/reading-path").write_text("# Files\n# 1 One\nxen/b.c\n# 2 Two\nxen/a.c\n# 3 Three\n")
    (tree / "xen/b.c").write_text(TAG.format(**{**GOOD, "number": "02"}))
    out = walk("--root", str(tree), "--check")
    for complaint in ("xen/b.c:2: walk 02, of part 1, comes after part 2", "part 3 has no stop"):
        assert complaint in out.stderr, out.stderr
    (tree / "xen/b.c").write_text(TAG.format(**{**GOOD, "number": "02"})
                                  .replace(" * Shown", " * Part: 3\n * Shown"))
    out = walk("--root", str(tree), "--check")
    assert out.stderr == "walk: docs/reading-path: part 1 has no stop\n"
    (tree / "docs/reading-path").write_text("# 1 One\nxen/a.c\n")
    out = walk("--root", str(tree), "--check")
    assert "walk 02 is in no part" in out.stderr


def test_no_claim_no_code_no_tag(tree):
    """Fields that are missing, a tag before nothing, a comment that only looks like a tag."""
    (tree / "xen/b.c").write_text("/*\n * walk 02: Two\n *\n * Claim: yes.\n */\n")
    (tree / "xen/c.c").write_text("/* walk 03: three */\nint h;\n")
    out = walk("--root", str(tree), "--check")
    for complaint in ("walk 02 has no `Without it:`", "walk 02 has no `Shown by:`",
                      "walk 02 stands before no code", "xen/c.c: a `walk NN:` that is no tag"):
        assert complaint in out.stderr, out.stderr
    assert out.returncode == 1
