"""agent.recording.record_stage killed at random moments: all packets taken play, except the last group."""

import hashlib
import os
import random
import select
import signal
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from agent.recording.recovery import recover_folder

KILLS = 20
FPS = 10
GOP = 8
FRAMES = 40

RECORDER = """
    import random, sys, threading
    from pathlib import Path
    from agent.base.clock import SystemClock
    from agent.config.recording import RecordConfig
    from agent.faults.registry import FaultRegistry
    from agent.runtime.queues import PacketQueue
    from agent.recording.record_stage import RecordStage
    from drivers.camera.replay import Options, open_camera
    from agent.recording.segment_writer import SegmentTarget
    from drivers.contracts import StreamRequest
    from tests.recording_rig import retention_alone

    clock = SystemClock()
    queue = PacketQueue(1 << 26, lambda *_: None)
    footage = Path(sys.argv[2])
    settings, faults = RecordConfig(segment_s=2.0, flush_s=0.0), FaultRegistry(clock.boottime_ns)
    retention = retention_alone("north", footage, settings, clock, faults)
    stage = RecordStage(
        SegmentTarget("north", footage, settings, retention), queue, clock, faults,
        on_gap=lambda *_: None, on_segment=lambda _: None,
    )
    camera = open_camera(
        "video", Options(path=sys.argv[1], pace="fast", loop=True),
        StreamRequest(packets=True, frames_fps=0), clock.boottime_ns,
    )
    stage.on_stream_opened(camera.info)
    no_wait = threading.Event()
    no_wait.set()
    rng = random.Random(int(sys.argv[3]))
    taken = 0
    while True:
        for _ in range(rng.randrange(1, 6)):
            queue.put(camera.read(1.0))
            taken += 1
        stage.run_once(no_wait)
        print(taken, flush=True)
"""


def encode(path: Path) -> None:
    """H.264 as a camera sends it; no two pictures are alike."""
    rng = np.random.default_rng(3)
    with av.open(str(path), "w") as out:
        options = {"preset": "ultrafast", "tune": "zerolatency", "sc_threshold": "0"}
        stream = out.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        stream.codec_context.gop_size = GOP
        for index in range(FRAMES):
            rgb = rng.integers(0, 60, (64, 96, 3), np.uint8) + np.uint8(index)
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p")
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def pictures(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [
            hashlib.sha256(frame.to_ndarray(format="gray").tobytes()).hexdigest()
            for frame in container.decode(video=0)
        ]


def record_and_kill(video: Path, footage: Path, seed: int, after: int) -> int:
    """Let a recorder take at least `after` packets, kill it at any moment of the next turns, and
    return how many it had reported.
    """
    command = [sys.executable, "-c", textwrap.dedent(RECORDER), str(video), str(footage), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        message = b""
        taken = 0
        while taken < after:
            ready, _, _ = select.select([child.stdout], [], [], 120)
            assert ready, "the recorder does not record"
            chunk = os.read(child.stdout.fileno(), 4096)
            assert chunk, "the recorder ended by itself"
            message += chunk
            lines = message.split(b"\n")
            taken = int(lines[-2]) if len(lines) > 1 else 0
        child.send_signal(signal.SIGKILL)
        message += child.stdout.read()
    return int(message.split(b"\n")[-2])


@pytest.mark.slow
def test_a_killed_recorder_loses_the_last_group_at_most(tmp_path: Path) -> None:
    video, footage = tmp_path / "video.mp4", tmp_path / "footage"
    encode(video)
    one_loop = pictures(video)
    rng = random.Random(11)
    before: list[Path] = []
    for seed in range(KILLS):
        taken = record_and_kill(video, footage, seed, rng.randrange(1, 400))
        segments = [footage / "north" / str(s.name) for s in recover_folder(footage / "north")]
        assert segments[: len(before)] == before, "an older segment is gone or out of order"
        shown = [digest for path in segments[len(before) :] for digest in pictures(path)]
        whole_groups = (taken - 1) // GOP * GOP
        assert len(shown) >= whole_groups
        loops = one_loop * (len(shown) // FRAMES + 1)
        assert shown == loops[: len(shown)]
        before = segments
    assert not list((footage / "north").glob("*.part"))
