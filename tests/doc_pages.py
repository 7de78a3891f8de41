"""The pages of the documentation, and the code blocks on them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
CODE_BLOCK = re.compile(r"^ *```([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SHOWN_COMMAND = re.compile(r"\s*(?:\$ )?(?:sudo )?(?:\S*bin/)?((?:vigie|make|cp) .*)$")
"""A command line of a code block that begins with one of these programs."""


def read_page(name: str) -> str:
    """Return the text of a page below docs/."""
    return (DOCS / name).read_text(encoding="utf-8")


def code_blocks(text: str, info: str) -> list[str]:
    """Return the code blocks whose fence has exactly this info string, such as `toml` or `json ptz`."""
    return [block for found, block in CODE_BLOCK.findall(text) if found.strip() == info]
