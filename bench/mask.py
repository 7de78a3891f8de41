"""What masks cost: painting over each frame, and encoding again what arrives encoded.

Run: `python -m bench mask`.
"""

import itertools
import math
import time
from pathlib import Path

from agent.config.configuration import DetectConfig
from bench import films
from bench.cpu import in_turns, one_core
from bench.table import Row
from drivers.camera.replay import Options, open_camera
from drivers.contracts import Camera, Wanted
from drivers.masking import MaskPainter
from drivers.media import Corner, Frame, Polygon
from drivers.transcoding import open_transcoded

FRAMES = 150
"""Pictures of the film in each turn: 10 s of it."""

LOOKED_AT_FPS = DetectConfig().fps

HOUSES = (Corner(0, 0), Corner(0.35, 0), Corner(0.3, 0.4), Corner(0, 0.5))
SHOPS = (Corner(0.7, 0.05), Corner(1, 0), Corner(1, 0.6), Corner(0.8, 0.4))
MASKS: tuple[Polygon, ...] = (HOUSES, SHOPS)
"""A quarter of the picture, along both sides of a street."""


def watched(film: Path, masks: tuple[Polygon, ...]) -> None:
    """The driver in fast pace, the frames that detection looks at."""
    wanted = Wanted(packets=False, frames_fps=LOOKED_AT_FPS, masks=masks)
    _frames(_opened(film, wanted), round(FRAMES * LOOKED_AT_FPS / films.MAIN.fps))


def transcoded(film: Path) -> None:
    """Every frame is masked and encoded again; packets and frames are given."""
    wanted = Wanted(packets=True, frames_fps=math.inf, masks=MASKS)
    _frames(open_transcoded("bench", lambda wanted: _opened(film, wanted), wanted), FRAMES)


def painted(frames: list[Frame]) -> None:
    """The painting alone."""
    painter = MaskPainter(MASKS, "bench")
    for frame in itertools.islice(itertools.cycle(frames), FRAMES):
        painter.painted((frame.y, frame.u, frame.v))


def _opened(film: Path, wanted: Wanted) -> Camera:
    return open_camera("bench", Options(path=str(film), pace="fast"), wanted, time.monotonic_ns)


def _frames(camera: Camera, count: int) -> list[Frame]:
    """The last frames of `count`."""
    seen: list[Frame] = []
    number = 0
    while number < count:
        media = camera.read(1.0)
        if isinstance(media, Frame):
            number += 1
            seen = [*seen[-3:], media]
    camera.close()
    return seen


def rows() -> list[Row]:
    """With masks beside without, in turns."""
    film = films.made(films.MAIN)
    few = _frames(_opened(film, Wanted(packets=False, frames_fps=math.inf)), 8)
    with one_core():
        turns = in_turns(
            {
                "plain": lambda: watched(film, ()),
                "masked": lambda: watched(film, MASKS),
                "again": lambda: transcoded(film),
                "paint": lambda: painted(few),
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
            name=f"camera with masks / without, {LOOKED_AT_FPS:g} frames a second",
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
