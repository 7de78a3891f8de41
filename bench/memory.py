"""Memory of the agent, and its growth over time.

The floor is a process that imports numpy, cv2, av, LiteRT and paho, loads the model and decodes a video. The code is
compiled beforehand, as on an installed box. Run: `python -m bench memory`; it takes about a quarter of an hour.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import msgspec
import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.config.configuration import DetectConfig
from agent.detection.pipeline import DetectionPipeline
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import decode_scene
from agent.detection.tflite import open_detector
from bench import box, videos
from bench.cpu import resident_mb
from bench.mosquitto import running_mosquitto
from bench.processes import running_process
from bench.table import Row
from drivers.camera.replay import Options, open_camera
from drivers.contracts import StreamRequest
from drivers.media import Frame

OUR_IMPORTS = """
import agent.cli.run
from drivers import catalog
catalog.load_camera_driver("replay")
"""
MODEL = DetectConfig().model

SETTLE_S, MEASURE_S = 20.0, 20.0
LOOP_S = 150.0
DETECTED_H = 2.5
"""Video that is detected whole: 8 to 10 minutes of a core. Memory grows for the first hour."""
WARM_UP_FRACTION = 0.3
"""The looped run's slope is fitted after this time."""
_BUSY_ZONE = """
[[zone]]
name = "pavement"
polygon = [[0.0, 0.2], [1.0, 0.2], [1.0, 1.0], [0.0, 1.0]]
dwell_after_s = 10
stopped_after_s = 10
crowd_min_count = 3
"""


class MemorySample(msgspec.Struct, frozen=True):
    """Memory at a time of the video."""

    video_h: float
    resident_mb: float


def rows() -> list[Row]:
    """Return the rows of the table."""
    with tempfile.TemporaryDirectory(prefix="vigie-bench-") as name:
        folder = Path(name)
        with compiled_code(folder / "compiled"), running_mosquitto(folder) as broker:
            return [
                *resident_rows(folder, broker),
                *camera_rows(folder, broker),
                growth_row(folder, broker),
                detection_growth_row(),
            ]


@contextlib.contextmanager
def compiled_code(folder: Path) -> Iterator[None]:
    """Compile the code for the processes started in this context.

    A process that compiles it itself keeps some 10 MB of that for ever.
    """
    before = dict(os.environ)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        for package in ("agent", "drivers", "simulation"):
            run_python(f"import compileall; compileall.compile_dir('{package}', quiet=1)")
        run_python(OUR_IMPORTS)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def run_python(code: str) -> str:
    """Run lines of Python in their own process. Return its output."""
    process = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=videos.ROOT,
    )
    return process.stdout


def measure_floor_mb(*, video: Path | None = None) -> float:
    """Measure libraries and the loaded model, and with a video a decoder at work, in MB."""
    decode_code = f"""
with av.open({str(video)!r}) as container:
    container.streams.video[0].codec_context.thread_count = 1
    for number, _ in zip(range(40), container.decode(video=0)):
        if number == 39:
            tell()
"""
    code = f"""
{floor_code()}
def tell():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS"):
            print(line.split()[1])
{"tell()" if video is None else decode_code}
"""
    return statistics.median(int(run_python(code)) * 1024 / 1e6 for _ in range(3))


def floor_code() -> str:
    """Return lines of Python that import the libraries and load the model."""
    runtime = run_python(
        "from agent.detection.tflite import Interpreter; print(Interpreter.__module__)"
    ).strip()
    model = videos.ROOT / "agent" / "detection" / "models" / f"{MODEL}.tflite"
    return f"""
import numpy, cv2, av, paho.mqtt.client, {runtime}
interpreter = {runtime}.Interpreter(model_path={str(model)!r}, num_threads=1)
interpreter.allocate_tensors()
"""


def resident_rows(folder: Path, broker: str) -> list[Row]:
    """Measure `vigie run` with one camera in real time on a busy street."""
    libraries_mb = measure_floor_mb()
    floor_mb = measure_floor_mb(video=videos.video_path(videos.BUSY_MAIN))
    rows = []
    for name, camera in (
        (
            "no recording",
            box.CameraSetup(video=videos.video_path(videos.BUSY_MAIN), record=False),
        ),
        ("recording", box.CameraSetup(video=videos.video_path(videos.BUSY_MAIN))),
        (
            "360p5 for detection, recording",
            box.CameraSetup(
                video=videos.video_path(videos.BUSY_MAIN), sub=videos.video_path(videos.SUB)
            ),
        ),
    ):
        config = box.write_config(folder / name.replace(" ", "-"), camera, broker)
        samples = []
        with running_process((sys.executable, "-m", "agent", "run", "--config", config)) as pid:
            time.sleep(SETTLE_S)
            for _ in range(int(MEASURE_S)):
                time.sleep(1.0)
                samples.append(resident_mb(pid))
        rows.append(
            Row(
                name=f"resident memory, 1080p15, {name} / libraries, model and a 1080p decoder at work",
                value=statistics.median(samples) / floor_mb,
                unit="ratio",
                target="aim <= 1.4",
                note=f"{statistics.median(samples):.0f} : {floor_mb:.0f} MB, highest "
                f"{max(samples):.0f}; without a decoder: {libraries_mb:.0f} MB",
            )
        )
    return rows


