"""The task of the child that rehearses on the footage of one camera, and its messages to the agent. Pure.

The child waits after each message for a `Continue`, which the agent delays for as long as the box is short of something.
"""

from typing import Annotated, TypeAlias

import msgspec

from agent.reporting.rehearsal import MAX_REASON_CHARS, RehearsedCamera


class DetectionSide(msgspec.Struct, frozen=True, kw_only=True):
    """Detection of one configuration: the model by its name or card, the scene's file, and pictures per second."""

    model: str
    scene: str | None
    fps: float


class RehearsalTask(msgspec.Struct, frozen=True, kw_only=True):
    """A rehearsal on one camera. Times are RFC 3339. `viewer` is the name that an owner may have listed.

    `public_key` is the box's: receipts of another are left out.
    """

    state_dir: str
    box: str
    public_key: bytes
    time_zone: str
    camera: str
    begin: str
    end: str
    viewer: str
    present: DetectionSide
    proposed: DetectionSide


class Listed(msgspec.Struct, frozen=True, kw_only=True, tag="listed"):
    """There is footage, and the viewer may see it. None of it was read."""


class Evaluating(msgspec.Struct, frozen=True, kw_only=True, tag="evaluating"):
    """The footage is being evaluated; `ratio` is 0..1."""

    ratio: Annotated[float, msgspec.Meta(ge=0, le=1)]


class Evaluated(msgspec.Struct, frozen=True, kw_only=True, tag="evaluated"):
    """The rehearsal on the camera is over. The child ends."""

    camera: RehearsedCamera


class Rejected(msgspec.Struct, frozen=True, kw_only=True, tag="rejected"):
    """There is no rehearsal on the camera. The child ends."""

    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARS)]


RehearsalMessage: TypeAlias = Listed | Evaluating | Evaluated | Rejected
