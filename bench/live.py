"""Live look: from the glass to the centre, and its processor time, as pictures and as video.

A replayed video shows the number of each of its pictures as black and white cells. The time of a number is
known from the live pictures, whose messages have the time of their frame. A real broker and a real RTSP server
over TLS, all on this machine. Run: `python -m bench live`.
"""

import os
import re
import statistics
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.base.clock import rfc3339
from agent.config.broker import BrokerConfig
from agent.reporting import outgoing_messages
from bench import box
from bench.cpu import process_cpu_s
from bench.mosquitto import running_mosquitto
from bench.processes import running_process
from bench.slow_link import link_to
from bench.table import Row
from tests.contracts.video_receiver import VideoServer
from tests.server_certificate import ServerCertificate
from tests.whole.report.conftest import CLOCK, make_event
from tests.whole.report.reporting_box import ReportingBox, wait_until

WIDTH_PX, HEIGHT_PX, FPS, CLIP_S = 1280, 720, 15, 20
CELLS = 9
CELL_ROWS = 64
SETTLE_S, LOOK_S = 8.0, 20.0
UPLINK_BYTES_S = 12_500
EMERGENCIES, EMERGENCY_INTERVAL_S = 12, 2.3
EXPIRES_S = 600.0

Luma = npt.NDArray[np.uint8]


def rows() -> list[Row]:
    """Return the rows of the table. Raises: RuntimeError if nothing arrived."""
    with tempfile.TemporaryDirectory(prefix="vigie-bench-") as name:
        folder = Path(name)
        write_clip(folder / "numbers.mp4")
        certificate = ServerCertificate(folder / "certificate")
        (folder / "received").mkdir()
        os.mkfifo(folder / "received" / "a.h264")
        server = VideoServer(folder / "received", certificate)
        try:
            with running_mosquitto(folder) as broker:
                config = box.write_config(
                    folder / "box",
                    box.CameraSetup(video=folder / "numbers.mp4", loop=True),
                    broker,
                )
                text = config.read_text(encoding="utf-8")
                link = f'\n[link]\nupload_hosts = ["localhost"]\nca = "{certificate.ca}"\n'
                config.write_text(text + link, encoding="utf-8")
                with running_process(
                    (sys.executable, "-m", "agent", "run", "--config", config)
                ) as pid:
                    look_rows = _measure(pid, broker, server)
        finally:
            server.kill()
    return [*look_rows, *emergency_rows()]


def emergency_rows() -> list[Row]:
    """Return the delay of an emergency on a link of 100 kbit/s, with and without a live look."""
    alone_ms = _emergency_delays_ms(has_look=False)
    looked_ms = _emergency_delays_ms(has_look=True)
    return [
        Row(
            name="an emergency at 100 kbit/s, p50",
            value=statistics.median(alone_ms),
            unit="ms",
            target="-",
            note=f"longest {max(alone_ms):.0f}; from the outbox to the centre",
        ),
        Row(
            name="the same during a live look, p50",
            value=statistics.median(looked_ms),
            unit="ms",
            target="-",
            note=f"longest {max(looked_ms):.0f}; a picture takes half a second of the link",
        ),
    ]


def _emergency_delays_ms(*, has_look: bool) -> list[float]:
    """Send emergencies over a slow link, and pictures as fast as it takes them."""
    with tempfile.TemporaryDirectory(prefix="vigie-bench-") as name:
        folder = Path(name)
        arrived_s: list[float] = []
        with running_mosquitto(folder) as broker:
            port = urlsplit(broker).port or 1883
            client = mqtt.Client(CallbackAPIVersion.VERSION2)
            client.on_connect = lambda it, *_: it.subscribe("vigie/v1/+/up/event/#", 1)
            client.on_message = lambda *_: arrived_s.append(time.monotonic())
            client.connect("127.0.0.1", port)
            client.loop_start()
            with link_to(port, UPLINK_BYTES_S) as link:
                config = BrokerConfig(url=link.url, ack="broker")
                with ReportingBox(config, folder / "outbox") as reporting:
                    wait_until(lambda: reporting.session.health().connected)
                    sent_s = _send_emergencies(reporting, has_look=has_look)
                    wait_until(lambda: len(arrived_s) == EMERGENCIES)
            client.disconnect()
            client.loop_stop()
        return [1e3 * (at - sent) for at, sent in zip(arrived_s, sent_s, strict=True)]


