"""The annotated film: what the eyes saw and the judge said, drawn over the street."""

import math
from collections import Counter, deque
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import av
import msgspec
import numpy as np

from agent.base.errors import UserError
from agent.base.model import Event, FrameResult, Label, Track
from agent.detection import draw as pen
from agent.detection import image
from agent.detection.draw import Colour, Pixel, Rgb
from agent.detection.geometry import Point, foot
from agent.detection.rules.line_crossing import LineRule
from agent.detection.rules.road_users import TrackMemory
from agent.detection.scene import Scene, SceneLine, Zone, ZoneKind
from drivers.media import Frame

COLOURS: dict[Label, Colour] = {
    "person": (255, 196, 61),
    "bicycle": (126, 217, 87),
    "motorcycle": (64, 201, 190),
    "car": (88, 176, 255),
    "bus": (255, 122, 89),
    "truck": (203, 140, 255),
}
ZONE_COLOURS: dict[ZoneKind, Colour] = {
    "carriageway": (72, 149, 239),
    "pavement": (96, 211, 148),
    "queue": (255, 183, 77),
    "any": (178, 148, 255),
}
ALARM: Colour = (255, 82, 82)
FRESH: Colour = (255, 236, 130)
ALARMS = frozenset({"stopped", "wrong_way", "person_on_carriageway"})

LEAST_HEIGHT_PX, MOST_HEIGHT_PX = 720, 1080
"""Small pictures are enlarged, so that what is written on them can be read."""

TRAIL_NS = 2_500_000_000
FLASH_NS = 600_000_000
CAPTION_NS = 5_000_000_000
MOST_CAPTIONS = 5
SMOOTH = 3
"""Points on each side that a trail is averaged over."""

TICKS_PER_S = 90_000

_PHASES: dict[str, str] = {"begin": "", "update": "now ", "end": "over ", "moment": ""}


class _Caption(msgspec.Struct, frozen=True):
    t_ns: int
    text: str
    colour: Colour


