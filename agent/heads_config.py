"""`[[head]]`: the pan-tilt heads of a box, their presets, tours and bounds."""

from typing import Annotated, Any

import msgspec

from agent.names import Name


class HeadConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One head. `camera` is the one that sits on it. `options` belong to the driver and are checked
    by it.
    """

    name: Name
    driver: str
    camera: Name | None = None
    options: dict[str, Any] = {}
    lease_s: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 30.0
    """How long who took the head keeps it after his last word."""
    longest_move_s: Annotated[float, msgspec.Meta(gt=0, le=120)] = 20.0
    settle_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 2.0
    """After a move, until the picture counts as at rest."""
