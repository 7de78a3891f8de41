"""Request for an export."""

from datetime import datetime
from pathlib import Path

import msgspec

from agent.base.errors import UserError


class ExportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Request for an export: the span, the requester and the purpose.

    `out` is a new or empty folder. `unmasked` includes segments that show what the masks hide;
    otherwise they are withheld.
    """

    camera: str
    begin: datetime
    end: datetime
    by: str
    purpose: str
    out: Path
    unmasked: bool = False


def check_new_folder(out: Path) -> None:
    """Raise UserError if `out` exists and is not an empty folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {str(out)!r}: exists already; allowed: a new or an empty folder")
