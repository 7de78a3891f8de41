"""Patterns of the names of cameras, heads, pins and technicians."""

import re
from typing import Annotated

import msgspec

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$(?!\n)")]
"""A name used in topics, folder names and commands: lower case, digits, `-` and `_`.

As in every pattern, `(?!\\n)` follows the `$`, which in Python also matches before a final line break. JSON Schema
has no such exception and does not know Python's `\\Z`.
"""

TECHNICIAN_NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
TechnicianName = Annotated[str, msgspec.Meta(pattern=rf"^{TECHNICIAN_NAME_PATTERN.pattern}$(?!\n)")]
"""A technician's name, as typed at the console's login and written into receipts."""
