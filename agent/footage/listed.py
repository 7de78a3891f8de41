"""Footage, missing spans and holds as replies have them. Pure."""

from typing import Annotated

import msgspec

from agent.base.clock import rfc3339
from agent.recording.missing_footage import MissingReason, MissingSpan
from agent.recording.recorded_span import RecordedSpan
from agent.recording.retention.hold import Hold, HoldKind

HoldId = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$(?!\n)",
        extra={"allowed": "a hold's id, a UUID in lower case"},
    ),
]


class ListedFootage(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="recorded"):
    """Footage without a gap. `end` is null while it is being written.

    `sealed`: it is encrypted. `clock_synced`: its times can be trusted.
    """

    begin: str
    end: str | None
    segments: int
    size_bytes: int
    sealed: bool
    clock_synced: bool


class ListedMissing(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="missing"):
    """A span without footage, and why; `detail` is the reason in words."""

    begin: str
    end: str
    reason: MissingReason
    detail: str


LISTED_MISSING_EXAMPLE = ListedMissing(
    begin="2026-11-03T07:12:02.500Z",
    end="2026-11-03T07:12:30.000Z",
    reason="camera_lost",
    detail="the camera delivered nothing",
)


class ListedHold(msgspec.Struct, frozen=True, kw_only=True):
    """A hold. `kind` is `event` if an event placed it, whose id it has.

    `ongoing`: its end is not known yet. `owner` is the requester that placed it; `case` their reference.
    """

    hold: str
    kind: HoldKind
    begin: str
    end: str
    ongoing: bool
    owner: str
    reason: str
    case: str | None
    expires: str


LISTED_HOLD_EXAMPLE = ListedHold(
    hold="019a4902-3c62-7d2a-9f0e-000000000002",
    kind="manual",
    begin="2026-11-03T07:00:00.000Z",
    end="2026-11-03T07:30:00.000Z",
    ongoing=False,
    owner="amina",
    reason="accident",
    case="2026/118",
    expires="2026-12-03T08:02:11.000Z",
)


def to_listed_footage(span: RecordedSpan) -> ListedFootage:
    """Return a recorded span as replies have it."""
    return ListedFootage(
        begin=rfc3339(span.begin),
        end=None if span.end is None else rfc3339(span.end),
        segments=span.segment_count,
        size_bytes=span.size_bytes,
        sealed=span.sealed,
        clock_synced=span.clock_synced,
    )


def to_listed_missing(span: MissingSpan) -> ListedMissing:
    """Return a missing span as replies have it."""
    return ListedMissing(
        begin=rfc3339(span.begin),
        end=rfc3339(span.end),
        reason=span.reason,
        detail=span.detail,
    )


def to_listed_hold(hold: Hold) -> ListedHold:
    """Return a hold as replies have it."""
    return ListedHold(
        hold=hold.id,
        kind=hold.kind,
        begin=hold.begin_time,
        end=hold.end_time,
        ongoing=hold.ongoing,
        owner=hold.owner,
        reason=hold.reason,
        case=hold.case,
        expires=hold.expires,
    )
