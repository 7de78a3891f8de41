"""What is asked of an export, and the pages in it that say so to people."""

import html
import string
from datetime import datetime
from importlib import resources
from pathlib import Path

import msgspec

from agent.base.clock import rfc3339

README_FILE = "LISEZMOI-README.html"
"""One page in three languages. Names are ASCII, because file systems write accents differently."""

VERIFIER_FILE = "verify.html"


class ExportRequest(msgspec.Struct, frozen=True, kw_only=True):
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


def render_pages(request: ExportRequest, box: str, public_key: str) -> dict[str, bytes]:
    """The page that explains and the page that verifies, by their names in the export."""
    package = resources.files("agent.recording.export")
    template = string.Template((package / "pages" / "lisezmoi.html").read_text(encoding="utf-8"))
    fields = {
        "box": box,
        "camera": request.camera,
        "begin_time": rfc3339(request.begin),
        "end_time": rfc3339(request.end),
        "by": request.by,
        "purpose": request.purpose,
        "public_key": public_key,
    }
    escaped = {name: html.escape(value) for name, value in fields.items()}
    return {
        README_FILE: template.substitute(escaped).encode(),
        VERIFIER_FILE: (package / "verifier.html").read_bytes(),
    }
