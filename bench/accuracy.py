"""Accuracy of detection: AP50, people and counts against labels. `--json FILE` for machines.

Needs the folder `shared` next to the project. Run: `python -m bench.accuracy`.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import msgspec
import numpy as np

from agent.base.model import LABELS, BoundingBox, Detection, FrameResult
from agent.config.configuration import DetectConfig
from agent.detection.geometry import iou
from agent.detection.model_card import ModelCard, read_verified_model, with_score_floor
from agent.detection.model_child import AP_SCORE_FLOOR
from agent.detection.pipeline import DetectionPipeline, PipelineSettings
from agent.detection.rules.line_crossing import LineCrossingDetector
from agent.detection.rules.road_users import TrackMemory
from agent.detection.rules.scene_ground import SceneGround
from agent.detection.scene import Scene, SceneLine
from agent.detection.still_image import read_image
from agent.detection.tflite import TfliteDetector, open_detector
from bench.prototype import BaselinePipeline
from bench.table import Row
from centre.models.average_precision import mean_ap50
from centre.models.labelled_folder import read_labelled_folder
from centre.validate import scoring
from centre.validate.crossing_truth import ClipTruth, read_truth
from drivers.media import Frame, Point

SHARED_FOLDER = Path(__file__).parents[2] / "shared"
FOOTAGE_FOLDER = SHARED_FOLDER / "footage"
LABEL_FOLDER = SHARED_FOLDER / "labelled"
DIRECTIONS = ("A->B", "B->A")


def read_frames(path: Path) -> Iterator[Frame]:
    """Yield every frame of a clip, at its presentation time."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for seq, decoded in enumerate(container.decode(stream)):
            planar = decoded.format.name in ("yuv420p", "yuvj420p")
            picture = decoded if planar else decoded.reformat(format="yuv420p")
            planes = []
            for plane in picture.planes:
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
                planes.append(rows[:, : plane.width])
            t_ns = round(seq * 1e9 / float(stream.average_rate))
            y, u, v = planes
            yield Frame(seq=seq, t_ns=t_ns, y=y, u=u, v=v)


def clip_path(name: str) -> Path:
    return next(FOOTAGE_FOLDER.glob(f"{name}.*"))


def labelled_clips() -> dict[str, ClipTruth]:
    """Return the labels of the clips whose crossings were counted by eye."""
    return read_truth(LABEL_FOLDER / "counts.json")


class LineCounter:
    """Counts line crossings with the product's rules."""

    def __init__(self, lines: list[SceneLine]) -> None:
        self._track_memory = TrackMemory(SceneGround(Scene()))
        self._detectors = [LineCrossingDetector(line, self._track_memory) for line in lines]
        self.crossings: dict[str, list[scoring.ReportedCrossing]] = {
            line.name: [] for line in lines
        }

    def update(self, frame_result: FrameResult) -> None:
        """Process the next frame result."""
        self._track_memory.step(frame_result)
        for detector in self._detectors:
            detector.step()
            for crossing in detector.crossings:
                self.crossings[crossing.line.name].append(
                    scoring.ReportedCrossing(
                        crossing.t_ns / 1e9,
                        crossing.position,
                        crossing.direction,
                        crossing.track.label,
                    )
                )


def make_line(name: str, x1: float, y1: float, x2: float, y2: float) -> SceneLine:
    forward, backward = DIRECTIONS
    return SceneLine(
        name=name,
        start=Point(x1, y1),
        to=Point(x2, y2),
        forward_name=forward,
        backward_name=backward,
    )


