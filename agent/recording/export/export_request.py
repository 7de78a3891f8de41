"""Request for an export. Pure."""

from datetime import datetime
from pathlib import Path

import msgspec


class ExportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Request for an export: the span, the requester and the purpose. `out` is a new or empty folder.

    `unmasked` includes segments that show what the masks hide; otherwise they are withheld.
    """

    camera: str
    begin: datetime
    end: datetime
    by: str
    purpose: str
    out: Path
    unmasked: bool = False
