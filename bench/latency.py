"""Latency from a frame's capture to the arrival of its event at a subscriber.

A busy street in real time, a real broker, all on this machine. Run: `python -m bench latency`.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.reporting.payloads import EventData
from bench import box, videos
from bench.mosquitto import running_mosquitto
from bench.processes import running_process
from bench.table import Row
from bench.watched_box import EventFrame

PLAY_S = 60.0


class EventArrival(msgspec.Struct, frozen=True):
    """An event and its arrival in CLOCK_BOOTTIME."""

    event: EventData
    arrived_ns: int


class _Envelope(msgspec.Struct):
    data: EventData


def rows() -> list[Row]:
    """Return the rows of the table. Raises: RuntimeError if no event arrived."""
    with tempfile.TemporaryDirectory(prefix="vigie-bench-") as name:
        folder = Path(name)
        arrivals: list[EventArrival] = []

        def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
            at_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            event = msgspec.json.decode(message.payload, type=_Envelope).data
            arrivals.append(EventArrival(event, at_ns))

        with running_mosquitto(folder) as broker:
            client = mqtt.Client(CallbackAPIVersion.VERSION2)
            client.on_connect = lambda it, *_: it.subscribe(f"vigie/v1/{box.BOX}/up/event/#", 1)
            client.on_message = on_message
            client.connect("127.0.0.1", urlsplit(broker).port or 1883)
            client.loop_start()
            config = box.write_config(
                folder / "box",
                box.CameraSetup(video=videos.video_path(videos.BUSY_MAIN), record=False),
                broker,
            )
            out = folder / "judged.json"
            command = (sys.executable, "-m", "bench.watched_box", config, out)
            with running_process(command):
                time.sleep(PLAY_S)
            client.disconnect()
            client.loop_stop()
        events = msgspec.json.decode(out.read_bytes(), type=list[EventFrame])
    return to_rows(arrivals, events)


def to_rows(arrivals: list[EventArrival], events: list[EventFrame]) -> list[Row]:
    """Return the rows of the arrived events."""
    frame_by_event = {(one.kind, one.name, one.track, one.t_ns): one.frame_ns for one in events}
    crossings = [
        (one.arrived_ns, one.event.t_ns, frame_by_event[key])
        for one in arrivals
        if one.event.kind == "line"
        and (key := (one.event.kind, one.event.name, one.event.track, one.event.t_ns))
        in frame_by_event
    ]
    if len(crossings) < 2:
        raise RuntimeError(f"{len(arrivals)} events arrived, {len(crossings)} crossings of frames")
    from_frame = [(at - frame) / 1e6 for at, _, frame in crossings]
    from_line = [(at - line) / 1e6 for at, line, _ in crossings]
    note = (
        f"{len(crossings)} crossings in {PLAY_S:g} s of street, 1080p15, 10 looked at in a second"
    )
    return [
        Row(
            name="frame to broker, p50",
            value=_percentile(from_frame, 50),
            unit="ms",
            target="-",
            note=note,
        ),
        Row(
            name="frame to broker, p95",
            value=_percentile(from_frame, 95),
            unit="ms",
            target="-",
            note="from the capture of the frame that made the event certain",
        ),
        Row(
            name="line to broker, p50",
            value=_percentile(from_line, 50),
            unit="ms",
            target="-",
            note=f"from the moment on the line: certainty takes frames; p95 {_percentile(from_line, 95):.0f}",
        ),
    ]


def _percentile(values: list[float], percent: int) -> float:
    """Return a percentile."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
