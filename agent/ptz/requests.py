"""Move requests, leases and the state of a head: the structs that `agent.ptz` shares. Pure."""

from typing import Annotated, TypeAlias

import msgspec

from agent.commands.requester import Requester
from drivers.contracts import Pose, PtzPosition

SignedSpeed = Annotated[float, msgspec.Meta(ge=-1, le=1)]
Speed = Annotated[float, msgspec.Meta(gt=0, le=1)]
"""A share of the head's top speed."""
MAX_MOVE_S = 60.0


class ContinuousMove(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="move"):
    """Move at shares of the top speeds, for `for_s` seconds at most.

    Pan is positive to the right, tilt upwards, zoom towards tele, focus towards far.
    """

    pan: SignedSpeed = 0.0
    tilt: SignedSpeed = 0.0
    zoom: SignedSpeed = 0.0
    focus: SignedSpeed = 0.0
    for_s: Annotated[float, msgspec.Meta(gt=0, le=MAX_MOVE_S)] = 2.0


class AbsoluteMove(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="goto"):
    """Go to a pose; see `drivers.contracts.Pose`."""

    pan_deg: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    tilt_deg: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    zoom: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    speed: Speed = 1.0

    @property
    def pose(self) -> Pose:
        """The target."""
        return Pose(pan_deg=self.pan_deg, tilt_deg=self.tilt_deg, zoom=self.zoom)


class GotoPreset(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="goto_preset"):
    """Go to a preset of the box."""

    preset: str
    speed: Speed = 1.0


MoveRequest: TypeAlias = ContinuousMove | AbsoluteMove | GotoPreset


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to move a head until `expires_ns`.

    `token` is a fencing token: it counts up with each new holder, across restarts too, and a
    request with an older one is refused.
    """

    head: str
    holder: Requester
    token: int
    expires_ns: int

    def remaining_s(self, t_ns: int) -> float:
        """Return the seconds that the lease is still good for; negative if it is over."""
        return (self.expires_ns - t_ns) / 1e9


class HeadState(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a head.

    `position` is None if the head does not answer. `preset` is the one that it rests at, None
    while it moves or rests elsewhere. `settled` is true once it has rested for `settle_s`, so that
    its picture is still. `lease` is the present holder's; without one a running tour may move it.
    """

    head: str
    position: PtzPosition | None
    moving: bool
    settled: bool
    preset: str | None
    lease: Lease | None
    tour: str | None
    error: str | None
