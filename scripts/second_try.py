#!/usr/bin/env python3
"""Run a make target of tests, and the tests that failed while others ran once more, alone: second_try.py make TARGET ...

A test that passes then is printed with what it hid, and recorded in .cache/second-tries. A test that is in the record already fails
the run: it needs a mend, not a third try.
"""

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

REPORT, RECORD = Path(".cache/first-try.xml"), Path(".cache/second-tries")
ALONE = "ARGS=-n 0 --lf --lfnf none"


def main(command: Sequence[str]) -> int:
    """Run the command, and again if tests failed. Return the exit code."""
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.unlink(missing_ok=True)
    first = [*command, f"ARGS=--junitxml={REPORT.absolute()}"]
    code = subprocess.run(first, check=False).returncode  # noqa: S603 - the caller's own command
    failures = read_failures(REPORT) if code and REPORT.exists() else {}
    if not failures:
        return code
    code = subprocess.run([*command, ALONE], check=False).returncode  # noqa: S603 - as above
    print(f"\nfailed at the first try of `{' '.join(command)}`:")
    for test, message in failures.items():
        print(f"  {test}: {message}")
    if code:
        return code
    known = [line for line in read_record() if line.split()[1] in failures]
    with RECORD.open("a", encoding="utf-8") as record:
        record.writelines(f"{datetime.now(UTC):%FT%TZ} {test}\n" for test in failures)
    for line in known:
        print(
            f"{RECORD}: {line}: it needed a second try then too; allowed: one, until it is mended"
        )
    return 1 if known else 0


def read_failures(report: Path) -> dict[str, str]:
    """Return the failed tests of a report in JUnit's format, each with the first line of its error."""
    failures = {}
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314 - pytest wrote it just now
        for outcome in (*case.iter("failure"), *case.iter("error")):
            name = f"{case.get('classname')}::{case.get('name')}".replace(" ", "_")
            failures[name] = (outcome.get("message") or "").partition("\n")[0]
    return failures


def read_record() -> list[str]:
    """Return the lines of the record: a time and a test."""
    return RECORD.read_text(encoding="utf-8").splitlines() if RECORD.exists() else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
