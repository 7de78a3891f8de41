"""Turning flows on true tracks: the share of road users that are in their cell of the origin-destination matrix.

The tracks are those of the Urban Tracker set (Jodoin, Bilodeau, Saunier 2014), which has no licence and is not part of
the project. They are looked for in the folder `ground` of `shared` next to the project. The truth of a road user is
the arm of the crossing in which its track begins and the arm in which it ends; one that begins or ends between the
arms is in no cell. Run: `make accuracy ARGS="--rules flows"`.
"""

import random
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path

import msgspec
import numpy as np

from agent.base.model import BoundingBox, FrameResult, Label, Track
from agent.detection.flow_counter import FlowCounter
from agent.detection.geometry import box_centre, is_inside
from agent.detection.rules.line_crossing import LineCrossingDetector
from agent.detection.rules.road_users import TrackMemory
from agent.detection.rules.scene_ground import SceneGround
from agent.detection.scene import Scene, SceneFlow, SceneLine
from bench.ground import FOLDER
from bench.report_rows import ReportRow, at_least, share_row
from drivers.media import NS_PER_S, Plane, Point

FPS, STEP_FRAMES = 30, 3
"""Of the annotations; of these each third, as a box detects."""
LABEL_OF_TYPE: Mapping[int, Label] = {
    1: "car",
    2: "person",
    3: "motorcycle",
    4: "bicycle",
    5: "bus",
    6: "truck",
}
CONFIRM_HITS = 3
"""Detections after which the tracker reports a track."""
VELOCITY_HITS = 4
"""Detections of a track from which the velocity is estimated."""
SAME_ID_MAX_GAP_S = 1.5
"""Longest gap after which the tracker may continue a moving track."""
SEEDS = 20
HIDDEN_S = (0.3, 0.5, 1.0, 1.5, 2.0, 3.0)

Pixels = tuple[float, float]


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """An arm of a crossing in pixels: its area, and the gate between it and the crossing."""

    gate: tuple[Pixels, Pixels]
    area: tuple[Pixels, ...]


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """A crossing of the set, and the arms that were drawn on its picture."""

    name: str
    size_px: tuple[int, int]
    arms: Mapping[str, Arm]

    @property
    def scene(self) -> Scene:
        """A line at each gate, and a flow for each pair of arms."""
        lines = []
        for name, arm in self.arms.items():
            start, end = self._points(arm.gate)
            lines.append(SceneLine(name=name, start=start, to=end))
        flows = [
            SceneFlow(name=f"{origin} to {end}", origin=origin, destination=end)
            for origin in self.arms
            for end in self.arms
            if origin != end
        ]
        return Scene(line=tuple(lines), flow=tuple(flows))

    def arm_at(self, box: BoundingBox) -> str | None:
        """Return the arm in which the centre of a box is, or None if it is between the arms."""
        for name, arm in self.arms.items():
            if is_inside(self._points(arm.area), box_centre(box)):
                return name
        return None

    def _points(self, corners: Iterable[Pixels]) -> tuple[Point, ...]:
        width, height = self.size_px
        return tuple(Point(x / width, y / height) for x, y in corners)


CROSSINGS = (
    Crossing(
        name="sherbrooke",
        size_px=(800, 600),
        arms={
            "east": Arm(
                gate=((740, 180), (740, 480)),
                area=((740, 180), (801, 180), (801, 480), (740, 480)),
            ),
            "west": Arm(
                gate=((60, 320), (60, 465)), area=((-1, 320), (60, 320), (60, 465), (-1, 465))
            ),
            "north": Arm(
                gate=((590, 185), (455, 285)),
                area=((590, 185), (455, 285), (300, 285), (300, 185)),
            ),
            "south": Arm(
                gate=((540, 545), (790, 545)),
                area=((540, 545), (790, 545), (790, 601), (540, 601)),
            ),
            "pavement, south": Arm(
                gate=((20, 510), (215, 510)), area=((20, 510), (215, 510), (215, 601), (20, 601))
            ),
            "pavement, north": Arm(
                gate=((110, 262), (215, 262)), area=((110, 262), (215, 262), (215, 200), (110, 200))
            ),
        },
    ),
    Crossing(
        name="stmarc",
        size_px=(1280, 720),
        arms={
            "north-west": Arm(gate=((20, 420), (300, 0)), area=((-1, 450), (300, -1), (-1, -1))),
            "south-east": Arm(
                gate=((700, 720), (1280, 440)), area=((700, 720), (1281, 440), (1281, 721))
            ),
            "north-east": Arm(
                gate=((540, 115), (1120, 190)),
                area=((540, 115), (1120, 190), (1120, -1), (540, -1)),
            ),
            "south-west": Arm(
                gate=((0, 480), (600, 680)), area=((-1, 480), (600, 680), (600, 721), (-1, 721))
            ),
        },
    ),
)


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """Faults of a detector and tracker, put into true tracks.

    Box edges move by `jitter` of the box's size (standard deviation). A track gets a new id every `id_change_s` in the
    mean, and is hidden every `gap_every_s` for a time between `gap_s`; half of these end with a new id.
    """

    name: str
    jitter: float = 0.0
    id_change_s: float | None = None
    gap_every_s: float | None = None
    gap_s: tuple[float, float] = (0.2, 1.0)


