"""ByteTrack, OC-SORT and the MOT metrics of the package `trackers`, in their own virtual environment and process.

Each line on standard input is a request in JSON, each line on standard output its answer:

- `{"tracker": "bytetrack", "detections": FILE}` tracks the film of a `.npz` and answers `cpu_s` and `most`, the
  most identities in one frame. With `"ids": FILE` the identity of each detection is written there, -1 without one.
- `{"truth": FILE, "tracks": FILE}` compares two files in the format of the MOT challenge and answers `hota`,
  `idf1`, `mota` and `switches`.

The `.npz` has `rows` (frame number, x1, y1, x2, y2, score, class), and `frames`, `fps` and `start_score`, from
which a detection may begin a track. Only `update` is timed: the detections are made beforehand.
"""

import itertools
import json
import sys
import time
import warnings
from typing import Any

import numpy as np
import supervision as sv
from trackers import ByteTrackTracker, OCSORTTracker
from trackers.eval import evaluate_mot_sequence


def main() -> None:
    """Serve until standard input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        answer = track(request) if "tracker" in request else evaluate(request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def track(request: dict[str, Any]) -> dict[str, Any]:
    """Track one film from its begin."""
    with np.load(request["detections"]) as film:
        rows, fps, start_score = film["rows"], float(film["fps"]), float(film["start_score"])
        frame_count = int(film["frames"])
    bounds = np.searchsorted(rows[:, 0], np.arange(frame_count + 1))
    frames = [
        sv.Detections(
            xyxy=rows[begin:end, 1:5],
            confidence=rows[begin:end, 5],
            class_id=rows[begin:end, 6].astype(int),
        )
        for begin, end in itertools.pairwise(bounds)
    ]
    if request["tracker"] == "bytetrack":
        tracker = ByteTrackTracker(
            frame_rate=fps,
            track_activation_threshold=start_score,
            high_conf_det_threshold=start_score,
        )
    else:
        tracker = OCSORTTracker(frame_rate=fps, high_conf_det_threshold=start_score)
    start_s = time.process_time()
    tracked = [tracker.update(detections) for detections in frames]
    cpu_s = time.process_time() - start_s
    if "ids" in request:
        np.save(request["ids"], np.concatenate([table(i, d) for i, d in enumerate(tracked)]))
    most = max(len(np.unique(detections.tracker_id)) for detections in tracked)
    return {"cpu_s": cpu_s, "most": most}


def table(frame: int, detections: sv.Detections) -> np.ndarray:
    """Return the rows of one frame: frame number, identity, x1, y1, x2, y2, score, class."""
    count = len(detections)
    ids = np.full(count, -1) if detections.tracker_id is None else detections.tracker_id
    parts = (
        np.full(count, frame),
        ids,
        detections.xyxy,
        detections.confidence,
        detections.class_id,
    )
    return np.column_stack(parts).astype(np.float64).reshape(count, 8)


def evaluate(request: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of one sequence."""
    metrics = ["CLEAR", "HOTA", "Identity"]
    found = evaluate_mot_sequence(request["truth"], request["tracks"], metrics)
    return {
        "hota": float(found.HOTA.HOTA),
        "idf1": float(found.Identity.IDF1),
        "mota": float(found.CLEAR.MOTA),
        "switches": int(found.CLEAR.IDSW),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
