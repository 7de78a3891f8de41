"""The tracker next to ByteTrack and OC-SORT, on the same detections: HOTA, IDF1, crossings, CPU.

Needs the folder `shared` next to the project, and the peers (`make setup-bench`). Run: `python -m bench track`.
The detections of a film are made once, in two ways: as the pipeline makes them, in crops and with optical flow
between them, which the peers do not have; and one inference of the whole picture for each frame, which is how the
peers are meant to be used. Thresholds are those of the model's card, the rest of the peers' settings their own.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.model import LABELS, BoundingBox, Detection, FrameResult, Label, Track
from agent.detection import image
from agent.detection.nms import merge_detections
from agent.detection.optical_flow import FlowShift
from agent.detection.pipeline import DetectionPipeline
from agent.detection.tflite import TfliteDetector, open_detector
from agent.detection.tracker import ObjectTracker
from bench import accuracy
from bench.cpu import one_core, run_in_turns
from bench.detect import MODEL
from bench.table import Row
from bench.tracking_peers import PEER_PYTHON, PEERS, MotScore, TrackingPeers, open_peers
from centre.validate import scoring

MOT_FILMS = ("PETS09-S2L1", "TUD-Campus")
WAYS = {"crops": "as the pipeline sees it", "whole": "whole pictures"}


class TrackerInput(msgspec.Struct, frozen=True, kw_only=True):
    """The input of the tracker in one frame."""

    t_ns: int
    shifts: tuple[FlowShift | None, ...]
    detections: tuple[Detection, ...]
    has_motion: tuple[bool, ...]
    visibility: tuple[float, ...]
    large_blobs: tuple[BoundingBox, ...]


class Film(msgspec.Struct, frozen=True, kw_only=True):
    """The tracker's input over a film, and the tracks that it returned."""

    size_px: tuple[int, int]
    fps: float
    inputs: tuple[TrackerInput, ...]
    tracks: tuple[tuple[Track, ...], ...]


class _Recorder(ObjectTracker):
    """Tracks, and keeps its input."""

    def __init__(self, detector: TfliteDetector) -> None:
        super().__init__(detector.card.thresholds)
        self.inputs: list[TrackerInput] = []
        self.tracks: list[tuple[Track, ...]] = []
        self._t_ns = 0
        self._shifts: tuple[FlowShift | None, ...] = ()

    def predict(self, t_ns: int, shifts: Sequence[FlowShift | None] = ()) -> None:
        self._t_ns, self._shifts = t_ns, tuple(shifts)
        super().predict(t_ns, shifts)

    def update(
        self,
        detections: Sequence[Detection],
        has_motion: Sequence[bool],
        visibility: Sequence[float],
        large_blobs: Sequence[BoundingBox] = (),
    ) -> tuple[Track, ...]:
        self.inputs.append(
            TrackerInput(
                t_ns=self._t_ns,
                shifts=self._shifts,
                detections=tuple(detections),
                has_motion=tuple(has_motion),
                visibility=tuple(visibility),
                large_blobs=tuple(large_blobs),
            )
        )
        self.tracks.append(super().update(detections, has_motion, visibility, large_blobs))
        return self.tracks[-1]


def rows() -> list[Row]:
    """Return the rows for the default model. Raises: LookupError without labels or peers."""
    for path in (accuracy.LABEL_FOLDER, PEER_PYTHON):
        if not path.exists():
            raise LookupError(
                f"{path}: missing; `make setup-bench`, and labels next to the project"
            )
    detector = open_detector(MODEL)
    table: list[Row] = []
    with one_core(), open_peers() as peers:
        for way, way_name in WAYS.items():
            table += mot_rows(detector, peers, way, way_name)
            table += crossing_rows(detector, peers, way, way_name)
    return table


