"""What may be asked of a head, who asks, and what he is told: the words of `agent.ptz`. Pure."""

from typing import Annotated, TypeAlias

import msgspec

from agent.commands.requester import Requester
from drivers.contracts import Pose, PtzPosition

SignedSpeed = Annotated[float, msgspec.Meta(ge=-1, le=1)]
Speed = Annotated[float, msgspec.Meta(gt=0, le=1)]
"""A share of the head's top speed."""


class ContinuousMove(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="move"):
    """Move at these shares of the top speeds for `for_s` seconds at the most. Pan is positive to
    the right, tilt upwards, zoom towards tele, focus towards far.
    """

    pan: SignedSpeed = 0.0
    tilt: SignedSpeed = 0.0
    zoom: SignedSpeed = 0.0
    focus: SignedSpeed = 0.0
    for_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 2.0


class AbsoluteMove(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="goto"):
    """Go to a pose; see `drivers.contracts.Pose`."""

    pan_deg: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    tilt_deg: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    zoom: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    speed: Speed = 1.0

    @property
    def pose(self) -> Pose:
        """Where to."""
        return Pose(pan_deg=self.pan_deg, tilt_deg=self.tilt_deg, zoom=self.zoom)


class GotoPreset(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="goto_preset"):
    """Go to a preset of the box."""

    preset: str
    speed: Speed = 1.0


MoveRequest: TypeAlias = ContinuousMove | AbsoluteMove | GotoPreset
"""A motion that somebody wants."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to move a head until `expires_ns`. `token` fences: it counts up with each new
    holder, across restarts too, and who comes with an older one is refused.
    """

    head: str
    holder: Requester
    token: int
    expires_ns: int


class HeadState(msgspec.Struct, frozen=True, kw_only=True):
    """How a head is. `position` is None where it does not answer. `preset` is where it rests, None
    while it moves or elsewhere; near is enough but where masks were drawn. `settled`: it has rested for long enough that its picture does.
    `lease` is the present holder's; without one the tour has it, if one runs.
    """

    head: str
    position: PtzPosition | None
    moving: bool
    settled: bool
    preset: str | None
    lease: Lease | None
    tour: str | None
    error: str | None
