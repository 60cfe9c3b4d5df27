# SPDX-License-Identifier: MIT
"""The machine's NMIs, sent by QEMU's monitor at any moment, while a guest runs and prints."""
import re
import socket
import threading

from machine import guest


def send_nmis(path, stop):
    """A thousand a second until told to stop."""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(path))
        while not stop.wait(0.001):
            monitor.sendall(b"nmi\n")
            monitor.recv(65536)


def test_nmis(boot, tap_run, tmp_path):
    """The guest's segments stay its own, and the console goes on; the NMIs are told of.

    One instruction a translated block: an NMI is taken between any two, as on a processor.
    """
    path, stop = tmp_path / "monitor", threading.Event()
    m = boot([guest("nmi")],
             extra=["-singlestep", "-monitor", f"unix:{path},server,nowait"])
    m.expect("# begin")
    sender = threading.Thread(target=send_nmis, args=(path, stop))
    sender.start()
    try:
        results = tap_run(m, timeout=60)
    finally:
        stop.set()
        sender.join()
    assert len(results.passed) == 3
    told = re.findall(r"NMIs that nobody waited for: (\d+)", m.transcript)
    assert sum(int(n) for n in told) > 100
