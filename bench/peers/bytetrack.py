"""ByteTrack of the package `trackers`, in its own virtual environment and process.

Reads boxes once from a `.npz` (frame number, x1, y1, x2, y2, score, class) and tracks all its frames for
each line on standard input, answering with the CPU seconds. Only `update` is timed: the detections are
made beforehand.
"""

import sys
import time
import warnings

import numpy as np
import supervision as sv
from trackers import ByteTrackTracker


def main() -> None:
    """Serve until standard input ends."""
    rows = np.load(sys.argv[1])["rows"]
    fps = float(sys.argv[2])
    frames = [
        sv.Detections(
            xyxy=part[:, 1:5],
            confidence=part[:, 5],
            class_id=part[:, 6].astype(int),
        )
        for part in np.split(rows, np.flatnonzero(np.diff(rows[:, 0])) + 1)
    ]
    for _ in sys.stdin:
        tracker = ByteTrackTracker(frame_rate=fps)
        start_s = time.process_time()
        max_tracks = 0
        for detections in frames:
            max_tracks = max(max_tracks, len(np.unique(tracker.update(detections).tracker_id)))
        sys.stdout.write(f"{time.process_time() - start_s} {max_tracks}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