def record(detector: TfliteDetector, path: Path, way: str) -> Film:
    """Track a film with the product, and keep the tracker's input."""
    recorder = _Recorder(detector)
    pipeline = DetectionPipeline(detector)
    pipeline._tracker = recorder  # noqa: SLF001 - the rest of the pipeline is the product's
    size_px, times_ns = (0, 0), []
    for frame in accuracy.read_frames(path):
        size_px = (frame.width_px, frame.height_px)
        times_ns.append(frame.t_ns)
        if way == "crops":
            pipeline.process(frame)
            continue
        (searched,) = detector.search(frame, (image.full_region(frame),))
        merged = merge_detections(searched.detections)
        recorder.predict(frame.t_ns)
        recorder.update(merged, [True] * len(merged), [1.0] * len(recorder.live_tracks))
    return Film(
        size_px=size_px,
        fps=1e9 * (len(times_ns) - 1) / (times_ns[-1] - times_ns[0]),
        inputs=tuple(recorder.inputs),
        tracks=tuple(recorder.tracks),
    )


def peer_film(peers: TrackingPeers, detector: TfliteDetector, film: Film, label: Label) -> Path:
    """Write the detections of a film for the peers, which have one threshold: that of `label`."""
    start_score = detector.card.thresholds[label].start_track
    detections = [one.detections for one in film.inputs]
    return peers.write_film("film", detections, film.size_px, film.fps, start_score)


def mot_rows(
    detector: TfliteDetector, peers: TrackingPeers, way: str, way_name: str
) -> Iterator[Row]:
    """Compare HOTA and IDF1 of people on the sets of the MOT challenge, and the CPU."""
    for name in MOT_FILMS:
        film = record(detector, accuracy.people_film(name), way)
        written = peer_film(peers, detector, film, "person")
        truth = accuracy.true_people(name)
        scores = {"ours": peers.score(truth, list(_people(film)))}
        for peer in PEERS:
            scores[peer] = peers.score(truth, _peer_people(peers.identities(peer, written)))
        for metric in ("hota", "idf1"):
            yield _margin_row(
                f"{name}, {way_name}: {metric.upper()}",
                {who: float(getattr(score, metric)) for who, score in scores.items()},
                _switches(scores),
            )
        yield cpu_row(f"{name}, {way_name}", detector, peers, film, written)


def crossing_rows(
    detector: TfliteDetector, peers: TrackingPeers, way: str, way_name: str
) -> Iterator[Row]:
    """Compare the F1 of line crossings, pooled over the counted clips."""
    pooled = {who: scoring.Score() for who in ("ours", *PEERS)}
    for name, labels in accuracy.labelled_clips().items():
        film = record(detector, accuracy.clip_path(name), way)
        written = peer_film(peers, detector, film, "car")
        tracked: dict[str, Iterable[tuple[Track, ...]]] = {"ours": film.tracks}
        for peer in PEERS:
            tracked[peer] = _peer_tracks(peers.identities(peer, written), film)
        for who, tracks in tracked.items():
            counter = accuracy.LineCounter([accuracy.make_line(name, *labels.line)])
            for one, frame_tracks in zip(film.inputs, tracks, strict=True):
                counter.update(_frame_result(one.t_ns, film.size_px, frame_tracks))
            pooled[who] += scoring.score_counts(counter.crossings[name], labels).score
    yield _margin_row(
        f"counts pooled, {way_name}: F1", {who: score.f1 for who, score in pooled.items()}, ""
    )


def cpu_row(
    name: str, detector: TfliteDetector, peers: TrackingPeers, film: Film, written: Path
) -> Row:
    """Compare the CPU of the tracker with that of the cheaper peer."""

    def track() -> None:
        replay(ObjectTracker(detector.card.thresholds), film)

    works: dict[str, Callable[[], float | None]] = {"ours": track}
    for peer in PEERS:
        works[peer] = lambda peer=peer: peers.track(peer, written)[0]  # type: ignore[misc]
    turns = run_in_turns(works, turns=5)
    ratios = {peer: turns.ratio("ours", peer) for peer in PEERS}
    costs = ", ".join(
        f"{_name(who)} {turns.ms(who, len(film.inputs)):.3f}" for who in ("ours", *PEERS)
    )
    return Row(
        name=f"{name}: CPU / the cheaper peer's",
        value=max(ratios.values()),
        unit="ratio",
        target="aim <= 0.1",
        note=f"{costs} ms a frame",
    )