def _send_emergencies(reporting: ReportingBox, *, has_look: bool) -> list[float]:
    """Return when each was put into the outbox. A picture is always ready meanwhile."""
    sent_s: list[float] = []
    begin_s = time.monotonic()
    while len(sent_s) < EMERGENCIES:
        messages = reporting.session.unstored
        if has_look and not messages.is_waiting("live/north"):
            jpeg = bytes(messages.picture_limit_bytes)
            messages.put(outgoing_messages.build_live_message("north", jpeg, CLOCK.boottime_ns()))
        if time.monotonic() - begin_s >= EMERGENCY_INTERVAL_S * (len(sent_s) + 1):
            reporting.outbox.put(make_event(len(sent_s), "wrong_way"))
            sent_s.append(time.monotonic())
        time.sleep(0.01)
    return sent_s


def _measure(pid: int, broker: str, server: VideoServer) -> list[Row]:
    operator = Operator(broker)
    time.sleep(SETTLE_S)
    idle = _cpu_ratio(pid, LOOK_S)
    operator.send({"do": "pictures", "camera": box.CAMERA, "for_s": LOOK_S + 5, "per_s": 2.0})
    pictures = _cpu_ratio(pid, LOOK_S)
    operator.send({"do": "stop", "camera": box.CAMERA})
    if len(operator.pictures) < LOOK_S:
        raise RuntimeError(f"{len(operator.pictures)} pictures arrived")
    start_s = statistics.median(
        (one.frame_s - one.number / FPS) % CLIP_S for one in operator.pictures
    )
    video = VideoReader(server.file())
    url = f"rtsps://localhost:{server.port}/a"
    operator.send({"do": "video", "camera": box.CAMERA, "for_s": LOOK_S + 30, "to": url})
    video.wait_for_first()
    pushed = _cpu_ratio(pid, LOOK_S)
    operator.close()
    picture_ms = [1e3 * (one.arrived_s - one.frame_s) for one in operator.pictures]
    video_ms = [
        1e3 * ((arrived_s - start_s - number / FPS) % CLIP_S)
        for arrived_s, number in video.arrivals
    ][FPS:]
    size_bytes = statistics.median(one.size_bytes for one in operator.pictures)
    note = f"{WIDTH_PX}x{HEIGHT_PX}, {FPS} pictures a second, a keyframe a second"
    return [
        _latency_row(
            "live pictures, glass to centre, p50",
            picture_ms,
            f"{size_bytes / 1e3:.0f} kB each, 2 a second",
        ),
        _latency_row(
            "live video, glass to decoded picture, p50",
            video_ms,
            f"{note}; one picture of it is the reader's",
        ),
        _cpu_row(
            "a live look by pictures, CPU",
            pictures - idle,
            f"2 a second; the box without a look: {100 * idle:.1f} %",
        ),
        _cpu_row("a live look by video, CPU", pushed - idle, "its child and TLS included"),
    ]


