"""CPU of the agent on one street: its stages against bare decoding and `motion`, and the whole agent.

CPU seconds are of all threads, on one core, for 60 s of video.
Run: `python -m bench agent`; it takes about twelve minutes, since some runs play in real time.
"""

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import av
import msgspec

from agent.detection.pipeline import DetectionPipeline
from agent.detection.tflite import open_detector
from bench import box, on_demand, record, videos
from bench.cpu import TurnTimes, cpu_s, one_core, process_cpu_s, run_in_turns
from bench.mosquitto import running_mosquitto
from bench.peers import motion
from bench.processes import running_process
from bench.table import Row
from drivers.camera.replay import Options, open_camera
from drivers.contracts import StreamRequest
from drivers.errors import DriverError
from drivers.media import Frame

FPS = 10.0
"""Frames per second that detection requests: the configuration's default."""

BUSY_SUB = msgspec.structs.replace(videos.SUB, name="360p5-busy", busy_s=videos.VIDEO_S)

SETTLE_S, MEASURE_S = 4.0, 54.0
"""A program in real time is measured after its start and before the video ends."""


def rows() -> list[Row]:
    """Return the rows of the table."""
    with one_core(), tempfile.TemporaryDirectory(prefix="vigie-bench-") as folder:
        main, sub = videos.video_path(videos.MAIN), videos.video_path(videos.SUB)
        full_speed = full_speed_rows(main, sub, Path(folder))
        real_time = real_time_rows(main, sub, Path(folder))
        return [
            *full_speed,
            *on_demand.rows(),
            *real_time,
            *agent_rows(main, sub, Path(folder)),
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


def decode_bare(video: Path) -> None:
    """Decode with PyAV alone, in one thread."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass


def full_speed_rows(main: Path, sub: Path, folder: Path) -> list[Row]:
    """Compare decode and motion gate with bare PyAV, as fast as possible."""
    ring = folder / "ring"
    busy = videos.video_path(videos.BUSY_MAIN)

    def run_two_streams() -> None:
        run_detection(sub, videos.SUB.fps)
        shutil.rmtree(ring, ignore_errors=True)
        record.BenchRecorder(ring, 1.0, None).record(main)

    turns = run_in_turns(
        {"one": lambda: run_detection(main, FPS), "decode": lambda: decode_bare(main)}, turns=5
    )
    extra_turns = run_in_turns(
        {
            "five": lambda: run_detection(main, 5.0),
            "decode": lambda: decode_bare(main),
            "busy": lambda: run_detection(busy, FPS),
            "decode busy": lambda: decode_bare(busy),
        },
        turns=2,
    )
    dual_turns = run_in_turns({"two": run_two_streams, "decode": lambda: decode_bare(sub)})
    five_fps_ratio = extra_turns.ratio("five", "decode")
    busy_ratio = extra_turns.ratio("busy", "decode busy")
    return [
        Row(
            name="one stream 1080p15: decode and gate / bare decode",
            value=turns.ratio("one", "decode"),
            unit="ratio",
            target="<= 1.08",
            note=f"{format_seconds(turns, 'one', 'decode')}, {FPS:g} pictures/s; with 5: {five_fps_ratio:.2f}; "
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


def format_seconds(turns: TurnTimes, one: str, other: str) -> str:
    """Format the CPU seconds behind a ratio."""
    return f"{turns.ms(one, 1000):.3f} : {turns.ms(other, 1000):.3f} s for 60 s"


def measure_paced_s(command: Sequence[str | Path]) -> float:
    """Return the CPU seconds of a program for 60 s in real time, without its start."""
    with running_process(command) as pid:
        time.sleep(SETTLE_S)
        start_s, cpu_before_s = time.monotonic(), process_cpu_s(pid)
        time.sleep(MEASURE_S)
        cpu_used_s = process_cpu_s(pid) - cpu_before_s
        elapsed_s = time.monotonic() - start_s
    return cpu_used_s * videos.VIDEO_S / elapsed_s


def real_time_rows(main: Path, sub: Path, folder: Path) -> list[Row]:
    """Compare with Debian's `motion` in real time, one after the other, on the same core."""
    paced = (sys.executable, "-m", "bench.paced")
    one = (*paced, main, "--fps", str(FPS))
    two = (*paced, sub, "--fps", str(videos.SUB.fps), "--record", main, folder / "paced")
    peer_one, peer_two = (
        motion.motion_command(folder, main),
        motion.motion_command(folder, sub, main),
    )
    rows = []
    for name, own_command, peer, target, note in (
        ("one stream 1080p15", one, peer_one, "<= 0.7", "neither writes anything"),
        ("two streams, 360p5 and 1080p15", two, peer_two, "< 1", "motion records what moves"),
    ):
        own_s = measure_paced_s(own_command)
        if peer is None:
            note_text = f"next to nothing: `make setup-bench` installs the peer; {own_s:.2f} s"
            rows.append(
                Row(name=f"{name}, real pace", value=own_s, unit="s", target="-", note=note_text)
            )
            continue
        peer_s = measure_paced_s(peer)
        rows.append(
            Row(
                name=f"{name}, real pace / motion",
                value=own_s / peer_s,
                unit="ratio",
                target=target,
                note=f"{own_s:.2f} : {peer_s:.2f} s for 60 s; {note}",
            )
        )
    return rows


def agent_rows(main: Path, sub: Path, folder: Path) -> list[Row]:
    """Measure `vigie run` with a broker in real time: busy next to its floor, and with and without detection."""
    busy, busy_sub = videos.video_path(videos.BUSY_MAIN), videos.video_path(BUSY_SUB)
    rows = []
    with running_mosquitto(folder) as broker:

        def measure_agent_s(name: str, camera: box.CameraSetup) -> float:
            config = box.write_config(folder / name.replace(" ", "-"), camera, broker)
            return measure_paced_s((sys.executable, "-m", "agent", "run", "--config", config))

        for name, camera in (
            ("busy 1080p15", box.CameraSetup(video=busy)),
            ("busy 360p5, 1080p15 recorded", box.CameraSetup(video=busy, sub=busy_sub)),
        ):
            floor_s = measure_floor_s(camera.sub or busy, busy, folder)
            cpu_used_s = measure_agent_s(name, camera)
            rows.append(
                Row(
                    name=f"vigie run, {name} / decode, inference and copy",
                    value=cpu_used_s / floor_s,
                    unit="ratio",
                    target="<= 1.15",
                    note=f"{cpu_used_s:.2f} : {floor_s:.2f} s for 60 s",
                )
            )
        for name, camera in (
            ("1080p15, detection and recording", box.CameraSetup(video=main)),
            ("1080p15, recording alone", box.CameraSetup(video=main, detect=False)),
            ("360p5 for detection, 1080p15 recorded", box.CameraSetup(video=main, sub=sub)),
        ):
            rows.append(
                Row(
                    name=f"vigie run, {name}",
                    value=measure_agent_s(name, camera),
                    unit="s",
                    target="-",
                    note="CPU for 60 s of street, 60 would be a whole core",
                )
            )
    return rows


def measure_floor_s(watched: Path, recorded: Path, folder: Path) -> float:
    """Return the CPU of the libraries alone: PyAV's decoding and copying, and as many passes as the pipeline makes."""
    detector = open_detector(on_demand.MODEL)
    results = on_demand.run_pipeline(watched, DetectionPipeline(detector), on_demand=False)
    passes = sum(result.inference_count for result in results)
    start_s = cpu_s()
    decode_bare(watched)
    record.stream_copy(recorded, folder)
    with detector.interpreters.borrowed() as interpreter:
        for _ in range(passes):
            interpreter.invoke()
    return cpu_s() - start_s