def replay(tracker: ObjectTracker, film: Film) -> None:
    """Track a film again from the recorded input."""
    for one in film.inputs:
        tracker.predict(one.t_ns, one.shifts)
        tracker.update(one.detections, one.has_motion, one.visibility, one.large_blobs)


def _margin_row(name: str, values: Mapping[str, float], note: str) -> Row:
    best = max(values[peer] for peer in PEERS)
    listed = ", ".join(f"{_name(who)} {value:.3f}" for who, value in values.items())
    return Row(
        name=f"{name}, ahead of the better peer",
        value=values["ours"] - best,
        unit="",
        target=">= 0",
        note=f"{listed}{note}",
    )


def _switches(scores: Mapping[str, MotScore]) -> str:
    return "; switches of identity " + ", ".join(str(score.switches) for score in scores.values())


def _name(who: str) -> str:
    return PEERS.get(who, "ours")


def _people(film: Film) -> Iterator[tuple[float, ...]]:
    """Yield the rows of a MOT file for the people among our tracks that the frame shows.

    The peers return no predictions, so ours are left out.
    """
    width, height = film.size_px
    for number, (one, tracks) in enumerate(zip(film.inputs, film.tracks, strict=True), 1):
        for track in tracks:
            if track.label == "person" and track.seen_ns == one.t_ns:
                box = track.box
                size = (box.x * width, box.y * height, box.w * width, box.h * height)
                yield (number, track.id, *size)


def _peer_people(found: npt.NDArray[np.float64]) -> list[tuple[float, ...]]:
    """Return the rows of a MOT file for the people among a peer's tracks."""
    person = LABELS.index("person")
    return [
        (frame + 1, number, x1, y1, x2 - x1, y2 - y1)
        for frame, number, x1, y1, x2, y2, _, label in found.tolist()
        if number >= 0 and label == person
    ]


def _peer_tracks(found: npt.NDArray[np.float64], film: Film) -> Iterator[tuple[Track, ...]]:
    """Yield a peer's tracks of each frame, with the labels and velocities that its own detections give."""
    width, height = film.size_px
    rows_by_frame = {
        int(frame): list(group)
        for frame, group in itertools.groupby(found.tolist(), key=lambda row: row[0])
    }
    votes: dict[int, dict[Label, float]] = {}
    first_seen: dict[int, tuple[int, float, float]] = {}
    for index, one in enumerate(film.inputs):
        tracks = []
        for _, number, x1, y1, x2, y2, score, label_index in rows_by_frame.get(index, []):
            if number < 0:
                continue
            track_id, label = int(number), LABELS[int(label_index)]
            counted = votes.setdefault(track_id, {})
            counted[label] = counted.get(label, 0.0) + score
            box = BoundingBox(x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height)
            x, y = box.x + box.w / 2, box.y + box.h / 2
            begin_ns, begin_x, begin_y = first_seen.setdefault(track_id, (one.t_ns, x, y))
            elapsed_s = max(1, one.t_ns - begin_ns) / 1e9
            tracks.append(
                Track(
                    id=track_id + 1,
                    label=max(counted, key=lambda name: counted[name]),
                    score=score,
                    box=box,
                    vx=(x - begin_x) / elapsed_s,
                    vy=(y - begin_y) / elapsed_s,
                    begin_ns=begin_ns,
                    seen_ns=one.t_ns,
                )
            )
        yield tuple(tracks)


def _frame_result(t_ns: int, size_px: tuple[int, int], tracks: tuple[Track, ...]) -> FrameResult:
    return FrameResult(
        seq=0,
        t_ns=t_ns,
        width_px=size_px[0],
        height_px=size_px[1],
        gate_luma=np.zeros((1, 1), np.uint8),
        moving_ratio=0.0,
        tracks=tracks,
        inference_count=0,
    )