def write_clip(file: Path) -> None:
    """Write a video whose pictures show their numbers, over a texture that moves."""
    rng = np.random.default_rng(1)
    texture = cv2.GaussianBlur(rng.integers(0, 255, (HEIGHT_PX, 2 * WIDTH_PX), np.uint8), (0, 0), 6)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        stream.codec_context.gop_size = FPS
        stream.codec_context.options = {"preset": "veryfast", "tune": "zerolatency", "bf": "0"}
        for number in range(FPS * CLIP_S):
            luma = np.array(texture[:, 4 * number % WIDTH_PX :][:, :WIDTH_PX], np.uint8)
            for bit in range(CELLS):
                luma[:CELL_ROWS, _cell(bit, WIDTH_PX)] = 235 if number >> bit & 1 else 16
            frame = av.VideoFrame.from_ndarray(luma, format="gray").reformat(format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def read_number(luma: Luma) -> int:
    """Return the number that a picture shows, of any size."""
    height, width = luma.shape
    rows = slice(height * CELL_ROWS // HEIGHT_PX // 4, height * CELL_ROWS // HEIGHT_PX // 2)
    bits = (bool(luma[rows, _cell(bit, width)].mean() > 125) for bit in range(CELLS))
    return sum(1 << bit for bit, is_white in enumerate(bits) if is_white)


def _cell(bit: int, width_px: int) -> slice:
    return slice(bit * width_px // CELLS, (bit + 1) * width_px // CELLS)


class Picture(msgspec.Struct, frozen=True):
    """A live picture: its frame's time and its arrival in UTC, its number, its size."""

    frame_s: float
    arrived_s: float
    number: int
    size_bytes: int


class Operator:
    """Sends commands, and keeps the pictures that arrive."""

    def __init__(self, broker: str) -> None:
        self.pictures: list[Picture] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_connect = lambda it, *_: it.subscribe(f"vigie/v1/{box.BOX}/up/live/#", 1)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", urlsplit(broker).port or 1883)
        self._client.loop_start()
        self._count = 0

    def send(self, args: dict[str, Any]) -> None:
        """Send a command `live`."""
        self._count += 1
        command = {
            "id": f"bench-{self._count}",
            "expires": rfc3339(datetime.fromtimestamp(time.time() + EXPIRES_S, UTC)),
            "by": "bench",
            "role": "operator",
            "args": args,
        }
        topic = f"vigie/v1/{box.BOX}/down/command/live"
        self._client.publish(topic, msgspec.json.encode(command), 1)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        arrived_s = time.time()
        fields = dict(message.properties.UserProperty)  # type: ignore[union-attr]
        luma = cv2.imdecode(np.frombuffer(message.payload, np.uint8), cv2.IMREAD_GRAYSCALE)
        self.pictures.append(
            Picture(
                datetime.fromisoformat(fields["time"]).timestamp(),
                arrived_s,
                read_number(np.asarray(luma, np.uint8)),
                len(message.payload),
            )
        )


class VideoReader:
    """Decodes what the video server writes into a pipe, on a thread."""

    def __init__(self, pipe: Path) -> None:
        self.arrivals: list[tuple[float, int]] = []
        self._has_begun = threading.Event()
        threading.Thread(target=self._read, args=(pipe,), daemon=True).start()

    def wait_for_first(self) -> None:
        """Wait until the first picture was decoded. Raises: RuntimeError."""
        if not self._has_begun.wait(60.0):
            raise RuntimeError("no video arrived")

    def _read(self, pipe: Path) -> None:
        decoder = av.CodecContext.create("h264", "r")
        with pipe.open("rb", buffering=0) as file:
            while data := file.read(65_536):
                for packet in decoder.parse(data):
                    for frame in decoder.decode(packet):
                        luma = np.asarray(frame.to_ndarray(format="gray"), np.uint8)
                        self.arrivals.append((time.time(), read_number(luma)))
                        self._has_begun.set()


def _cpu_ratio(pid: int, duration_s: float) -> float:
    """Return the cores that a process and those below it use."""
    before = {one: process_cpu_s(one) for one in _family(pid)}
    begin_s = time.monotonic()
    time.sleep(duration_s)
    used_s = sum(process_cpu_s(one) - before.get(one, 0.0) for one in _family(pid))
    return used_s / (time.monotonic() - begin_s)


def _family(pid: int) -> list[int]:
    found = [pid]
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in re.findall(r"\d+", file.read_text()):
            found += _family(int(child))
    return found


def _latency_row(name: str, values_ms: list[float], note: str) -> Row:
    p95_ms = statistics.quantiles(values_ms, n=20, method="inclusive")[-1]
    return Row(
        name=name,
        value=statistics.median(values_ms),
        unit="ms",
        target="-",
        note=f"p95 {p95_ms:.0f}; {note}",
    )


def _cpu_row(name: str, cores: float, note: str) -> Row:
    return Row(name=name, value=100 * cores, unit="% of a core", target="-", note=note)
