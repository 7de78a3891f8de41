"""What the demo has seen so far: in the eyes of the box, and at the centre, over MQTT."""

import threading
from collections import Counter, deque

import msgspec

from agent.base.health_model import HealthReport
from agent.base.model import Event, FrameResult, Label, Track
from centre.demo.event_text import sentence
from drivers.media import Plane

LAST_EVENTS = 200
_MOMENTS = ("begin", "moment")


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """One event as it came in at the centre; `t_s` is the film's time."""

    t_s: float
    kind: str
    text: str


class LineTally(msgspec.Struct, frozen=True, kw_only=True):
    """Crossings of one line in one direction, as the centre has counted them."""

    line: str
    direction: str
    label: Label
    count: int


class View(msgspec.Struct, frozen=True, kw_only=True):
    """All of it at one moment. `gate` is the small grey picture that motion is judged on."""

    film_s: float
    frames: int
    passes: int
    moving: float
    gate: Plane | None
    tracks: tuple[Track, ...]
    found: dict[str, int]
    most_at_once: int
    lines: tuple[LineTally, ...]
    kinds: dict[str, int]
    events: tuple[Arrived, ...]
    """The newest ones; `events_so_far` have come in all."""
    events_so_far: int
    messages: int
    snapshots: int
    health: HealthReport | None
    """The newest that the centre has got."""


class DemoStats:
    """Counts; any thread may tell it something, and any may ask.

    `first_ns` is set by the first frame: the film's beginning.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first_ns: int | None = None
        self._sight: FrameResult | None = None
        self._frames = 0
        self._passes = 0
        self._labels: dict[int, Label] = {}
        self._most_at_once = 0
        self._lines: Counter[tuple[str, str, Label]] = Counter()
        self._kinds: Counter[str] = Counter()
        self._events: deque[Arrived] = deque(maxlen=LAST_EVENTS)
        self._events_so_far = 0
        self._messages = 0
        self._snapshots = 0
        self._health: HealthReport | None = None

    def saw(self, sight: FrameResult) -> None:
        """The box has looked at a frame."""
        with self._lock:
            if self._first_ns is None:
                self._first_ns = sight.t_ns
            self._sight = sight
            self._frames += 1
            self._passes += sight.passes
            self._most_at_once = max(self._most_at_once, len(sight.tracks))
            for track in sight.tracks:
                self._labels[track.id] = track.label

    def message_came(self) -> None:
        """A message of the box has arrived at the centre."""
        with self._lock:
            self._messages += 1

    def snapshot_came(self) -> int:
        """One of the messages was a picture; its number, from 1."""
        with self._lock:
            self._snapshots += 1
            return self._snapshots

    def health_came(self, health: HealthReport) -> None:
        """The box has said how it is."""
        with self._lock:
            self._health = health

    def event_came(self, event: Event) -> None:
        """An event of the box, or news of one, has arrived at the centre."""
        with self._lock:
            if event.phase in _MOMENTS:
                self._kinds[event.kind] += 1
            if event.kind == "line" and event.name and event.direction and event.label:
                self._lines[event.name, event.direction, event.label] += 1
            first_ns = event.t_ns if self._first_ns is None else self._first_ns
            t_s = max(0.0, (event.t_ns - first_ns) / 1e9)
            if event.phase != "update":
                self._events_so_far += 1
                self._events.append(Arrived(t_s=t_s, kind=event.kind, text=sentence(event)))

    def view(self) -> View:
        """How it stands."""
        with self._lock:
            sight = self._sight
            first_ns = self._first_ns or 0
            lines = tuple(
                LineTally(line=line, direction=direction, label=label, count=count)
                for (line, direction, label), count in sorted(self._lines.items())
            )
            return View(
                film_s=(sight.t_ns - first_ns) / 1e9 if sight else 0.0,
                frames=self._frames,
                passes=self._passes,
                moving=sight.moving if sight else 0.0,
                gate=sight.gate if sight else None,
                tracks=sight.tracks if sight else (),
                found=dict(Counter[str](self._labels.values()).most_common()),
                most_at_once=self._most_at_once,
                lines=lines,
                kinds=dict(self._kinds.most_common()),
                events=tuple(self._events),
                events_so_far=self._events_so_far,
                messages=self._messages,
                snapshots=self._snapshots,
                health=self._health,
            )
