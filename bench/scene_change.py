"""Scenes put in force in a running box: recorded frames that are lost, and the time until a mask is in the picture.

The box is the whole agent in its own process, with a rendered street that it encodes and records at 25 frames a
second. A centre publishes masks that grow, so that each picture tells which version it was recorded under; a version
is published when the one before is kept. Every recorded frame is then decoded: none may be missing or double, and no
mask may be gone again. Run: `python -m bench scene_change`.
"""

import statistics
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import av
import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.recording import catalogue
from agent.reporting import topics
from agent.reporting.payloads import ConfigMessage
from bench.mosquitto import running_mosquitto
from bench.processes import running_process
from bench.table import Row
from drivers.av_stream import frame_planes
from drivers.masking import MASK_LUMA

BOX, CAMERA = "bench-1", "street"
FPS, WIDTH_PX, HEIGHT_PX = 25, 640, 360
VERSIONS = 8
STEP = 0.05
"""Each version masks as much of the picture's width more. A mask over most of the picture needs two people."""
REPORT_TIMEOUT_S = 60.0
CONFIG = f"""
[box]
id = "{BOX}"
site = "bench"
state = "state"
[broker]
url = "{{url}}"
ack = "broker"
[record]
segment_s = 5
[[camera]]
name = "{CAMERA}"
driver = "fake"
options = {{{{ width_px = {WIDTH_PX}, height_px = {HEIGHT_PX}, fps = {FPS}, noise = 0 }}}}
[camera.detect]
enabled = false
"""


class SceneCentre:
    """Publishes versions, and waits until they are kept."""

    def __init__(self, url: str) -> None:
        self._kept = -1
        self._changed = threading.Condition()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = self._on_message
        address = urlsplit(url)
        self._client.connect(str(address.hostname), int(address.port or 0))
        self._client.subscribe(topics.up_topic(BOX, "config"), qos=1)
        self._client.loop_start()

    def wait_until_kept(self, version: int) -> None:
        """Raises: TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._kept >= version, REPORT_TIMEOUT_S):
                raise TimeoutError(f"version {version} was not kept in {REPORT_TIMEOUT_S:g} s")

    def publish(self, version: int) -> float:
        """Publish a version. Return the time, CLOCK_BOOTTIME."""
        x = version * STEP
        scene = f"[[mask]]\npolygon = [[0, 0], [{x}, 0], [{x}, 1], [0, 1]]\n"
        message = {
            "box": BOX,
            "version": version,
            "scenes": {CAMERA: scene},
            "by": "bench",
            "role": "supervisor",
        }
        now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        payload = msgspec.json.encode(message)
        self._client.publish(topics.down_topic(BOX, "config"), payload, qos=1, retain=True)
        return now_s

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        report = msgspec.json.decode(message.payload, type=ConfigMessage).data
        if report.state == "in_force":
            with self._changed:
                self._kept = report.version
                self._changed.notify_all()


def recorded_versions(state: Path) -> list[tuple[float, int]]:
    """Return the time of each recorded frame, CLOCK_BOOTTIME, and the version whose mask it shows."""
    entries = catalogue.find_segments(state / "footage", state / "custody", [CAMERA], None, None)
    found = []
    for entry in entries:
        with av.open(str(entry.path)) as container:
            frames = list(container.decode(video=0))
        first_s = entry.closed.begin_ns / 1e9 if entry.closed else 0.0
        begin_pts = frames[0].time or 0.0
        for frame in frames:
            middles = [int((number + 0.5) * STEP * WIDTH_PX) for number in range(VERSIONS)]
            columns = frame_planes(frame)[0][:HEIGHT_PX, middles].astype(int)
            # A whole column: single pixels of the street are as dark.
            is_masked = (abs(columns - MASK_LUMA) <= 8).mean(axis=0) > 0.9
            version = int(is_masked.sum())
            found.append((first_s + (frame.time or 0.0) - begin_pts, version))
    return found


def rows() -> list[Row]:
    """Return the rows of the table."""
    with (
        tempfile.TemporaryDirectory(prefix="vigie-bench-") as name,
        running_mosquitto(Path(name)) as url,
    ):
        folder = Path(name)
        file = folder / "vigie.toml"
        file.write_text(CONFIG.format(url=url))
        centre = SceneCentre(url)
        with running_process([sys.executable, "-m", "agent", "run", "--config", file]):
            centre.wait_until_kept(0)
            published = []
            for version in range(1, VERSIONS + 1):
                published.append(centre.publish(version))
                centre.wait_until_kept(version)
        centre.close()
        frames = recorded_versions(folder / "state")
    span_s = frames[-1][0] - frames[0][0]
    lost = round(span_s * FPS) + 1 - len(frames)
    versions = [version for _, version in frames]
    steps_back = sum(one > following for one, following in pairwise(versions))
    delays_ms = [
        (min(t_s for t_s, shown in frames if shown >= number) - at_s) * 1e3
        for number, at_s in enumerate(published, 1)
    ]
    note = f"{VERSIONS} changes in {span_s:.0f} s at {FPS} fps, {len(frames)} frames decoded"
    return [
        Row(
            name="scene change, recorded frames lost",
            value=abs(lost),
            unit="",
            target="<= 0",
            note=note,
        ),
        Row(
            name="scene change, frames without a mask that was there before",
            value=steps_back,
            unit="",
            target="<= 0",
        ),
        Row(
            name="scene change, message to first masked frame, median",
            value=statistics.median(delays_ms),
            unit="ms",
            target="aim <= 1000",
            note=f"worst {max(delays_ms):.0f} ms; it is checked as a whole first",
        ),
    ]
