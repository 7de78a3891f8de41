"""Write docs/runbook.md from the table of fault codes: `python scripts/runbook.py`."""

from pathlib import Path

from agent.faults import FAULTS

TARGET = Path(__file__).parents[1] / "docs" / "runbook.md"

HEAD = """# Runbook

What a fault code means, and what to do at the box. The code is the same on MQTT (`up/health`,
`faults`), in the journal and here. This page is written from the table in `agent/faults.py` by
`make docs`; a test keeps it equal.

| Code | Severity | What it means | What to do |
|---|---|---|---|
"""


def text() -> str:
    """The page."""
    rows = (
        f"| {code} | {kind.severity} | {kind.title} | {kind.advice} |\n"
        for code, kind in sorted(FAULTS.items())
    )
    return HEAD + "".join(rows)


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
