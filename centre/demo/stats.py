"""Counts of a demo run: frames and tracks from the box, messages from the centre."""

import threading
from collections import Counter, deque

import msgspec

from agent.app.event_types import EVENT_TYPES
from agent.base.health_model import HealthReport
from agent.base.model import Event, FrameResult, Label, Track
from drivers.media import Plane

MAX_RECENT_EVENTS = 200
_START_PHASES = ("begin", "moment")


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the demo's log. `kind` selects its colour, and is an event's kind for an event."""

    t_s: float
    kind: str
    text: str


class LineCrossings(msgspec.Struct, frozen=True, kw_only=True):
    """Crossings of one scene line in one direction, counted from the received events."""

    line: str
    direction: str
    label: Label
    count: int


class StatsView(msgspec.Struct, frozen=True, kw_only=True):
    """Snapshot of the counts. `gate_image` is the motion gate's small grey image."""

    video_s: float
    frames: int
    inferences: int
    motion_ratio: float
    gate_image: Plane | None
    tracks: tuple[Track, ...]
    track_counts: dict[str, int]
    max_concurrent_tracks: int
    line_counts: tuple[LineCrossings, ...]
    event_counts: dict[str, int]
    recent_events: tuple[LogLine, ...]
    """The newest of the `event_total` events that were received."""
    event_total: int
    messages: int
    snapshots: int
    health: HealthReport | None
    """The newest health report that the centre has received."""


class DemoStats:
    """Thread-safe counters of one run. Video time starts at the first frame."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first_ns: int | None = None
        self._last_result: FrameResult | None = None
        self._frames = 0
        self._inferences = 0
        self._track_labels: dict[int, Label] = {}
        self._max_concurrent_tracks = 0
        self._line_counts: Counter[tuple[str, str, Label]] = Counter()
        self._event_counts: Counter[str] = Counter()
        self._recent_events: deque[LogLine] = deque(maxlen=MAX_RECENT_EVENTS)
        self._event_total = 0
        self._messages = 0
        self._snapshots = 0
        self._health: HealthReport | None = None

    def add_frame(self, result: FrameResult) -> None:
        """Count a frame that the box has processed."""
        with self._lock:
            if self._first_ns is None:
                self._first_ns = result.t_ns
            self._last_result = result
            self._frames += 1
            self._inferences += result.inference_count
            self._max_concurrent_tracks = max(self._max_concurrent_tracks, len(result.tracks))
            for track in result.tracks:
                self._track_labels[track.id] = track.label

    def count_message(self) -> None:
        """Count a message that the centre has received."""
        with self._lock:
            self._messages += 1

    def count_snapshot(self) -> int:
        """Count a snapshot that the centre has received. Return its number, from 1."""
        with self._lock:
            self._snapshots += 1
            return self._snapshots

    def set_health(self, health: HealthReport) -> None:
        """Store the newest health report."""
        with self._lock:
            self._health = health

    def add_event(self, event: Event) -> None:
        """Count a revision of an event that the centre has received."""
        with self._lock:
            if event.phase in _START_PHASES:
                self._event_counts[event.kind] += 1
            if event.kind == "line" and event.name and event.direction and event.label:
                self._line_counts[event.name, event.direction, event.label] += 1
            first_ns = event.t_ns if self._first_ns is None else self._first_ns
            t_s = max(0.0, (event.t_ns - first_ns) / 1e9)
            if event.phase != "update":
                self._event_total += 1
                self._recent_events.append(
                    LogLine(t_s=t_s, kind=event.kind, text=EVENT_TYPES[event.kind].describe(event))
                )

    def view(self) -> StatsView:
        """Return a snapshot of all counts."""
        with self._lock:
            result = self._last_result
            first_ns = self._first_ns or 0
            line_counts = tuple(
                LineCrossings(line=line, direction=direction, label=label, count=count)
                for (line, direction, label), count in sorted(self._line_counts.items())
            )
            return StatsView(
                video_s=(result.t_ns - first_ns) / 1e9 if result else 0.0,
                frames=self._frames,
                inferences=self._inferences,
                motion_ratio=result.moving_ratio if result else 0.0,
                gate_image=result.gate_luma if result else None,
                tracks=result.tracks if result else (),
                track_counts=dict(Counter[str](self._track_labels.values()).most_common()),
                max_concurrent_tracks=self._max_concurrent_tracks,
                line_counts=line_counts,
                event_counts=dict(self._event_counts.most_common()),
                recent_events=tuple(self._recent_events),
                event_total=self._event_total,
                messages=self._messages,
                snapshots=self._snapshots,
                health=self._health,
            )
