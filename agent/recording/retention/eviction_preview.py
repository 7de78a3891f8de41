"""Footage that other limits would evict, and footage that is held, by camera. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from agent.base.clock import rfc3339
from agent.recording.retention.eviction_plan import (
    CameraStorage,
    EvictionPlan,
    count_held_bytes,
)
from agent.recording.retention.hold import Hold


class EvictedSpan(msgspec.Struct, frozen=True, kw_only=True):
    """Files of a camera that would be evicted. The times are those at which the first and the last begin, in RFC 3339."""

    camera: str
    files: int
    size_bytes: int
    first_time: str
    last_time: str


class HeldFootage(msgspec.Struct, frozen=True, kw_only=True):
    """Held bytes of a camera, and its holds: the case of each, or its reason if it has none."""

    camera: str
    size_bytes: int
    holds: tuple[str, ...]


class EvictionPreview(msgspec.Struct, frozen=True, kw_only=True):
    """Footage that other limits would evict now, and footage that is held.

    `unread` are cameras whose footage has not been listed since the agent's start.
    """

    evicted: tuple[EvictedSpan, ...] = ()
    held: tuple[HeldFootage, ...] = ()
    unread: tuple[str, ...] = ()


def build_preview(
    plan: EvictionPlan,
    storages: Mapping[str, CameraStorage],
    holds: Sequence[Hold],
    max_segment_ms: int,
    unread: Sequence[str],
) -> EvictionPreview:
    """Return the preview of a plan."""
    spans, held = list[EvictedSpan](), list[HeldFootage]()
    for camera, storage in storages.items():
        segments = [each.segment for each in plan.evictions if each.camera == camera]
        if segments:
            segments.sort(key=lambda segment: segment.name.counter)
            spans.append(
                EvictedSpan(
                    camera=camera,
                    files=len(segments),
                    size_bytes=sum(segment.size_bytes for segment in segments),
                    first_time=rfc3339(segments[0].name.utc),
                    last_time=rfc3339(segments[-1].name.utc),
                )
            )
        own_holds = [hold for hold in holds if hold.camera == camera]
        held_bytes = count_held_bytes(storage, own_holds, max_segment_ms)
        if held_bytes:
            names = tuple(dict.fromkeys(hold.case or hold.reason for hold in own_holds))
            held.append(HeldFootage(camera=camera, size_bytes=held_bytes, holds=names))
    return EvictionPreview(evicted=tuple(spans), held=tuple(held), unread=tuple(unread))