DAMAGES = (
    Damage(name="true tracks"),
    Damage(name="jitter of 5 %", jitter=0.05),
    Damage(name="a new id every 3 s", id_change_s=3),
    Damage(name="hidden .2 to 1 s every 5 s", gap_every_s=5),
    Damage(name="all three", jitter=0.05, id_change_s=3, gap_every_s=5),
)


class TrueUser(msgspec.Struct, frozen=True):
    """A road user of the set: its boxes by the number of their frame."""

    id: int
    label: Label
    boxes: Mapping[int, BoundingBox]


class FlowScore(msgspec.Struct, frozen=True, kw_only=True):
    """Road users that belong into a cell, those of them that are in it alone, and all other counts.

    `seen` of `expected` have a track in the arm that they came from and in the arm that they left by.
    """

    expected: int = 0
    right: int = 0
    others: int = 0
    seen: int = 0
    seen_right: int = 0

    def __add__(self, other: "FlowScore") -> "FlowScore":
        return FlowScore(
            expected=self.expected + other.expected,
            right=self.right + other.right,
            others=self.others + other.others,
            seen=self.seen + other.seen,
            seen_right=self.seen_right + other.seen_right,
        )


def rows(folder: Path = FOLDER, seeds: Iterable[int] = range(SEEDS)) -> list[ReportRow]:
    """Return the rows of both crossings together, none without the folder of their files."""
    if not folder.is_dir():
        return []
    seeds = tuple(seeds)
    found = []
    for damage in DAMAGES:
        is_true = damage is DAMAGES[0]
        score = score_flows(damage, seeds[:1] if is_true else seeds, folder)
        found.append(
            share_row(
                "turning flows",
                f"road users in the right cell, {damage.name}",
                score.right,
                score.expected,
                at_least(0.98) if is_true else None,
                cause=f"{score.others} counts in other cells",
            )
        )
        if not is_true:
            quantity = f"the same, of those with a track in both arms, {damage.name}"
            found.append(
                share_row("turning flows", quantity, score.seen_right, score.seen, at_least(0.98))
            )
    return [*found, *_rejoin_rows(folder)]


def score_flows(damage: Damage, seeds: Iterable[int], folder: Path = FOLDER) -> FlowScore:
    """Return the score of both crossings over all seeds."""
    seeds, score = tuple(seeds), FlowScore()
    for crossing in CROSSINGS:
        users = read_users(crossing, folder)
        cells = true_cells(crossing, users)
        for seed in seeds:
            reported = damaged(users, damage, random.Random(f"{crossing.name} {seed}"))
            score += score_counts(crossing, cells, reported)
    return score


def read_users(crossing: Crossing, folder: Path = FOLDER) -> list[TrueUser]:
    """Read the road users of a crossing. A type that is not known is a person if the box is upright."""
    uri = (folder / f"urban_{crossing.name}.sqlite").resolve(strict=True).as_uri()
    width, height = crossing.size_px
    boxes: dict[int, dict[int, BoundingBox]] = {}
    with closing(sqlite3.connect(f"{uri}?mode=ro", uri=True)) as database:
        types = dict(database.execute("SELECT object_id, road_user_type FROM objects"))
        for user_id, frame, left, top, right, bottom in database.execute(
            "SELECT * FROM bounding_boxes ORDER BY object_id, frame_number"
        ):
            box = BoundingBox(
                left / width, top / height, (right - left) / width, (bottom - top) / height
            )
            boxes.setdefault(user_id, {})[frame] = box
    return [
        TrueUser(user_id, _label(types[user_id], list(by_time.values()), width / height), by_time)
        for user_id, by_time in boxes.items()
    ]


