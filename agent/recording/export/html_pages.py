"""What is asked of an export, and the pages in it that say so to people."""

import html
import string
from datetime import datetime
from importlib import resources
from pathlib import Path

import msgspec

from agent.recording.segment_name import rfc3339

PAGE = "LISEZMOI-README.html"
"""One page in three languages. Names are ASCII, because file systems write accents differently."""

VERIFIER = "verify.html"


class ExportPageText(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, by whom and why. `out` is a folder that is not there yet, or empty.

    `unmasked` lets files out that show what the masks hide; else they are withheld.
    """

    camera: str
    begin: datetime
    end: datetime
    by: str
    purpose: str
    out: Path
    unmasked: bool = False


def pages(wish: ExportPageText, box: str, public_key: str) -> dict[str, bytes]:
    """The page that explains and the page that verifies, by their names in the export."""
    room = resources.files("agent.recording.export")
    page = string.Template((room / "pages" / "lisezmoi.html").read_text(encoding="utf-8"))
    facts = {
        "box": box,
        "camera": wish.camera,
        "begin_time": rfc3339(wish.begin),
        "end_time": rfc3339(wish.end),
        "by": wish.by,
        "purpose": wish.purpose,
        "public_key": public_key,
    }
    escaped = {name: html.escape(value) for name, value in facts.items()}
    return {
        PAGE: page.substitute(escaped).encode(),
        VERIFIER: (room / "verifier.html").read_bytes(),
    }