def score_line_counts(
    detector: TfliteDetector,
    settings: PipelineSettings,
    name_filter: str,
    *,
    prototype: bool,
    verbose: bool,
) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    total = scoring.Score()
    passes = frame_count = confused = car_and_lorry = 0
    for name, labels in labelled_clips().items():
        if name_filter not in name:
            continue
        pipeline = (
            BaselinePipeline(detector) if prototype else DetectionPipeline(detector, settings)
        )
        counter = LineCounter([make_line(name, *labels.line)])
        clip_passes = clip_frames = 0
        for frame in read_frames(clip_path(name)):
            frame_result = pipeline.process(frame)
            counter.update(frame_result)
            clip_passes += frame_result.inference_count
            clip_frames += 1
        result = scoring.score_counts(counter.crossings[name], labels)
        rows[name] = _score_row(result.score) | {"passes": clip_passes, "frames": clip_frames}
        total += result.score
        passes, frame_count = passes + clip_passes, frame_count + clip_frames
        confused, car_and_lorry = (
            confused + len(result.confused),
            car_and_lorry + result.car_and_lorry,
        )
        if verbose:
            for missed in result.missed:
                print("   missed", name, missed)
            for extra in result.extra:
                print("   extra ", name, extra)
    pooled = _score_row(total) | {"passes": passes, "frames": frame_count}
    return {"clips": rows, "pooled": pooled, "confused": confused, "car_and_lorry": car_and_lorry}


def _score_row(score: scoring.Score) -> dict[str, Any]:
    return {
        "hits": score.hits,
        "misses": score.misses,
        "extras": score.extras,
        "recall": round(score.recall, 3),
        "precision": round(score.precision, 3),
        "f1": round(score.f1, 3),
    }


def people_film(name: str) -> Path:
    """Return the film of a set of the MOT challenge."""
    if name.startswith("PETS"):
        return FOOTAGE_FOLDER / "opencv_vtest.avi"
    return LABEL_FOLDER / "mot15" / name / f"{name}.mp4"


def true_people(name: str) -> list[list[float]]:
    """Return the true people of a set of the MOT challenge: picture from 1, person, left, top, width and height in pixels."""
    text = (LABEL_FOLDER / "mot15" / name / "gt.txt").read_text(encoding="utf-8")
    rows = ([float(field) for field in line.split(",")] for line in text.split())
    return [row[:6] for row in rows if row[6]]


def score_people(found: Sequence[BoundingBox], truth: Sequence[BoundingBox]) -> scoring.Score:
    """Match people in one frame one to one at an overlap of 0.5, best overlap first."""
    pairs = sorted(
        ((iou(f, t), i, j) for i, f in enumerate(found) for j, t in enumerate(truth)),
        reverse=True,
    )
    used_found: set[int] = set()
    used_truth: set[int] = set()
    for iou_value, i, j in pairs:
        if iou_value < 0.5:
            break
        if i not in used_found and j not in used_truth:
            used_found.add(i)
            used_truth.add(j)
    hits = len(used_found)
    return scoring.Score(hits, len(truth) - hits, len(found) - hits)


def score_people_tracks(
    detector: TfliteDetector, settings: PipelineSettings, name: str
) -> dict[str, Any]:
    truth: dict[int, list[tuple[float, ...]]] = {}
    for picture, _, *box in true_people(name):
        truth.setdefault(int(picture), []).append(tuple(box))
    derived = json.loads((LABEL_FOLDER / "mot15" / "derived_counts.json").read_text())[name][
        "lines"
    ]
    total = scoring.Score()
    pipeline = DetectionPipeline(detector, settings)
    counter: LineCounter | None = None
    passes = frame_number = 0
    for frame in read_frames(people_film(name)):
        w, h = frame.width_px, frame.height_px
        if counter is None:
            lines = []
            for title in derived:
                x = (float(title.split("=")[1])) / w
                lines.append(make_line(title, x, 1.0, x, 0.0))
            counter = LineCounter(lines)
        frame_result = pipeline.process(frame)
        counter.update(frame_result)
        passes, frame_number = passes + frame_result.inference_count, frame_number + 1
        boxes = [
            BoundingBox(x / w, y / h, bw / w, bh / h)
            for x, y, bw, bh in truth.get(frame_number, [])
        ]
        found = [t.box for t in frame_result.tracks if t.label == "person"]
        total += score_people(found, boxes)
    assert counter is not None
    rows = {}
    expected = counted = 0
    for title, labels in derived.items():
        crossed = counter.crossings[title]
        left_to_right = sum(1 for c in crossed if c.direction == DIRECTIONS[0])
        rows[title] = {
            "left_to_right": [left_to_right, labels["left_to_right"]],
            "right_to_left": [len(crossed) - left_to_right, labels["right_to_left"]],
        }
        expected += labels["left_to_right"] + labels["right_to_left"]
        counted += len(crossed)
    error_count = sum(abs(a - b) for row in rows.values() for a, b in row.values())
    return _score_row(total) | {
        "passes": passes,
        "frames": frame_number,
        "lines": rows,
        "line_total": [counted, expected],
        "line_error": round(abs(counted - expected) / expected, 3),
        "line_error_by_direction": round(error_count / expected, 3),
    }


