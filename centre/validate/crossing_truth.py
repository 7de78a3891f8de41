"""Crossings of labelled films, as people have counted them: the file that `docs/validate.md` describes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from agent.base import checked_convert
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.base.json_decode import MalformedJson, decode_unique_json
from agent.base.model import Label

MAX_TRUTH_BYTES = 67_108_864
MAX_CLIPS = 2000
MAX_CROSSINGS = 20_000
"""Of one clip."""
MAX_CLIP_S = 86_400

Direction = Literal["A->B", "B->A"]
"""A is on the left hand of the way along the line, as seen on the picture."""
ClipName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^/\x00-\x1f\x7f]{1,200}$(?!\n)",
        extra={"allowed": "a file's name without its ending"},
    ),
]
_Unit = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Text = Annotated[str, msgspec.Meta(max_length=2000)]
People = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^\x00-\x1f\x7f]{1,200}$(?!\n)",
        extra={"allowed": "one line of 1 to 200 characters"},
    ),
]
"""The person who has counted, or the people."""
_ToleranceS = Annotated[float, msgspec.Meta(gt=0, le=10)]
_TimeS = Annotated[float, msgspec.Meta(ge=0, le=MAX_CLIP_S)]
_Position = Annotated[float, msgspec.Meta(ge=-0.1, le=1.1)]

MAX_UNCOUNTED_S = 1.0
"""At the end of a clip that has been counted: its last picture is shown before its length is over."""
TOLERANCE_S = 0.3
"""Largest difference in time of a count and its crossing, unless the crossing states its own."""


class CrossingClaim(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"direction": "dir", "label": "class"},
):
    """The crossing as one of two people has counted it, or neither direction nor class if they have counted none."""

    by: People
    direction: Direction | None = None
    label: Label | None = None


class TrueCrossing(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={
        "t_s": "t",
        "position": "pos",
        "direction": "dir",
        "label": "class",
        "is_sure": "sure",
        "is_at_edge": "edge",
        "is_label_sure": "class_sure",
        "is_occluded": "occluded",
        "tolerance_s": "t_tol",
    },
):
    """One road user that crosses the line: `t_s` is when the centre of the whole visible object is on it.

    `position` is 0 at the line's first point and 1 at its second, None if it is not known. A crossing that is not sure
    may count or not. One at the edge is too near to the clip's begin or end for a tracker. `claims` has the counts of two
    people that differ and are not settled. `motion` and `note` are for people.
    """

    t_s: _TimeS
    position: _Position | None = None
    direction: Direction
    label: Label
    is_sure: bool
    is_at_edge: bool = False
    is_label_sure: bool = True
    is_occluded: bool = False
    tolerance_s: _ToleranceS = TOLERANCE_S
    claims: Annotated[tuple[CrossingClaim, ...], msgspec.Meta(max_length=2)] = ()
    motion: _Text = ""
    note: _Text = ""


class IgnoredCrossing(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"t_s": "t", "position": "pos", "direction": "dir", "tolerance_s": "t_tol"},
):
    """A road user that touches the line and does not cross it: a count of it is forgiven. `why` is for people."""

    t_s: _TimeS
    position: _Position
    direction: Direction
    tolerance_s: _ToleranceS = TOLERANCE_S
    why: _Text = ""


class ClipTruth(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"duration_s": "duration", "ignored": "dont_care", "counted_s": "counted"},
):
    """The crossings of one line in one clip, in 0..1 of the picture. `view` names what the camera showed, by default the clip.

    `counted_s` is the time up to which the clip has been counted, None if it is the whole. `by`, `line_note`, `scene_note` and `totals` are for people.
    """

    line: tuple[_Unit, _Unit, _Unit, _Unit]
    duration_s: Annotated[float, msgspec.Meta(gt=0, le=MAX_CLIP_S)]
    crossings: Annotated[tuple[TrueCrossing, ...], msgspec.Meta(max_length=MAX_CROSSINGS)]
    ignored: Annotated[tuple[IgnoredCrossing, ...], msgspec.Meta(max_length=MAX_CROSSINGS)] = ()
    view: (
        Annotated[
            str,
            msgspec.Meta(
                pattern=r"^[^\x00-\x1f\x7f]{1,80}$(?!\n)",
                extra={"allowed": "one line of 1 to 80 characters"},
            ),
        ]
        | None
    ) = None
    counted_s: _TimeS | None = None
    by: People | None = None
    fps: Annotated[float, msgspec.Meta(gt=0, le=1000)] | None = None
    size: tuple[int, int] | None = None
    line_note: _Text = ""
    scene_note: _Text = ""
    totals: dict[str, Any] = {}

    @property
    def is_whole(self) -> bool:
        """Whether the clip has been counted to its end."""
        return self.counted_s is None or self.counted_s >= self.duration_s - MAX_UNCOUNTED_S

    def __post_init__(self) -> None:
        """Raise ValueError if the line has no length, or a crossing is after the clip's end."""
        if self.line[:2] == self.line[2:]:
            raise ValueError("line: both points are the same; allowed: two points")
        times_s = [*(one.t_s for one in self.crossings), *(one.t_s for one in self.ignored)]
        for t_s in times_s:
            if t_s > self.duration_s:
                raise ValueError(
                    f"t = {t_s:g}: is after the end; allowed: at most {self.duration_s:g}, its duration"
                )


def read_truth(path: Path) -> dict[str, ClipTruth]:
    """Read the labels of all clips, by the clip's name.

    Raises: UserError with one line for the first mistake.
    """
    label = f"truth {str(path)!r}"
    try:
        return decode_truth(read_regular_file(path, MAX_TRUTH_BYTES), label)
    except OSError as error:
        raise UserError(f"{label}: {error.strerror or error}") from error


def decode_truth(data: bytes, label: str) -> dict[str, ClipTruth]:
    """Decode the labels of all clips. Messages begin with `label`.

    Raises: UserError with one line for the first mistake.
    """
    try:
        document = decode_unique_json(data)
    except MalformedJson as error:
        raise UserError(f"{label}: not JSON: {error}") from error
    if checked_convert.is_too_deep(document):
        raise UserError(
            f"{label}: tables in tables; allowed: at most {checked_convert.MAX_DEPTH} levels"
        )
    truth = checked_convert.convert(document, dict[ClipName, ClipTruth], label)
    if not 1 <= len(truth) <= MAX_CLIPS:
        raise UserError(f"{label}: {len(truth)} clips; allowed: 1 to {MAX_CLIPS}")
    return truth


def encode_truth(truth: Mapping[str, ClipTruth]) -> bytes:
    """Return the file of labels; `decode_truth` returns the same from it."""
    return msgspec.json.format(msgspec.json.encode(truth), indent=1) + b"\n"


def check_whole(name: str, clip: ClipTruth, label: str) -> None:
    """Raise UserError that begins with `label` if a clip has been counted in part."""
    if not clip.is_whole:
        raise UserError(
            f"{label}: {name}: counted up to {clip.counted_s:.1f} s of {clip.duration_s:.1f}; "
            "allowed: a clip that has been counted to its end"
        )
