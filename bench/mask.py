"""Cost of masks: painting each frame, and re-encoding a stream that arrives encoded.

Run: `python -m bench mask`.
"""

import itertools
import math
import time
from pathlib import Path

from agent.config.configuration import DetectConfig
from bench import videos
from bench.cpu import one_core, run_in_turns
from bench.table import Row
from drivers.camera.replay import Options, open_camera
from drivers.contracts import Camera, StreamRequest
from drivers.masking import MaskPainter
from drivers.media import Frame, Point, Polygon
from drivers.transcoding import open_transcoded

FRAMES = 150
"""Frames of the video in each turn: 10 s of it."""

DETECT_FPS = DetectConfig().fps

HOUSES = (Point(0, 0), Point(0.35, 0), Point(0.3, 0.4), Point(0, 0.5))
SHOPS = (Point(0.7, 0.05), Point(1, 0), Point(1, 0.6), Point(0.8, 0.4))
MASKS: tuple[Polygon, ...] = (HOUSES, SHOPS)
"""A quarter of the picture, along both sides of a street."""


def read_detection_frames(video: Path, masks: tuple[Polygon, ...]) -> None:
    """Read the detection frames from the driver in fast pace."""
    request = StreamRequest(packets=False, frames_fps=DETECT_FPS, masks=masks)
    _read_frames(_open_video(video, request), round(FRAMES * DETECT_FPS / videos.MAIN.fps))


def read_transcoded(video: Path) -> None:
    """Mask and re-encode every frame, and read packets and frames."""
    request = StreamRequest(packets=True, frames_fps=math.inf, masks=MASKS)
    _read_frames(
        open_transcoded("bench", lambda wanted: _open_video(video, wanted), request), FRAMES
    )


def paint_frames(frames: list[Frame]) -> None:
    """Paint the masks alone."""
    painter = MaskPainter(MASKS, "bench")
    for frame in itertools.islice(itertools.cycle(frames), FRAMES):
        painter.paint_planes((frame.y, frame.u, frame.v))


def _open_video(video: Path, request: StreamRequest) -> Camera:
    return open_camera("bench", Options(path=str(video), pace="fast"), request, time.monotonic_ns)


def _read_frames(camera: Camera, count: int) -> list[Frame]:
    """Return the last of `count` frames."""
    last_frames: list[Frame] = []
    frame_count = 0
    while frame_count < count:
        media = camera.read(1.0)
        if isinstance(media, Frame):
            frame_count += 1
            last_frames = [*last_frames[-3:], media]
    camera.close()
    return last_frames


def rows() -> list[Row]:
    """Compare runs with and without masks, in turns."""
    video = videos.video_path(videos.MAIN)
    sample_frames = _read_frames(
        _open_video(video, StreamRequest(packets=False, frames_fps=math.inf)), 8
    )
    with one_core():
        turns = run_in_turns(
            {
                "plain": lambda: read_detection_frames(video, ()),
                "masked": lambda: read_detection_frames(video, MASKS),
                "again": lambda: read_transcoded(video),
                "paint": lambda: paint_frames(sample_frames),
            },
            turns=5,
        )
    return [
        Row(
            name="masks painted over a picture, 1080p",
            value=turns.ms("paint", FRAMES),
            unit="ms",
            target="<= 0.5",
            note="CPU a frame; two polygons over a quarter of the picture",
        ),
        Row(
            name=f"camera with masks / without, {DETECT_FPS:g} frames a second",
            value=turns.ratio("masked", "plain"),
            unit="ratio",
            target="<= 1.1",
            note="the driver `replay`, decoding included",
        ),
        Row(
            name="camera encoded again with masks / watched without",
            value=turns.ratio("again", "plain"),
            unit="ratio",
            target="-",
            note=f"`transcode = true`: {turns.ms('again', FRAMES):.1f} ms of CPU a frame at 1080p",
        ),
    ]
