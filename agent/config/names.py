"""What a name may look like that a person gives to a camera, a head or a pin."""

from typing import Annotated

import msgspec

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
"""A name that stands in topics, folder names and commands: lower case, digits, `-` and `_`."""
