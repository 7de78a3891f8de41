"""Overhead of a camera driver over bare PyAV: CPU time, one thread, the same video.

Run: `python -m bench decode`.
"""

import math
import time
from pathlib import Path

import av

from bench import videos
from bench.cpu import cpu_s, one_core, run_in_turns
from bench.table import Row
from drivers.camera.replay import Options, open_camera
from drivers.contracts import StreamRequest
from drivers.media import Frame

FRAMES = 300
"""Frames that each turn decodes: 20 s of the video."""

PACED_S = 10.0


def decode_bare(video: Path, thread_type: str = "NONE", frames: int | None = FRAMES) -> None:
    """Decode with PyAV as in its manual, in one thread: the first frames, or all."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.thread_type = thread_type
        stream.codec_context.thread_count = 1
        for number, _ in enumerate(container.decode(stream), 1):
            if number == frames:
                return


def decode_with_driver(video: Path, frames_fps: float, *, packets: bool) -> None:
    """Read the same frames from the driver in fast pace, and touch each plane."""
    options = Options(path=str(video), pace="fast")
    request = StreamRequest(packets=packets, frames_fps=frames_fps)
    camera = open_camera("bench", options, request, time.monotonic_ns)
    end_ns = (FRAMES - 1) * 1_000_000_000 // videos.MAIN.fps
    if not packets and math.isfinite(frames_fps):
        # The last picture that is wanted of those that are decoded.
        end_ns = int((end_ns * frames_fps) // 1_000_000_000 * 1_000_000_000 / frames_fps)
    while True:
        media = camera.read(1.0)
        assert media is not None
        if isinstance(media, Frame):
            plane_sum = int(media.y[0, 0]) + int(media.u[0, 0]) + int(media.v[0, 0])
            assert plane_sum >= 0
            if media.t_ns >= end_ns:
                break
    camera.close()


def measure_paced_s(video: Path) -> float:
    """Return the driver's CPU seconds in real time for REAL_S: packets, and 5 frames per second."""
    options = Options(path=str(video), pace="real", loop=True)
    request = StreamRequest(packets=True, frames_fps=5.0)
    camera = open_camera(
        "bench", options, request, lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    )
    start_s, end_s = cpu_s(), time.monotonic() + PACED_S
    while time.monotonic() < end_s:
        camera.read(0.1)
    cpu_used_s = cpu_s() - start_s
    camera.close()
    return cpu_used_s


def rows() -> list[Row]:
    """Compare the driver with bare PyAV, in turns."""
    video = videos.video_path(videos.MAIN)
    with one_core():
        turns = run_in_turns(
            {
                "bare": lambda: decode_bare(video),
                "slices": lambda: decode_bare(video, "SLICE"),
                "frames": lambda: decode_with_driver(video, math.inf, packets=False),
                "all": lambda: decode_with_driver(video, math.inf, packets=True),
                "few": lambda: decode_with_driver(video, 5.0, packets=False),
            }
        )
        bare_s = turns.ms("bare", 1) / 1e3 * PACED_S * videos.MAIN.fps / FRAMES
        paced_s = measure_paced_s(video)
    slices_ms = turns.ms("slices", FRAMES)
    return [
        Row(
            name="bare PyAV decode, 1080p",
            value=turns.ms("bare", FRAMES),
            unit="ms",
            target="-",
            note=f"CPU a frame, thread_type NONE; SLICE with one thread {slices_ms:.2f} ms",
        ),
        Row(
            name="camera, every frame as planes / bare decode",
            value=turns.ratio("frames", "bare"),
            unit="ratio",
            target="<= 1.04",
            note="the driver `replay`",
        ),
        Row(
            name="camera, every frame and packet / bare decode",
            value=turns.ratio("all", "bare"),
            unit="ratio",
            target="<= 1.08",
        ),
        Row(
            name="camera, 5 frames a second / bare decode",
            value=turns.ratio("few", "bare"),
            unit="ratio",
            target="<= 1.04",
            note="the codec needs every picture",
        ),
        Row(
            name="camera at real pace, packets and 5 fps / bare decode",
            value=paced_s / bare_s,
            unit="ratio",
            target="-",
            note=f"{PACED_S:g} s, woken 5 times a second",
        ),
    ]
