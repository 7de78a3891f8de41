"""Overlay of tracks, the scene and events on the frames of one camera."""

import math
from collections import Counter, deque
from collections.abc import Sequence

import msgspec
import numpy as np

from agent.app.event_types import EVENT_TYPES
from agent.base.model import Event, FrameResult, Label, Track
from agent.detection import image
from agent.detection.flow_counter import FlowCounter
from agent.detection.geometry import bottom_centre, mean_point
from agent.detection.image import Rgb
from agent.detection.rules.line_crossing import LineCrossingDetector
from agent.detection.rules.road_users import TrackMemory
from agent.detection.rules.scene_ground import SceneGround
from agent.detection.rules.zone_occupancy import ZoneOccupancy
from agent.detection.scene import Scene, SceneFlow, SceneLine, Zone, ZoneKind
from centre import draw as drawing
from centre.draw import Colour, Pixel
from drivers.media import Frame, Point

LABEL_COLOURS: dict[Label, Colour] = {
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
ALARM_COLOUR: Colour = (255, 82, 82)
RECENT_CROSSING_COLOUR: Colour = (255, 236, 130)
FLOW_COLOUR: Colour = (126, 231, 212)

TRAIL_NS = 2_500_000_000
CROSSING_HIGHLIGHT_NS = 600_000_000
CAPTION_NS = 5_000_000_000
MAX_CAPTIONS = 5
TRAIL_SMOOTHING_POINTS = 3
"""Points on each side that a trail is averaged over."""

_PHASE_PREFIXES: dict[str, str] = {"begin": "", "update": "now ", "end": "over ", "moment": ""}


class _Caption(msgspec.Struct, frozen=True):
    t_ns: int
    text: str
    colour: Colour


class Annotator:
    """Draws on the frames of one camera, which must come in order."""

    def __init__(self, scene: Scene, title: str) -> None:
        self._scene = scene
        self._title = title
        self._road_users = TrackMemory(SceneGround(scene))
        self._crossing_detectors = {
            line.name: LineCrossingDetector(line, self._road_users) for line in scene.line
        }
        self._occupancies = {
            zone.name: ZoneOccupancy(zone, self._road_users) for zone in scene.zone
        }
        self._flow_counter = FlowCounter(
            scene, self._road_users, self._crossing_detectors, self._occupancies
        )
        self._flow_counts: Counter[str] = Counter()
        self._middles = {line.name: mean_point((line.start, line.to)) for line in scene.line}
        self._middles |= {zone.name: mean_point(zone.polygon) for zone in scene.zone}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._last_crossing_ns: dict[str, int] = {}
        self._trails: dict[int, deque[tuple[int, Point]]] = {}
        self._captions: deque[_Caption] = deque(maxlen=MAX_CAPTIONS)
        self._open_alarms: dict[str, Event] = {}

    def add_event(self, event: Event) -> None:
        """Show an event on the frames from now on."""
        severity = EVENT_TYPES[event.kind].severity
        if severity == "alarm":
            if event.phase == "end":
                self._open_alarms.pop(event.event, None)
            else:
                self._open_alarms[event.event] = event
        if event.phase != "update":
            colour = ALARM_COLOUR if severity in ("alarm", "fault") else drawing.WHITE
            self._captions.append(_Caption(event.t_ns, caption_text(event), colour))

    def draw(self, frame: Frame, result: FrameResult, size_px: Pixel) -> Rgb:
        """Return the frame in colour at `size_px`, with the overlay."""
        self._update_counts(result)
        canvas = image.crop_rgb(frame, image.full_region(frame), size_px)
        unit_px = max(1, round(size_px[1] / 360))
        for ignore in self._scene.ignore:
            drawing.blend_polygon(canvas, _pixels(ignore.polygon, size_px), drawing.NEAR_BLACK, 0.6)
        for zone in self._scene.zone:
            self._draw_zone(canvas, zone, size_px, unit_px)
        for line in self._scene.line:
            self._draw_line(canvas, line, size_px, unit_px, result.t_ns)
        self._draw_flows(canvas, size_px, unit_px)
        for track in result.tracks:
            self._draw_trail(canvas, track, size_px, unit_px)
        for track in result.tracks:
            self._draw_track(canvas, track, size_px, unit_px)
        self._draw_heading(canvas, result, size_px, unit_px)
        self._draw_captions(canvas, result.t_ns, size_px, unit_px)
        return canvas

    def _update_counts(self, result: FrameResult) -> None:
        self._road_users.step(result)
        for occupancy in self._occupancies.values():
            occupancy.step(result.t_ns)
        for detector in self._crossing_detectors.values():
            detector.step()
            for crossing in detector.crossings:
                self._counts[crossing.line.name, crossing.direction] += 1
                self._last_crossing_ns[crossing.line.name] = result.t_ns
        for passage in self._flow_counter.step():
            self._flow_counts[passage.flow.name] += 1
        for track in result.tracks:
            trail = self._trails.setdefault(track.id, deque())
            trail.append((result.t_ns, bottom_centre(track.box)))
        for track_id, trail in list(self._trails.items()):
            while trail and result.t_ns - trail[0][0] > TRAIL_NS:
                trail.popleft()
            if not trail:
                del self._trails[track_id]

    def _draw_zone(self, canvas: Rgb, zone: Zone, size_px: Pixel, unit_px: int) -> None:
        has_alarm = any(event.name == zone.name for event in self._open_alarms.values())
        colour = ALARM_COLOUR if has_alarm else ZONE_COLOURS[zone.kind]
        corners = _pixels(zone.polygon, size_px)
        drawing.blend_polygon(canvas, corners, colour, 0.3 if has_alarm else 0.14)
        drawing.draw_outline(canvas, corners, colour, unit_px, closed=True)
        # Near the lower edge of the zone, where it is widest and few road users are.
        nearest = sorted(corners, key=lambda corner: -corner[1])[:2]
        size = 7 * unit_px
        x = (
            sum(corner[0] for corner in nearest) // 2
            - drawing.text_width_px(zone.name, size, bold=True) // 2
        )
        y = sum(corner[1] for corner in nearest) // 2 - 4 * unit_px
        drawing.draw_text(canvas, zone.name, (max(2 * unit_px, x), y), size, colour, bold=True)

    def _draw_line(
        self, canvas: Rgb, line: SceneLine, size_px: Pixel, unit_px: int, t_ns: int
    ) -> None:
        is_recent = (
            t_ns - self._last_crossing_ns.get(line.name, -CROSSING_HIGHLIGHT_NS)
            < CROSSING_HIGHLIGHT_NS
        )
        colour = RECENT_CROSSING_COLOUR if is_recent else drawing.WHITE
        start, end = _pixels((line.start, line.to), size_px)
        drawing.draw_outline(
            canvas, (start, end), colour, (2 if is_recent else 1) * unit_px, closed=False
        )
        length = max(1.0, math.hypot(end[0] - start[0], end[1] - start[1]))
        dx, dy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
        size = 7 * unit_px
        # Near the lower end: there the labels hide the fewest people.
        fraction = 0.1 if start[1] >= end[1] else 0.9
        anchor = (start[0] + dx * length * fraction, start[1] + dy * length * fraction)
        for direction, x, y in ((line.forward_name, -dy, dx), (line.backward_name, dy, -dx)):
            tip = (anchor[0] + x * 9 * unit_px, anchor[1] + y * 9 * unit_px)
            wings = [
                (tip[0] - 4 * unit_px * (x + s * y), tip[1] - 4 * unit_px * (y - s * x))
                for s in (-1, 1)
            ]
            drawing.draw_outline(canvas, (wings[0], tip, wings[1]), colour, unit_px, closed=False)
            text = f"{direction}  {self._counts[line.name, direction]}"
            plate_width, plate_height = drawing.label_size(text, size)
            offset_px = 13 * unit_px + (abs(x) * plate_width + abs(y) * plate_height) / 2
            left = round(anchor[0] + x * offset_px - plate_width / 2)
            bottom = round(anchor[1] + y * offset_px + plate_height / 2)
            drawing.draw_label(canvas, text, (left, bottom), size, colour)

    def _draw_flows(self, canvas: Rgb, size_px: Pixel, unit_px: int) -> None:
        size = 6 * unit_px
        labels: list[tuple[str, Pixel]] = []
        for flow in self._scene.flow:
            tail, tip = _draw_flow_arrow(canvas, self._flow_ends(flow, size_px), unit_px)
            text = f"{flow.name}  {self._flow_counts[flow.name]}"
            width, height = drawing.label_size(text, size)
            # Nearer to its begin: arrows that cross meet in the middle.
            x, y = tail[0] + (tip[0] - tail[0]) / 3, tail[1] + (tip[1] - tail[1]) / 3
            labels.append((text, (round(x - width / 2), round(y + height / 2))))
        for text, corner in labels:
            drawing.draw_label(canvas, text, corner, size, FLOW_COLOUR)

    def _flow_ends(self, flow: SceneFlow, size_px: Pixel) -> list[Pixel]:
        return _pixels((self._middles[flow.origin], self._middles[flow.destination]), size_px)

    def _draw_trail(self, canvas: Rgb, track: Track, size_px: Pixel, unit_px: int) -> None:
        points = [(p.x * size_px[0], p.y * size_px[1]) for _, p in self._trails[track.id]]
        smoothed = [
            tuple(
                np.mean(
                    points[max(0, i - TRAIL_SMOOTHING_POINTS) : i + TRAIL_SMOOTHING_POINTS + 1],
                    axis=0,
                )
            )
            for i in range(len(points))
        ]
        third_length = max(2, len(smoothed) // 3)
        for width, part in (
            (1, smoothed),
            (unit_px, smoothed[-2 * third_length :]),
            (unit_px + 1, smoothed[-third_length:]),
        ):
            if len(part) > 1:
                drawing.draw_polyline(canvas, part, LABEL_COLOURS[track.label], width)

    def _draw_track(self, canvas: Rgb, track: Track, size_px: Pixel, unit_px: int) -> None:
        box, (width, height) = track.box, size_px
        left, right = round(box.x * width), round((box.x + box.w) * width)
        top, bottom = round(box.y * height), round((box.y + box.h) * height)
        has_alarm = any(event.track == track.id for event in self._open_alarms.values())
        colour = ALARM_COLOUR if has_alarm else LABEL_COLOURS[track.label]
        drawing.draw_bounding_box(canvas, left, top, right, bottom, colour, unit_px)
        size = 6 * unit_px
        drawing.draw_label(canvas, f"{track.label} {track.id}", (left, top), size, colour)

    def _draw_heading(self, canvas: Rgb, result: FrameResult, size_px: Pixel, unit_px: int) -> None:
        size = 7 * unit_px
        drawing.blend_rectangle(canvas, 0, 0, size_px[0], 12 * unit_px, drawing.NEAR_BLACK, 0.55)
        baseline = 6 * unit_px + size * 3 // 8
        drawing.draw_text(canvas, "VIGIE", (5 * unit_px, baseline), size, bold=True)
        title_x = 5 * unit_px + drawing.text_width_px("VIGIE", size, bold=True) + 6 * unit_px
        drawing.draw_text(canvas, self._title, (title_x, baseline), size, (190, 200, 210))
        label_counts = Counter(track.label for track in result.tracks)
        right = size_px[0] - 5 * unit_px
        time_text = f"{result.t_ns / 1e9:6.1f} s"
        right -= drawing.text_width_px(time_text, size)
        drawing.draw_text(canvas, time_text, (right, baseline), size, (190, 200, 210))
        for label, number in sorted(label_counts.items(), reverse=True):
            text = f"{label} {number}"
            right -= drawing.text_width_px(text, size, bold=True) + 6 * unit_px
            drawing.draw_text(
                canvas, text, (right, baseline), size, LABEL_COLOURS[label], bold=True
            )

    def _draw_captions(self, canvas: Rgb, t_ns: int, size_px: Pixel, unit_px: int) -> None:
        size, bottom = 7 * unit_px, size_px[1] - 5 * unit_px
        for caption in reversed(self._captions):
            if t_ns - caption.t_ns > CAPTION_NS:
                continue
            width = drawing.text_width_px(caption.text, size) + 10 * unit_px
            drawing.blend_rectangle(
                canvas,
                5 * unit_px,
                bottom - 12 * unit_px,
                5 * unit_px + width,
                bottom,
                drawing.NEAR_BLACK,
                0.6,
            )
            drawing.blend_rectangle(
                canvas,
                5 * unit_px,
                bottom - 12 * unit_px,
                6 * unit_px,
                bottom,
                caption.colour,
                0.95,
            )
            drawing.draw_text(
                canvas, caption.text, (10 * unit_px, bottom - 4 * unit_px), size, caption.colour
            )
            bottom -= 14 * unit_px


def caption_text(event: Event) -> str:
    """Return an event as a short caption."""
    parts = [
        f"{event.t_ns / 1e9:.1f} s",
        _PHASE_PREFIXES[event.phase] + event.kind.replace("_", " "),
    ]
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


def _draw_flow_arrow(
    canvas: Rgb, ends: Sequence[Pixel], unit_px: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Draw an arrow to the right hand of its way, next to that of the way back, and return where it begins and ends."""
    (x0, y0), (x1, y1) = ends
    length = max(1.0, math.hypot(x1 - x0, y1 - y0))
    dx, dy = (x1 - x0) / length, (y1 - y0) / length
    right_x, right_y = -dy * 4 * unit_px, dx * 4 * unit_px
    tail, tip = (x0 + right_x, y0 + right_y), (x1 + right_x, y1 + right_y)
    head = 5 * unit_px
    wings = [
        (tip[0] - head * (dx + side * dy / 2), tip[1] - head * (dy - side * dx / 2))
        for side in (-1, 1)
    ]
    drawing.draw_outline(canvas, (tail, tip), FLOW_COLOUR, unit_px, closed=False)
    drawing.draw_outline(canvas, (wings[0], tip, wings[1]), FLOW_COLOUR, unit_px, closed=False)
    return tail, tip


def _pixels(points: Sequence[Point], size_px: Pixel) -> list[Pixel]:
    return [(round(p.x * size_px[0]), round(p.y * size_px[1])) for p in points]