def _label(kind: int, boxes: Sequence[BoundingBox], aspect: float) -> Label:
    upright = sum(box.h > box.w * aspect for box in boxes) * 2 > len(boxes)
    return LABEL_OF_TYPE.get(kind, "person" if upright else "car")


def true_cells(crossing: Crossing, users: Iterable[TrueUser]) -> dict[int, str | None]:
    """Return the flow of each road user by its id, None for one that is in no cell."""
    cells: dict[int, str | None] = {}
    for user in users:
        boxes = list(user.boxes.values())
        begin, end = crossing.arm_at(boxes[0]), crossing.arm_at(boxes[-1])
        cells[user.id] = f"{begin} to {end}" if begin and end and begin != end else None
    return cells


class ReportedTrack(msgspec.Struct, frozen=True):
    """A track as a tracker reports it, and the road user that it belongs to."""

    user: int
    track: Track


Reported = Mapping[int, Sequence[ReportedTrack]]
"""Tracks by the time of their frame."""


def damaged(users: Iterable[TrueUser], damage: Damage, rng: random.Random) -> Reported:
    """Return the tracks that a tracker with these faults reports."""
    track_ids = count(1)
    by_time: dict[int, list[ReportedTrack]] = {}
    for user in users:
        for frame in user.boxes:
            if frame % STEP_FRAMES == 0:
                by_time.setdefault(_t_ns(frame), [])
        for track in _damaged_tracks(user, damage, rng, track_ids):
            by_time[track.seen_ns].append(ReportedTrack(user.id, track))
    return dict(sorted(by_time.items()))


def _damaged_tracks(
    user: TrueUser, damage: Damage, rng: random.Random, track_ids: Iterator[int]
) -> Iterator[Track]:
    step_s = STEP_FRAMES / FPS
    hits: list[tuple[int, BoundingBox]] = []
    track_id = next(track_ids)
    hidden_until_ns = 0
    for frame, box in user.boxes.items():
        t_ns = _t_ns(frame)
        if frame % STEP_FRAMES or t_ns < hidden_until_ns:
            continue
        if damage.gap_every_s and rng.random() < step_s / damage.gap_every_s:
            gap_s = rng.uniform(*damage.gap_s)
            hidden_until_ns = t_ns + round(gap_s * NS_PER_S)
            if gap_s > SAME_ID_MAX_GAP_S or rng.random() < 0.5:
                track_id, hits = next(track_ids), []
            continue
        if damage.id_change_s and rng.random() < step_s / damage.id_change_s:
            track_id, hits = next(track_ids), []
        hits.append((t_ns, _jittered(box, damage.jitter, rng)))
        if len(hits) >= CONFIRM_HITS:
            yield _track(track_id, user.label, hits)


def _t_ns(frame: int) -> int:
    return frame * NS_PER_S // FPS


def _jittered(box: BoundingBox, jitter: float, rng: random.Random) -> BoundingBox:
    left, right = (
        box.x + rng.gauss(0, jitter) * box.w,
        box.x + box.w + rng.gauss(0, jitter) * box.w,
    )
    top, bottom = (
        box.y + rng.gauss(0, jitter) * box.h,
        box.y + box.h + rng.gauss(0, jitter) * box.h,
    )
    return BoundingBox(left, top, max(right - left, 1e-3), max(bottom - top, 1e-3))


def _track(track_id: int, label: Label, hits: Sequence[tuple[int, BoundingBox]]) -> Track:
    (first_ns, first), (t_ns, box) = hits[-VELOCITY_HITS:][0], hits[-1]
    start, end = box_centre(first), box_centre(box)
    elapsed_s = (t_ns - first_ns) / NS_PER_S
    return Track(
        id=track_id,
        label=label,
        score=0.8,
        box=box,
        vx=(end.x - start.x) / elapsed_s,
        vy=(end.y - start.y) / elapsed_s,
        begin_ns=hits[0][0],
        seen_ns=t_ns,
    )


