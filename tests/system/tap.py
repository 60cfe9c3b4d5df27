# SPDX-License-Identifier: MIT
"""Reads the results of a test guest from its console.

A test guest prints TAP (https://testanything.org): a plan `1..N`, then for each check a line
`ok K - what` or `not ok K - what`, with `# SKIP why` behind a check that this machine cannot make,
and `Bail out! why` when it cannot go on. Lines of the hypervisor and of other domains stand
between them.
"""
import re

# As an unprivileged domain's debug output the hypervisor prints the domain's number first.
PREFIX = r"(?:\(d\d+\) )?"
PLAN = re.compile(rf"^{PREFIX}1\.\.(\d+)\s*(#.*)?$")
LINE = re.compile(rf"^{PREFIX}(not ok|ok)\b ?(\d+)?(?: *-)? *([^#]*)(# *(?:SKIP|TODO)\b.*)?",
                  re.IGNORECASE)
BAIL = re.compile(rf"^{PREFIX}Bail out!(.*)")

# For pexpect: a whole line that ends the run early or carries a result.
STEP = r"(?m)^(?:\(d\d+\) )?((?:not ok|ok|1\.\.\d+|Bail out!)[^\r\n]*)\r*\n"


class Results:
    """What a guest reported so far."""

    def __init__(self):
        self.planned = None
        self.passed = []
        self.failed = []
        self.skipped = []
        self.bailed = None

    def add(self, line):
        """Takes one line of console output."""
        line = line.strip()
        plan, result, bail = PLAN.match(line), LINE.match(line), BAIL.match(line)
        if plan:
            self.planned = int(plan.group(1))
        elif bail:
            self.bailed = bail.group(1).strip()
        elif result:
            what = f"{result.group(2) or '?'} {result.group(3).strip()}".strip()
            if result.group(4) and result.group(1).lower() == "ok":
                self.skipped.append(what)
            elif result.group(1).lower() == "ok":
                self.passed.append(what)
            else:
                self.failed.append(what)

    @property
    def count(self):
        """Checks reported so far."""
        return len(self.passed) + len(self.failed) + len(self.skipped)

    @property
    def complete(self):
        """Whether nothing more is to come."""
        return self.bailed is not None or (self.planned is not None and self.count >= self.planned)

    def record(self, record_property):
        """What tests/run shall count; the last record of a test holds."""
        for kind in ("passed", "failed", "skipped"):
            record_property(f"tap_{kind}", len(getattr(self, kind)))

    def problem(self):
        """Why this run is not a success, or None."""
        if self.bailed is not None:
            return f"the guest gave up: {self.bailed}"
        if self.failed:
            return "failed: " + "; ".join(self.failed)
        if self.planned is None:
            return f"no plan; {self.count} checks reported"
        if self.count != self.planned:
            return f"{self.planned} checks planned, {self.count} reported"
        return None


def read(machine, timeout=None):
    """Follows a machine's console until the plan is fulfilled; the Results.

    A plan may come at the end too, as TAP allows. A machine that ends or falls silent early leaves
    the results incomplete, which problem() reports.
    """
    results = Results()
    while not results.complete:
        try:
            machine.expect(STEP, timeout)
        except AssertionError as error:
            if results.problem() is None:
                return results
            raise AssertionError(f"{results.problem()}\n{error}") from None
        results.add(machine.process.match.group(1).decode("latin-1"))
    return results
