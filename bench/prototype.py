"""Baseline of the counts: a detector and a tracker as written in an afternoon."""

import cv2
import numpy as np

from agent.base.model import Detection, FrameResult, Track
from agent.detection.geometry import iou
from agent.detection.tflite import TfliteDetector
from drivers.media import Frame


class BaselinePipeline:
    """The naive way: the whole picture at half the frame rate, greedy overlap tracking."""

    def __init__(self, detector: TfliteDetector) -> None:
        self._detector = detector
        self._tracks: list[Track] = []
        self._next_id = 1

    def process(self, frame: Frame) -> FrameResult:
        """Process a frame. Return its tracks."""
        passes = 0
        if frame.seq % 2 == 0:
            passes = 1
            stacked = np.concatenate([p.reshape(-1) for p in (frame.y, frame.u, frame.v)])
            rgb = cv2.cvtColor(
                stacked.reshape(frame.height_px * 3 // 2, frame.width_px), cv2.COLOR_YUV2RGB_I420
            )
            found = [d for d in self._detector.detect(np.asarray(rgb, np.uint8)) if d.score >= 0.4]
            self._tracks = self._update_tracks(found, frame.t_ns)
        visible = tuple(t for t in self._tracks if t.seen_ns == frame.t_ns)
        return FrameResult(
            seq=frame.seq,
            t_ns=frame.t_ns,
            width_px=frame.width_px,
            height_px=frame.height_px,
            gate_luma=frame.y,
            moving_ratio=0.0,
            tracks=visible,
            inference_count=passes,
        )

    def _update_tracks(self, found: list[Detection], t_ns: int) -> list[Track]:
        pairs = sorted(
            (
                (iou(t.box, d.box), -i, -j)
                for i, t in enumerate(self._tracks)
                for j, d in enumerate(found)
            ),
            reverse=True,
        )
        match_by_track: dict[int, int] = {}
        used: set[int] = set()
        for overlap, i, j in pairs:
            if overlap >= 0.3 and -i not in match_by_track and -j not in used:
                match_by_track[-i] = -j
                used.add(-j)
        updated: list[Track] = []
        for i, old in enumerate(self._tracks):
            if i in match_by_track:
                updated.append(
                    self._make_track(old.id, found[match_by_track[i]], old.begin_ns, t_ns)
                )
            elif t_ns - old.seen_ns < 0.5e9:
                updated.append(old)
        for j, detection in enumerate(found):
            if j not in used:
                updated.append(self._make_track(self._next_id, detection, t_ns, t_ns))
                self._next_id += 1
        return updated

    @staticmethod
    def _make_track(number: int, d: Detection, begin_ns: int, t_ns: int) -> Track:
        return Track(
            id=number, label=d.label, score=d.score, box=d.box, vx=0.0, vy=0.0,
            begin_ns=begin_ns, seen_ns=t_ns,
        )  # fmt: skip
