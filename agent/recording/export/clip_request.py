"""Request and reply of the control socket's method `clip`. Pure.

The clip's file is passed as an open descriptor: no path crosses from one process to the other.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from agent.recording.export.clip import ClipInfo

MAX_CLIP_SEGMENTS = 1000
"""Segments of one clip. A camera's key ring has fewer keys."""

UnixNs = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class ClipRequest(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="method",
    tag="clip",
):
    """Request for a clip of one camera. `begin_ns` and `end_ns` are UTC since 1970."""

    camera: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    segments: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=255)], ...],
        msgspec.Meta(min_length=1, max_length=MAX_CLIP_SEGMENTS),
    ]
    begin_ns: UnixNs
    end_ns: UnixNs


class ClipDone(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="state",
    tag="done",
):
    """The clip is in the file."""

    clip: ClipInfo


RequestClip: TypeAlias = Callable[[ClipRequest, Path], ClipInfo | None]
"""Lets the running agent cut into a new file. Returns None if no agent runs. Raises: ClipError if it
rejects the request; OSError."""
