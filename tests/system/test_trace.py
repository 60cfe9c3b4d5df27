# SPDX-License-Identifier: MIT
"""The ring trace: tools/trace runs the toy with it on; what it writes is read, and looked at.

One run serves most tests of this file (one for each worker that has some of them). tests/guests/rings/trace reads the buffer from inside.
"""
import collections
import json
import os
import re
import shutil
import subprocess
import tempfile

import pytest

from machine import BUILD, LOGS, SCALE, TOP, guest

# QUIC and the rest of what a browser does unasked would only wait for a network.
CHROMIUM = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--window-size=1500,900"]


def trace_toy(words, smp=1):
    """Runs the toy with these words; the directory with trace.json and trace.html."""
    where = LOGS / f"trace-{smp}-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    result = subprocess.run(["tools/trace", "--guest", "toy", "--words", words, "--smp", str(smp),
                             "--build", str(BUILD), "--out", str(where)], cwd=TOP, text=True,
                            capture_output=True, timeout=120 * SCALE, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"^\d+ crossings, 0 records lost", result.stdout), result.stdout
    return where


@pytest.fixture(scope="module")
def out():
    """The directory with trace.json and trace.html of a run of the toy."""
    return trace_toy("fault user cli event tick halt")


@pytest.fixture(scope="module")
def events(out):
    """The trace events."""
    return json.loads((out / "trace.json").read_text())["traceEvents"]


def spans(events, ring):
    """(name, arguments of its beginning, what ended it) of each span of a ring, in order."""
    found, begun = [], collections.defaultdict(list)
    for e in events:
        lane = (e["pid"], e.get("tid"))
        if e["ph"] == "B":
            begun[lane].append(e)
        elif e["ph"] == "E":
            begin = begun[lane].pop()
            if lane[1] % 4 == ring:
                found.append((begin["ts"], begin["name"], begin["args"], e["args"]["out"]))
    return [span[1:] for span in sorted(found, key=lambda span: span[0])]


def balanced(events):
    """Time runs one way, every beginning has its end, and no ring but 0 nests; how many times."""
    depth, times = collections.Counter(), []
    for e in events:
        if e["ph"] == "M":
            continue
        lane = (e["pid"], e["tid"])
        times.append(e["ts"])
        depth[lane] += 1 if e["ph"] == "B" else -1
        assert depth[lane] >= 0, e
        assert lane[1] % 4 == 0 or depth[lane] <= 1, e
    assert times == sorted(times)
    assert not any(depth.values()), depth
    return len(times)


def test_balance(events):
    """The machine goes from a guest to ring 0 and back: where one lane ends another begins."""
    assert balanced(events) > 300