def score_pictures(
    card: ModelCard, content: bytes, max_pictures: int | None = None
) -> dict[str, dict[str, float]]:
    """Return the AP50 of `detect` in the product, and of the bare interpreter of an SSD, whose outputs are boxes."""
    detector = TfliteDetector(with_score_floor(card, AP_SCORE_FLOOR), content)
    folder = read_labelled_folder(LABEL_FOLDER / "coco_val_road")
    folder = msgspec.structs.replace(folder, pictures=folder.pictures[:max_pictures])
    found: dict[str, dict[int, tuple[Detection, ...]]] = {"product": {}}
    if card.decoder == "ssd":
        found["bare"] = {}
    for picture in folder.pictures:
        rgb = read_image(picture.path)
        found["product"][picture.id] = detector.detect(rgb)
        if "bare" in found:
            found["bare"][picture.id] = _bare_detections(detector, rgb)
    rows: dict[str, dict[str, float]] = {}
    for variant, by_picture in found.items():
        ap50 = folder.measure(by_picture)
        rows[variant] = {label: round(ap50.get(label, math.nan), 3) for label in LABELS}
        rows[variant]["mean"] = mean_ap50(ap50)
    return rows


def _bare_detections(detector: TfliteDetector, rgb: np.ndarray) -> tuple[Detection, ...]:
    """Run the interpreter of an SSD without the product around it, and return every bounding box."""
    card = detector.card
    resized = cv2.resize(rgb, (card.input.width_px, card.input.height_px))
    with detector.interpreters.borrowed() as runtime:
        runtime.set_tensor(runtime.get_input_details()[0]["index"], resized[np.newaxis])
        runtime.invoke()
        outputs = sorted(runtime.get_output_details(), key=lambda o: o["index"])
        boxes, classes, scores, count = (runtime.get_tensor(o["index"]) for o in outputs)
    label_of = {number: label for label, number in card.labels.items()}
    return tuple(
        Detection(
            label=label_of[int(classes[0, i])],
            score=float(scores[0, i]),
            box=BoundingBox(float(x), float(y), float(x2 - x), float(y2 - y)),
        )
        for i, (y, x, y2, x2) in enumerate(boxes[0][: int(count[0])])
        if int(classes[0, i]) in label_of
    )


