"""The table of docs/pole-page-acts.md, from the declarations of the acts: `python -m scripts.act_table`."""

import re
from pathlib import Path

from agent.console.acts.act import Need
from agent.console.acts.act_table import ACTS

PAGE_FILE = Path(__file__).parents[1] / "docs" / "pole-page-acts.md"
TABLE_HEAD = "| Act | Does | At the console | Needs | Receipt |\n|---|---|---|---|---|\n"
_NEEDS: dict[Need, str] = {"agent": "the agent", "box": "", "root": "root's unit"}
_FIELD_PATTERN = re.compile(r"\{(?:args|call)\.(?:\w+\.)*(\w+)\}")


def render_table() -> str:
    """Render a row for each act, in the order of the declarations."""
    rows = (
        f"| `{act.name}` | {act.summary} | {_code(*act.typed.split(', '))} | {_NEEDS[act.needs]} "
        f"| {_code(_FIELD_PATTERN.sub(_placeholder, act.receipt))} |\n"
        for act in ACTS.values()
    )
    return TABLE_HEAD + re.sub(" +", " ", "".join(rows))


def insert_table(page: str) -> str:
    """Return the page with the table of today."""
    before, _, rest = page.partition(TABLE_HEAD)
    return before + render_table() + rest[rest.index("\n\n") + 1 :]


def _placeholder(match: re.Match[str]) -> str:
    return match[1].upper()


def _code(*texts: str) -> str:
    return ", ".join(f"`{text}`" for text in texts if text)


if __name__ == "__main__":
    PAGE_FILE.write_text(insert_table(PAGE_FILE.read_text(encoding="utf-8")), encoding="utf-8")
