"""HTML pages of an export: the readme and the verifier."""

import html
import string
from importlib import resources

from agent.base.clock import rfc3339
from agent.recording.export.export_request import ExportRequest

README_FILE = "LISEZMOI-README.html"
"""One page in three languages. ASCII, because file systems encode accents differently."""

VERIFIER_FILE = "verify.html"


def render_pages(request: ExportRequest, box: str, public_key: str) -> dict[str, bytes]:
    """Return the readme and the verifier, by their file names in the export."""
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
