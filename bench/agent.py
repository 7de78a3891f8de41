"""CPU of the agent on one street: its stages against bare decoding and `motion`, and the whole agent.

CPU seconds are of all threads, on one core, for 60 s of video.
Run: `python -m bench agent`; it takes about half an hour, since most runs play in real time.
"""

import contextlib
import shutil
import tempfile
import time
from pathlib import Path

from agent.detection.pipeline import DetectionPipeline
from bench import on_demand, real_pace, record, videos
from bench.cpu import one_core, run_in_turns
from bench.decode import decode_bare
from bench.real_pace import format_seconds
from bench.table import Row
from drivers.camera.replay import Options, open_camera
from drivers.contracts import StreamRequest
from drivers.errors import DriverError
from drivers.media import Frame


def rows() -> list[Row]:
    """Return the rows of the table."""
    with one_core(), tempfile.TemporaryDirectory(prefix="vigie-bench-") as folder:
        main, sub = videos.video_path(videos.MAIN), videos.video_path(videos.SUB)
        return [
            *full_speed_rows(main, sub, Path(folder)),
            *on_demand.rows(),
            *real_pace.rows(main, sub, Path(folder)),
        ]


def run_detection(video: Path, fps: float) -> None:
    """Decode and run the motion gate, as fast as possible."""
    camera = open_camera(
        "bench",
        Options(path=str(video), pace="fast"),
        StreamRequest(packets=False, frames_fps=fps),
        time.monotonic_ns,
    )
    pipeline = DetectionPipeline(None)
    with contextlib.suppress(DriverError):  # The camera raises at the end of the video.
        while True:
            media = camera.read(1.0)
            if isinstance(media, Frame):
                pipeline.process(media)
    camera.close()


def full_speed_rows(main: Path, sub: Path, folder: Path) -> list[Row]:
    """Compare decode and motion gate with bare PyAV, as fast as possible."""
    ring = folder / "ring"
    busy = videos.video_path(videos.BUSY_MAIN)

    def run_two_streams() -> None:
        run_detection(sub, videos.SUB.fps)
        shutil.rmtree(ring, ignore_errors=True)
        record.BenchRecorder(ring, 1.0, None).record(main)

    turns = run_in_turns(
        {
            "one": lambda: run_detection(main, on_demand.FPS),
            "decode": lambda: decode_bare(main, frames=None),
        },
        turns=5,
    )
    extra_turns = run_in_turns(
        {
            "five": lambda: run_detection(main, 5.0),
            "decode": lambda: decode_bare(main, frames=None),
            "busy": lambda: run_detection(busy, on_demand.FPS),
            "decode busy": lambda: decode_bare(busy, frames=None),
        },
        turns=2,
    )
    dual_turns = run_in_turns(
        {"two": run_two_streams, "decode": lambda: decode_bare(sub, frames=None)}
    )
    five_fps_ratio = extra_turns.ratio("five", "decode")
    busy_ratio = extra_turns.ratio("busy", "decode busy")
    return [
        Row(
            name="one stream 1080p15: decode and gate / bare decode",
            value=turns.ratio("one", "decode"),
            unit="ratio",
            target="<= 1.08",
            note=f"{format_seconds(turns, 'one', 'decode')}, {on_demand.FPS:g} pictures/s; with 5: {five_fps_ratio:.2f}; "
            f"always busy: {busy_ratio:.2f}",
        ),
        Row(
            name="two streams: 360p5 gated, 1080p15 recorded / bare decode of the 360p5",
            value=dual_turns.ratio("two", "decode"),
            unit="ratio",
            target="<= 1.5",
            note=format_seconds(dual_turns, "two", "decode"),
        ),
    ]
