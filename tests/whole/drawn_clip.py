"""Films of the rendered street: videos that every clone can make."""

import math
import time
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import av
import numpy as np

from drivers.contracts import StreamRequest
from drivers.errors import DriverError
from drivers.media import Frame, Plane
from simulation.camera import fake

FPS = 10
Planes = tuple[Plane, Plane, Plane]


def write_street_clip(
    path: Path,
    duration_s: float,
    width_px: int = 640,
    height_px: int = 360,
    encoder_options: dict[str, str] | None = None,
    *,
    begin_s: float = 0.0,
) -> None:
    """Write a video of the street from `begin_s` of its timetable on."""
    street = fake.Options(
        width_px=width_px,
        height_px=height_px,
        fps=FPS,
        pace="fast",
        duration_s=begin_s + duration_s,
    )
    request = StreamRequest(packets=False, frames_fps=math.inf)
    camera = fake.open_camera("drawn", street, request, time.monotonic_ns)
    with av.open(str(path), "w") as video:
        options = {"preset": "veryfast"} | (encoder_options or {})
        stream = video.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        for frame in _read_frames(camera)[round(begin_s * FPS) :]:
            planes = np.concatenate([plane.reshape(-1) for plane in (frame.y, frame.u, frame.v)])
            picture = av.VideoFrame.from_ndarray(planes.reshape(-1, width_px), format="yuv420p")
            video.mux(stream.encode(picture))
        video.mux(stream.encode(None))
    camera.close()


def write_film(path: Path, pictures: Iterable[Planes], fps: int) -> None:
    """Write a video of Y, U and V planes, with a keyframe each second."""
    each = iter(pictures)
    first = next(each)
    with av.open(str(path), "w") as video:
        stream = video.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "18"})
        stream.pix_fmt = "yuv420p"
        stream.height, stream.width = first[0].shape
        stream.codec_context.gop_size = fps
        for planes in chain((first,), each):
            flat = np.concatenate([plane.reshape(-1) for plane in planes])
            picture = av.VideoFrame.from_ndarray(flat.reshape(-1, stream.width), format="yuv420p")
            video.mux(stream.encode(picture))
        video.mux(stream.encode(None))


def _read_frames(camera: fake.FakeCamera) -> list[Frame]:
    frames: list[Frame] = []
    while True:
        try:
            media = camera.read(10.0)
        except DriverError:
            return frames
        if isinstance(media, Frame):
            frames.append(media)
