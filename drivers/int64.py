"""An integer of a message that may be hostile. Pure."""

from typing import Annotated, TypeAlias

import msgspec

Int64: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""JSON bounds no integer. A larger one than this raises OverflowError in SQLite, in a JSON encoder or as a float."""
