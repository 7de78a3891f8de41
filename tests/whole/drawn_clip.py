"""A clip of the rendered street: a video that every clone can make."""

import math
import time
from pathlib import Path

import av
import numpy as np

from drivers.contracts import StreamRequest
from drivers.errors import DriverError
from drivers.media import Frame
from simulation.camera import fake

FPS = 10


def write_street_clip(
    path: Path, duration_s: float, width_px: int = 640, height_px: int = 360
) -> None:
    options = fake.Options(
        width_px=width_px, height_px=height_px, fps=FPS, pace="fast", duration_s=duration_s
    )
    request = StreamRequest(packets=False, frames_fps=math.inf)
    camera = fake.open_camera("drawn", options, request, time.monotonic_ns)
    with av.open(str(path), "w") as video:
        stream = video.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        for frame in _read_frames(camera):
            planes = np.concatenate([plane.reshape(-1) for plane in (frame.y, frame.u, frame.v)])
            picture = av.VideoFrame.from_ndarray(planes.reshape(-1, width_px), format="yuv420p")
            video.mux(stream.encode(picture))
        video.mux(stream.encode(None))
    camera.close()


def _read_frames(camera: fake.FakeCamera) -> list[Frame]:
    frames: list[Frame] = []
    while True:
        try:
            media = camera.read(10.0)
        except DriverError:
            return frames
        if isinstance(media, Frame):
            frames.append(media)