def camera_rows(folder: Path, broker: str) -> list[Row]:
    """Measure `vigie run` with several cameras: what each further one adds."""
    resident: dict[int, float] = {}
    for cameras in (1, 4, 8):
        setup = box.CameraSetup(video=videos.video_path(videos.SUB), loop=True)
        config = box.write_config(folder / f"{cameras} cameras", setup, broker, cameras=cameras)
        with running_process((sys.executable, "-m", "agent", "run", "--config", config)) as pid:
            time.sleep(SETTLE_S)
            samples = []
            for _ in range(5):
                time.sleep(1.0)
                samples.append(resident_mb(pid))
            resident[cameras] = statistics.median(samples)
    return [
        Row(
            name=f"resident memory, {cameras} cameras of 360p5, recording: each further camera",
            value=(resident[cameras] - resident[1]) / (cameras - 1),
            unit="MB",
            target="<= 15",
            note=f"{resident[cameras]:.0f} MB; one camera: {resident[1]:.0f} MB",
        )
        for cameras in (4, 8)
    ]


class VideoProgress:
    """Position in the video, from the traffic counts of each minute."""

    def __init__(self, broker: str) -> None:
        self.end_ns = 0
        self.events = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe(f"vigie/v1/{box.BOX}/up/#", 1)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", urlsplit(broker).port or 1883)
        self._client.loop_start()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if "/flow/" in message.topic:
            self.end_ns = max(self.end_ns, json.loads(message.payload)["data"]["end_ns"])
        elif "/event/" in message.topic:
            self.events += 1

    def close(self) -> None:
        """Disconnect from the broker."""
        self._client.disconnect()
        self._client.loop_stop()


def growth_row(folder: Path, broker: str) -> Row:
    """Measure the agent's growth while a video plays in a loop as fast as possible."""
    camera = box.CameraSetup(
        video=videos.video_path(videos.SUB), record=False, pace="fast", loop=True
    )
    config = box.write_config(folder / "looped", camera, broker)
    video = VideoProgress(broker)
    samples = []
    with running_process((sys.executable, "-m", "agent", "run", "--config", config)) as pid:
        end_s = time.monotonic() + LOOP_S
        while time.monotonic() < end_s:
            time.sleep(1.0)
            samples.append(MemorySample(video.end_ns / 3.6e12, resident_mb(pid)))
    video.close()
    return slope_row(
        "growth of memory, looped street",
        samples,
        f"in {LOOP_S:g} s, {video.events} events; the pictures that the detector does not reach are left out",
    )


def detection_growth_row() -> Row:
    """Measure the growth of detection and rules that get each picture of a busy street."""
    lines = run_python("from bench import memory; memory.print_detection_memory()").splitlines()
    samples = [MemorySample(*map(float, line.split())) for line in lines]
    return slope_row(
        "growth of memory, detection and rules on each picture of a busy street",
        samples,
        "one process, without the agent around it",
    )


def print_detection_memory() -> None:
    """Detect in a looped busy film for DETECTED_H, and print its hours and the resident memory in MB each second."""
    cv2.setNumThreads(1)
    pipeline = DetectionPipeline(open_detector(MODEL))
    scene = decode_scene(tomllib.loads(box.SCENE + _BUSY_ZONE), "bench")
    engine = RuleEngine(box.CAMERA, scene, lambda t_ns: f"{t_ns}-{uuid.uuid4()}")
    options = Options(path=str(videos.video_path(videos.BUSY_SUB)), pace="fast", loop=True)
    request = StreamRequest(packets=False, frames_fps=videos.BUSY_SUB.fps)
    camera = open_camera("bench", options, request, lambda: 0)
    printed_s = time.monotonic()
    video_h = 0.0
    while video_h < DETECTED_H:
        media = camera.read(1.0)
        if isinstance(media, Frame):
            video_h = media.t_ns / 3.6e12
            engine.completed_counts(media.t_ns)
            engine.evaluate(pipeline.process(media))
            if time.monotonic() >= printed_s + 1:
                printed_s = time.monotonic()
                print(video_h, resident_mb())
    camera.close()


def slope_row(name: str, samples: Sequence[MemorySample], note: str) -> Row:
    """Return the row of a growth by hours of video, fitted after WARM_UP_FRACTION of them."""
    warm = [one for one in samples if one.video_h >= WARM_UP_FRACTION * samples[-1].video_h]
    if samples[-1].video_h < 1:
        raise RuntimeError(f"the loop came only to {samples[-1].video_h:.2f} hours of video")
    slope, _ = np.polyfit([one.video_h for one in warm], [one.resident_mb for one in warm], 1)
    return Row(
        name=name,
        value=float(slope),
        unit="MB/h",
        target="aim < 1",
        note=f"{samples[-1].video_h:.1f} h of 360p5; {warm[0].resident_mb:.1f} MB at "
        f"{warm[0].video_h:.1f} h, {warm[-1].resident_mb:.1f} at the end; {note}",
    )
