"""Request for an export. Pure."""

from datetime import datetime
from pathlib import Path

import msgspec


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