def _results(crossing: Crossing, reported: Reported) -> Iterator[FrameResult]:
    width, height = crossing.size_px
    luma: Plane = np.zeros((height // 4, width // 4), np.uint8)
    for seq, (t_ns, tracks) in enumerate(reported.items()):
        yield FrameResult(
            seq=seq,
            t_ns=t_ns,
            width_px=width,
            height_px=height,
            gate_luma=luma,
            moving_ratio=0.0,
            tracks=tuple(one.track for one in tracks),
            inference_count=0,
        )


def count_flows(crossing: Crossing, reported: Reported) -> dict[int, list[str]]:
    """Return the flows that each road user is counted in, by its id, with the product's rules."""
    scene = crossing.scene
    road_users = TrackMemory(SceneGround(scene))
    detectors = {line.name: LineCrossingDetector(line, road_users) for line in scene.line}
    counter = FlowCounter(scene, road_users, detectors, {})
    user_of = {one.track.id: one.user for tracks in reported.values() for one in tracks}
    counted: dict[int, list[str]] = {}
    for result in _results(crossing, reported):
        road_users.step(result)
        for detector in detectors.values():
            detector.step()
        for passage in counter.step():
            counted.setdefault(user_of[passage.track.id], []).append(passage.flow.name)
    return counted


def score_counts(
    crossing: Crossing, cells: Mapping[int, str | None], reported: Reported
) -> FlowScore:
    """Compare the counts of each road user with its cell."""
    counted = count_flows(crossing, reported)
    arms: dict[int, set[str | None]] = {}
    for one in (one for tracks in reported.values() for one in tracks):
        arms.setdefault(one.user, set()).add(crossing.arm_at(one.track.box))
    expected = {user: cell for user, cell in cells.items() if cell is not None}
    right = {user for user, cell in expected.items() if counted.get(user) == [cell]}
    seen = {
        user for user, cell in expected.items() if set(cell.split(" to ")) <= arms.get(user, set())
    }
    return FlowScore(
        expected=len(expected),
        right=len(right),
        others=sum(len(flows) for user, flows in counted.items() if user not in right),
        seen=len(seen),
        seen_right=len(seen & right),
    )


def _rejoin_rows(folder: Path) -> Iterator[ReportRow]:
    """Yield the share of moving road users that keep their number over a hidden time and a new id, by its length."""
    users = {crossing.name: read_users(crossing, folder) for crossing in CROSSINGS}
    for hidden_s in HIDDEN_S:
        kept = [
            is_kept
            for crossing in CROSSINGS
            for is_kept in _hide_each(crossing, users[crossing.name], hidden_s)
        ]
        quantity = (
            f"moving road users that keep their number, hidden for {hidden_s:g} s, with a new id"
        )
        yield share_row("turning flows", quantity, sum(kept), len(kept), None)


def _hide_each(crossing: Crossing, users: Sequence[TrueUser], hidden_s: float) -> Iterator[bool]:
    """Hide each moving road user alone, at each third second of its track; yield whether it keeps its number."""
    for user in users:
        frames = list(user.boxes)
        for begin in frames[3 * FPS :: 3 * FPS]:
            end = begin + round(hidden_s * FPS)
            before = [frame for frame in frames if begin - 3 * FPS <= frame < begin]
            after = [frame for frame in frames if end <= frame < end + 2 * FPS]
            if len(after) > CONFIRM_HITS * STEP_FRAMES and _is_moving(user, before):
                window = range(before[0], after[-1] + 1)
                yield _keeps_number(crossing, user, users, (before, after), window)


def _is_moving(user: TrueUser, frames: Sequence[int]) -> bool:
    """Return whether the road user moved by half of its size."""
    start, end = user.boxes[frames[0]], user.boxes[frames[-1]]
    a, b = box_centre(start), box_centre(end)
    return abs(b.x - a.x) > end.w / 2 or abs(b.y - a.y) > end.h / 2


def _keeps_number(
    crossing: Crossing,
    user: TrueUser,
    users: Sequence[TrueUser],
    spells: tuple[Sequence[int], Sequence[int]],
    window: range,
) -> bool:
    shown: list[tuple[TrueUser, Sequence[int]]] = [
        (other, [f for f in other.boxes if f in window]) for other in users if other != user
    ]
    shown += [(user, spell) for spell in spells]
    parts = [TrueUser(one.id, one.label, {f: one.boxes[f] for f in spell}) for one, spell in shown]
    reported = damaged(parts, DAMAGES[0], random.Random(0))
    memory = TrackMemory(SceneGround(Scene()))
    numbers: dict[int, int] = {}
    for result in _results(crossing, reported):
        memory.step(result)
        numbers |= {known.track.id: known.id for known in memory if known.is_visible}
    ids = {one.track.id for tracks in reported.values() for one in tracks if one.user == user.id}
    return len({numbers[track_id] for track_id in ids}) == 1