def test_several_processors():
    """The buffers of four processors become one trace: in order, each vcpu on one of them at a time."""
    events = json.loads((trace_toy("primes primes vcpus halt", smp=4) / "trace.json").read_text())
    events = events["traceEvents"]
    balanced(events)
    names = {(e["pid"], e["tid"] // 4): set() for e in events if e["ph"] == "B"}
    cpus, at = set(), collections.defaultdict(set)
    for e in events:
        lane = (e["pid"], e.get("tid", 0) // 4)
        if e["ph"] == "B":
            cpus.add(e["args"]["cpu"])
            at[lane].add(e["args"]["cpu"])
            names[lane].add(e["name"])
    assert cpus == {0, 1, 2, 3}
    for vcpu in range(1, 4):
        assert {"sched_op: poll", "event_channel_op: send", "kernel"} <= names[0, vcpu], names
    idle = {lane[1]: at[lane] for lane in at if lane[0] == 0x7fff}
    assert all(seen == {cpu} for cpu, seen in idle.items()) and len(idle) >= 3, idle
    # A word from one processor to another: sent there, and then an interrupt here.
    assert any("interrupt: ipi" in n for n in names.values()), names


def test_page_fault(events):
    """The toy's `fault`: #PF from ring 1 with CR2, bounced; its handler maps a page and returns."""
    ring0 = spans(events, 0)
    at = next(i for i, (name, args, _) in enumerate(ring0)
              if name == "#PF" and args["from_ring"] == 1)
    name, args, ended = ring0[at]
    assert ended == "bounced #PF"
    assert args["error_code"] == 0 and int(args["cr2"], 16)
    assert args["cs"] == "0xe019" and args["ss"] == "0xe021"
    assert args["function"], args
    handler = [name for name, _, _ in ring0[at + 1:at + 40]]
    assert "update_va_mapping" in handler or "mmu_update" in handler, handler
    # Back with the iret hypercall, or with a plain IRET, which ring 0 does not see.
    kernel = next(args for name, args, _ in spans(events, 1) if args["why"] == "bounced #PF")
    assert kernel["function"].startswith("trap_stubs"), kernel


def test_program(events):
    """The program in ring 3: its exceptions come from ring 3, its way there is unseen."""
    from_3 = [(name, ended) for name, args, ended in spans(events, 0) if args["from_ring"] == 3]
    assert ("#PF", "bounced #PF") in from_3 and ("#GP: in", "bounced #GP") in from_3, from_3
    assert any("unseen" in args for _, args, _ in spans(events, 3))


def test_sequences(events):
    """A refused cli, an event to oneself, sleep and timer, the last hypercall."""
    ring0 = [(name, ended) for name, _, ended in spans(events, 0)]
    assert ("#GP: cli", "bounced #GP") in ring0
    cli = next(args for name, args, _ in spans(events, 0) if name == "#GP: cli")
    assert cli["function"].startswith("execute_cli") and "segments.c" in cli["source"], cli
    assert any(ended == "event upcall" for _, ended in ring0), ring0
    names = [name for name, _ in ring0]
    assert "interrupt: timer" in names and "sched_op: block" in names and "idle" in names
    assert "iret" in names
    assert [n for n in names if n not in ("idle", "interrupt: timer")][-1] == "sched_op: shutdown"


def chromium(*options):
    """Runs the browser with a profile of its own; its output."""
    browser = shutil.which("chromium")
    assert browser, "chromium is not installed: tools/install-deps test"
    with tempfile.TemporaryDirectory() as profile:
        return subprocess.run([browser, *CHROMIUM, f"--user-data-dir={profile}", *options],
                              capture_output=True, text=True, timeout=90 * SCALE, check=False)


def test_page(out):
    """The page opens in a browser, draws itself and shows a crossing with its source."""
    page = f"file://{out}/trace.html"
    assert not re.search(r"(?:src|href)=|https?://|@import|url\(", (out / "trace.html").read_text())
    dom = chromium("--dump-dom", page).stdout
    crossings = json.loads((out / "trace.json").read_text())["otherData"]["crossings"]
    assert f'data-crossings="{crossings}"' in dom, dom[-2000:]
    assert "<h3>bounced #PF</h3>" in dom
    assert re.search(r"<b>trap_stubs</b>", dom) and 'class="here"' in dom
    shot = out / "trace.png"
    shot.unlink(missing_ok=True)
    result = chromium(f"--screenshot={shot}", page)
    assert shot.exists() and shot.read_bytes()[:4] == b"\x89PNG", result.stderr
    # A page that stayed empty compresses to far less.
    assert shot.stat().st_size > 50000, shot.stat().st_size


HANDS = """<script>
const out = document.body.dataset, lanes = $("lanes"), box = lanes.getBoundingClientRect();
const press = key => document.dispatchEvent(new KeyboardEvent("keydown", { key }));
const point = (type, x, y) => lanes.dispatchEvent(new PointerEvent(type, { pointerId: 1, clientX: x, clientY: y }));
lanes.setPointerCapture = () => {};
const was = selected, width = to - from;
press("ArrowRight");
out.step = selected - was;
lanes.dispatchEvent(new WheelEvent("wheel", { deltaY: -100, clientX: box.left + 600, cancelable: true }));
out.zoomed = to - from < width;
const left = from;
point("pointerdown", box.left + 600, box.top + 60);
point("pointermove", box.left + 400, box.top + 60);
point("pointerup", box.left + 400, box.top + 60);
out.dragged = from > left && selected === was + 1;
press("e");
out.scale = even ? "crossings" : "time";
press("e");
select(0);
const first = crossings.findIndex((c, i) => i > 3 && c[KIND] === ENTER);
const s = spans.find(s => s[1] === first), r = rows[s[0]];
showAround(first, 8);
draw();
const at0 = box.left + (x(at(s[1])) + x(at(s[2]))) / 2;
point("pointerdown", at0, box.top + r.top + LANE / 2);
point("pointerup", at0, box.top + r.top + LANE / 2);
out.clicked = selected === first;
found = "#gp: cli";
search(1);
out.found = name(crossings[selected]);
press("f");
out.fitted = from <= 0 && to >= count - 1;
</script>"""


def test_hands(out):
    """Keys step and zoom, the wheel zooms, dragging moves, a click selects, the search finds."""
    page = out / "hands.html"
    page.write_text((out / "trace.html").read_text().replace("</body>", HANDS + "</body>"))
    body = re.search(r"<body[^>]*>", chromium("--dump-dom", f"file://{page}").stdout)[0]
    for sign in ('step="1"', 'zoomed="true"', 'dragged="true"', 'scale="time"', 'clicked="true"',
                 'found="#GP: cli"', 'fitted="true"'):
        assert f"data-{sign}" in body, body


def test_key(boot):
    """The console's key T starts the trace, and stops it and prints its newest records."""
    m = boot([guest("toy")])
    m.expect("toy> ")
    m.send("\x01" * 6)
    m.expect("goes to the hypervisor")
    m.send("T")
    m.expect("trace on: 64 pages a CPU")
    m.send("T")
    m.expect(r"trace off: CPU 0 has [1-9]\d* bytes, lost 0 records")
    m.expect(r"\d+ (?:enter|leave|switch) d\d+v0 ring \d, \w+, \w{4}:\w{8}")