def rows() -> list[Row]:
    """Return the rows for the default model. Raises: LookupError without labels."""
    if not LABEL_FOLDER.is_dir():
        raise LookupError(
            f"{LABEL_FOLDER}: missing; the labels are in a folder next to the project"
        )
    cv2.setNumThreads(1)
    detector = open_detector(DetectConfig().model)
    settings = PipelineSettings()
    ap50 = score_pictures(detector.card, read_verified_model(detector.card))
    by_label = ", ".join(f"{label} {ap50['product'][label]}" for label in LABELS)
    table = [
        Row(
            name="AP50, whole pictures",
            value=ap50["product"]["mean"],
            unit="",
            target="-",
            note=by_label,
        ),
    ]
    if "bare" in ap50:
        gap = abs(ap50["bare"]["mean"] - ap50["product"]["mean"])
        table.append(
            Row(name="AP50, distance from the bare model", value=gap, unit="", target="<= 0.01")
        )
    for name in ("PETS09-S2L1", "TUD-Campus"):
        row = score_people_tracks(detector, settings, name)
        table += [
            Row(name=f"people {name}, recall", value=row["recall"], unit="", target="-"),
            Row(name=f"people {name}, precision", value=row["precision"], unit="", target="-"),
            Row(
                name=f"people {name}, error of line counts",
                value=row["line_error"],
                unit="",
                target="aim <= 0.1",
                note=f"{row['line_total'][0]} of {row['line_total'][1]}; "
                f"by direction and line {row['line_error_by_direction']}",
            ),
        ]
    product_counts = score_line_counts(detector, settings, "", prototype=False, verbose=False)
    prototype_counts = score_line_counts(detector, settings, "", prototype=True, verbose=False)
    for name, row in product_counts["clips"].items():
        table.append(
            Row(name=f"counts {name}, F1", value=row["f1"], unit="", target="-", note=_summary(row))
        )
    table += [
        Row(
            name="counts pooled, F1",
            value=product_counts["pooled"]["f1"],
            unit="",
            target=">= 0.88",
            note=_summary(product_counts["pooled"]),
        ),
        Row(
            name="counts pooled, F1 of the prototype",
            value=prototype_counts["pooled"]["f1"],
            unit="",
            target="-",
            note=_summary(prototype_counts["pooled"]),
        ),
        Row(
            name="detector passes, of the prototype's",
            value=product_counts["pooled"]["passes"] / prototype_counts["pooled"]["passes"],
            unit="ratio",
            target="<= 1.5",
        ),
        Row(
            name="counts, car and lorry confused",
            value=product_counts["car_and_lorry"],
            unit="",
            target="-",
        ),
    ]
    return table


def _summary(row: dict[str, Any]) -> str:
    return f"recall {row['recall']}, precision {row['precision']}, {row['misses']} missed, {row['extras']} extra"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--model", default=DetectConfig().model)
    parser.add_argument(
        "--inferences-per-s", type=float, default=PipelineSettings().max_inferences_per_s
    )
    parser.add_argument("--only", default="", help="counts of the clips with this in their name")
    parser.add_argument("--parts", default="pictures,people,counts,prototype")
    parser.add_argument("--verbose", action="store_true", help="each miss and each extra")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    detector = open_detector(args.model)
    settings = PipelineSettings(max_inferences_per_s=args.inferences_per_s)
    report: dict[str, Any] = {"model": args.model, "inferences_per_s": args.inferences_per_s}
    start_s = time.process_time()
    parts = args.parts.split(",")
    if "pictures" in parts:
        report["pictures"] = score_pictures(detector.card, read_verified_model(detector.card))
        for variant, row in report["pictures"].items():
            print(f"AP50 {variant:8}", *(f"{label} {value:.3f}" for label, value in row.items()))
    if "people" in parts:
        report["people"] = {}
        for name in ("PETS09-S2L1", "TUD-Campus"):
            row = report["people"][name] = score_people_tracks(detector, settings, name)
            print(
                f"people {name:12} recall {row['recall']:.3f} precision {row['precision']:.3f} "
                f"passes/frame {row['passes'] / row['frames']:.2f} "
                f"lines {row['line_total'][0]} of {row['line_total'][1]} "
                f"error {row['line_error']:.3f} by direction {row['line_error_by_direction']:.3f}"
            )
    for part in ("counts", "prototype"):
        if part not in parts:
            continue
        row = report[part] = score_line_counts(
            detector, settings, args.only, prototype=part == "prototype", verbose=args.verbose
        )
        print(f"{part:34} hits miss extra recall precision   F1  passes/frame")
        for name, score in (*row["clips"].items(), ("pooled", row["pooled"])):
            print(
                f"  {name:32} {score['hits']:4} {score['misses']:4} {score['extras']:5} "
                f"{score['recall']:6.3f} {score['precision']:9.3f} {score['f1']:5.3f} "
                f"{score['passes'] / max(1, score['frames']):6.2f}"
            )
        print(f"  labels confused {row['confused']}, car and lorry {row['car_and_lorry']}")
    if "counts" in parts and "prototype" in parts:
        ratio = report["counts"]["pooled"]["passes"] / report["prototype"]["pooled"]["passes"]
        report["passes_ratio"] = round(ratio, 3)
        print(f"passes, of the prototype's: {ratio:.2f}")
    report["cpu_s"] = round(time.process_time() - start_s, 1)
    print(f"CPU {report['cpu_s']} s")
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