class Annotator:
    """Draws on the frames of one camera, in their order."""

    def __init__(self, scene: Scene, title: str) -> None:
        self._scene = scene
        self._title = title
        self._users = TrackMemory()
        self._rules = [LineRule(line, self._users) for line in scene.line]
        self._counts: Counter[tuple[str, str]] = Counter()
        self._crossed_ns: dict[str, int] = {}
        self._trails: dict[int, deque[tuple[int, Point]]] = {}
        self._captions: deque[_Caption] = deque(maxlen=MOST_CAPTIONS)
        self._alarms: dict[str, Event] = {}

    def note(self, event: Event) -> None:
        """Take an event, to be told on the frames from now on."""
        if event.kind in ALARMS:
            if event.phase == "end":
                self._alarms.pop(event.event, None)
            else:
                self._alarms[event.event] = event
        if event.phase != "update":
            colour = ALARM if event.kind in ALARMS or event.kind.startswith("view_") else pen.WHITE
            self._captions.append(_Caption(event.t_ns, caption(event), colour))

    def draw(self, frame: Frame, sight: FrameResult, size_px: Pixel) -> Rgb:
        """The frame in colour, `size_px` wide and high, with everything on it."""
        self._count(sight)
        canvas = image.crop_rgb(frame, image.whole(frame), size_px)
        unit = max(1, round(size_px[1] / 360))
        for ignore in self._scene.ignore:
            pen.fill(canvas, _pixels(ignore.polygon, size_px), pen.INK, 0.6)
        for zone in self._scene.zone:
            self._draw_zone(canvas, zone, size_px, unit)
        for line in self._scene.line:
            self._draw_line(canvas, line, size_px, unit, sight.t_ns)
        for track in sight.tracks:
            self._draw_trail(canvas, track, size_px, unit)
        for track in sight.tracks:
            self._draw_track(canvas, track, size_px, unit)
        self._draw_heading(canvas, sight, size_px, unit)
        self._draw_captions(canvas, sight.t_ns, size_px, unit)
        return canvas

    def _count(self, sight: FrameResult) -> None:
        self._users.step(sight)
        for rule in self._rules:
            for crossing in rule.step():
                self._counts[crossing.line.name, crossing.direction] += 1
                self._crossed_ns[crossing.line.name] = sight.t_ns
        for track in sight.tracks:
            trail = self._trails.setdefault(track.id, deque())
            trail.append((sight.t_ns, foot(track.box)))
        for track_id, trail in list(self._trails.items()):
            while trail and sight.t_ns - trail[0][0] > TRAIL_NS:
                trail.popleft()
            if not trail:
                del self._trails[track_id]

    def _draw_zone(self, canvas: Rgb, zone: Zone, size_px: Pixel, unit: int) -> None:
        alarmed = any(event.name == zone.name for event in self._alarms.values())
        colour = ALARM if alarmed else ZONE_COLOURS[zone.kind]
        corners = _pixels(zone.polygon, size_px)
        pen.fill(canvas, corners, colour, 0.3 if alarmed else 0.14)
        pen.outline(canvas, corners, colour, unit, closed=True)
        # In the zone's near part, where it is widest and the fewest road users are.
        near = sorted(corners, key=lambda corner: -corner[1])[:2]
        size = 7 * unit
        x = sum(corner[0] for corner in near) // 2 - pen.text_width(zone.name, size, bold=True) // 2
        y = sum(corner[1] for corner in near) // 2 - 4 * unit
        pen.write(canvas, zone.name, (max(2 * unit, x), y), size, colour, bold=True)

    def _draw_line(
        self, canvas: Rgb, line: SceneLine, size_px: Pixel, unit: int, t_ns: int
    ) -> None:
        fresh = t_ns - self._crossed_ns.get(line.name, -FLASH_NS) < FLASH_NS
        colour = FRESH if fresh else pen.WHITE
        start, end = _pixels((line.start, line.to), size_px)
        pen.outline(canvas, (start, end), colour, (2 if fresh else 1) * unit, closed=False)
        length = max(1.0, math.hypot(end[0] - start[0], end[1] - start[1]))
        dx, dy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
        size = 7 * unit
        # Near the end that is lower on the picture: there the plates hide the fewest people.
        share = 0.1 if start[1] >= end[1] else 0.9
        at = (start[0] + dx * length * share, start[1] + dy * length * share)
        for direction, x, y in ((line.forward, -dy, dx), (line.backward, dy, -dx)):
            tip = (at[0] + x * 9 * unit, at[1] + y * 9 * unit)
            wings = [
                (tip[0] - 4 * unit * (x + s * y), tip[1] - 4 * unit * (y - s * x)) for s in (-1, 1)
            ]
            pen.outline(canvas, (wings[0], tip, wings[1]), colour, unit, closed=False)
            text = f"{direction}  {self._counts[line.name, direction]}"
            across, down = pen.plate_size(text, size)
            reach = 13 * unit + (abs(x) * across + abs(y) * down) / 2
            left = round(at[0] + x * reach - across / 2)
            bottom = round(at[1] + y * reach + down / 2)
            pen.plate(canvas, text, (left, bottom), size, colour)

    def _draw_trail(self, canvas: Rgb, track: Track, size_px: Pixel, unit: int) -> None:
        points = [(p.x * size_px[0], p.y * size_px[1]) for _, p in self._trails[track.id]]
        smooth = [
            tuple(np.mean(points[max(0, i - SMOOTH) : i + SMOOTH + 1], axis=0))
            for i in range(len(points))
        ]
        third = max(2, len(smooth) // 3)
        for width, part in ((1, smooth), (unit, smooth[-2 * third :]), (unit + 1, smooth[-third:])):
            if len(part) > 1:
                pen.stroke(canvas, part, COLOURS[track.label], width)

    def _draw_track(self, canvas: Rgb, track: Track, size_px: Pixel, unit: int) -> None:
        box, (width, height) = track.box, size_px
        left, right = round(box.x * width), round((box.x + box.w) * width)
        top, bottom = round(box.y * height), round((box.y + box.h) * height)
        alarmed = any(event.track == track.id for event in self._alarms.values())
        colour = ALARM if alarmed else COLOURS[track.label]
        pen.brackets(canvas, left, top, right, bottom, colour, unit)
        size = 6 * unit
        pen.plate(canvas, f"{track.label} {track.id}", (left, top), size, colour)

    def _draw_heading(self, canvas: Rgb, sight: FrameResult, size_px: Pixel, unit: int) -> None:
        size = 7 * unit
        pen.tint(canvas, 0, 0, size_px[0], 12 * unit, pen.INK, 0.55)
        baseline = 6 * unit + size * 3 // 8
        pen.write(canvas, "VIGIE", (5 * unit, baseline), size, bold=True)
        after = 5 * unit + pen.text_width("VIGIE", size, bold=True) + 6 * unit
        pen.write(canvas, self._title, (after, baseline), size, (190, 200, 210))
        seen = Counter(track.label for track in sight.tracks)
        right = size_px[0] - 5 * unit
        clock = f"{sight.t_ns / 1e9:6.1f} s"
        right -= pen.text_width(clock, size)
        pen.write(canvas, clock, (right, baseline), size, (190, 200, 210))
        for label, number in sorted(seen.items(), reverse=True):
            text = f"{label} {number}"
            right -= pen.text_width(text, size, bold=True) + 6 * unit
            pen.write(canvas, text, (right, baseline), size, COLOURS[label], bold=True)

    def _draw_captions(self, canvas: Rgb, t_ns: int, size_px: Pixel, unit: int) -> None:
        size, bottom = 7 * unit, size_px[1] - 5 * unit
        for told in reversed(self._captions):
            if t_ns - told.t_ns > CAPTION_NS:
                continue
            across = pen.text_width(told.text, size) + 10 * unit
            pen.tint(canvas, 5 * unit, bottom - 12 * unit, 5 * unit + across, bottom, pen.INK, 0.6)
            pen.tint(canvas, 5 * unit, bottom - 12 * unit, 6 * unit, bottom, told.colour, 0.95)
            pen.write(canvas, told.text, (10 * unit, bottom - 4 * unit), size, told.colour)
            bottom -= 14 * unit


def caption(event: Event) -> str:
    """An event in a few words."""
    parts = [f"{event.t_ns / 1e9:.1f} s", _PHASES[event.phase] + event.kind.replace("_", " ")]
    if event.label is not None and event.track is not None:
        parts.append(f"{event.label} {event.track}")
    if event.count is not None:
        parts.append(f"{event.count}")
    if event.name is not None:
        parts.append(event.name)
    if event.direction is not None:
        parts.append(f"→ {event.direction}")
    if event.phase == "end" and event.duration_s is not None:
        parts.append(f"after {event.duration_s:.0f} s")
    return "  ".join(parts)


class AnnotatedFilm:
    """An MP4 file (H.264, 4:2:0, its index first) that every player plays.

    Use it as a context; `note` events before the frame that they are to appear on.
    """

    def __init__(self, path: Path, size_px: Pixel, fps: float, scene: Scene, title: str) -> None:
        """`size_px` is of the camera's picture. Raises BadInput where `path` cannot be written."""
        self._annotator = Annotator(scene, title)
        self._size_px = film_size(size_px)
        self._path = path
        try:
            self._container = av.open(
                str(path), "w", format="mp4", options={"movflags": "+faststart"}
            )
            self._stream = self._container.add_stream(
                "libx264", rate=Fraction(fps).limit_denominator(1001)
            )
            self._stream.width, self._stream.height = self._size_px
            self._stream.pix_fmt = "yuv420p"
            self._stream.options = {"crf": "21", "preset": "veryfast"}
            self._stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
            self._container.start_encoding()
        except (av.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error
        self._last_pts = -1

    def __enter__(self) -> Self:
        """The film itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        """Finish the file."""
        self.close()
        return False

    def note(self, event: Event) -> None:
        """Take an event."""
        self._annotator.note(event)

    def add(self, frame: Frame, sight: FrameResult) -> None:
        """Add a frame. Frames that do not come later than the one before are left out. Raises BadInput
        where the disk takes no more.
        """
        pts = round(sight.t_ns * TICKS_PER_S / 1e9)
        canvas = self._annotator.draw(frame, sight, self._size_px)
        if pts <= self._last_pts:
            return
        self._last_pts = pts
        drawn = av.VideoFrame.from_ndarray(canvas, format="rgb24")
        drawn.pts, drawn.time_base = pts, Fraction(1, TICKS_PER_S)
        self._mux(drawn)

    def close(self) -> None:
        """Finish the file. Raises BadInput where the disk takes no more."""
        try:
            self._mux(None)
        finally:
            self._end()

    def _mux(self, drawn: av.VideoFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(drawn))
        except (av.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def _end(self) -> None:
        try:
            self._container.close()
        except (av.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: av.FFmpegError | OSError) -> UserError:
        return UserError(f"annotated film {str(self._path)!r}: {error.strerror or error}")


def film_size(size_px: Pixel) -> Pixel:
    """The size of the annotated film of a picture: even, and large enough to read."""
    width, height = size_px
    target = min(MOST_HEIGHT_PX, max(LEAST_HEIGHT_PX, height))
    return round(width * target / height / 2) * 2, target // 2 * 2


def _pixels(points: Sequence[Point], size_px: Pixel) -> list[Pixel]:
    return [(round(p.x * size_px[0]), round(p.y * size_px[1])) for p in points]
