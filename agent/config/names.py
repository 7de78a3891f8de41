"""What a name may look like that a person gives to a camera, a head or a pin."""

import re
from typing import Annotated

import msgspec

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$(?!\n)")]
"""A name that stands in topics, folder names and commands: lower case, digits, `-` and `_`.

Here as in every pattern, `(?!\\n)` stands behind the `$`, which in Python also matches before a last line
break. In JSON Schema, where it does not, the two say the same; Python's own `\\Z` is unknown there.
"""

TECHNICIAN_NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
TechnicianName = Annotated[str, msgspec.Meta(pattern=rf"^{TECHNICIAN_NAME_PATTERN.pattern}$(?!\n)")]
"""A technician's name, as typed at the console's login and written into receipts."""
