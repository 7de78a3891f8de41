"""Write docs/runbook.md from the table of fault codes: `python scripts/runbook.py`."""

from pathlib import Path

from agent.control import blink
from agent.faults import FAULTS

TARGET = Path(__file__).parents[1] / "docs" / "runbook.md"

HEAD = """# Runbook

What a fault code means, and what to do at the box. The code is the same on MQTT (`up/health`,
`faults`), in the journal, on the status LED and here. This page is written from the table in
`agent/faults.py` by `make docs`; a test keeps it equal.

| Code | LED | Severity | What it means | What to do |
|---|---|---|---|---|
"""

LED = f"""
## Reading the LED

A box that is well beats: a short flash every {blink.BEAT_EVERY_S:g} s. A dark LED is a box without
power, or an agent that does not run.

A fault is counted: long blinks ({blink.LONG_S:g} s) for the family, dark for {blink.BETWEEN_S:g} s,
then short blinks ({blink.SHORT_S:g} s) for the number. Two long and one short are STO-01. Where there are
several, the worst comes first, then the next after {blink.AFTER_S:g} s of dark, each once; after the last
it is dark for {blink.AFTER_ALL_S:g} s, and begins anew.

| Long blinks | Family |
|---|---|
"""


def text() -> str:
    """The page."""
    rows = (
        f"| {code} | {blink.words(code)} | {kind.severity} | {kind.title} | {kind.advice} |\n"
        for code, kind in sorted(FAULTS.items())
    )
    families = (
        f"| {long} | {family} |\n"
        for family, long in sorted(blink.FAMILIES.items(), key=lambda item: item[1])
    )
    return HEAD + "".join(rows) + LED + "".join(families)


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
