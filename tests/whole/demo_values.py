"""Values and clients for the tests of the demo."""

import socket
import threading
from collections.abc import Iterator
from typing import Any, get_args

import av
import numpy as np
import paho.mqtt.client as paho

from agent.app.event_types import EVENT_TYPES
from agent.base.health_model import (
    CameraHealth,
    DetectorHealth,
    Fault,
    FootageHealth,
    HealthReport,
    OutboxHealth,
    Vitals,
)
from agent.base.model import BoundingBox, Event, EventPhase, FrameResult, Track
from drivers.media import Frame


def make_event(kind: str, phase: EventPhase, **fields: Any) -> Event:
    return Event(event="e", rev=1, kind=kind, phase=phase, camera="c", t_ns=5, begin_ns=5, **fields)


def all_events() -> Iterator[Event]:
    for kind in EVENT_TYPES:
        for phase in get_args(EventPhase):
            yield make_event(kind, phase)
            yield make_event(
                kind,
                phase,
                name="a place with quite a long name",
                label="person",
                direction="to the left",
                count=3,
                duration_s=4.0,
            )


def make_frame_result() -> FrameResult:
    track = Track(
        id=1,
        label="person",
        score=0.9,
        box=BoundingBox(0.4, 0.4, 0.1, 0.3),
        vx=0.0,
        vy=0.0,
        begin_ns=0,
        seen_ns=0,
    )
    edge = Track(
        id=2,
        label="bus",
        score=0.9,
        box=BoundingBox(0.95, 0.9, 0.2, 0.3),
        vx=0.0,
        vy=0.0,
        begin_ns=0,
        seen_ns=0,
    )
    gate = np.full((180, 320), 90, np.uint8)
    return FrameResult(
        seq=0,
        t_ns=0,
        width_px=1280,
        height_px=720,
        gate_luma=gate,
        moving_ratio=0.1,
        tracks=(track, edge),
        inference_count=1,
    )


def make_health_report() -> HealthReport:
    empty_vitals = Vitals(
        soc_celsius=None,
        load_1min=None,
        memory_available_bytes=None,
        agent_rss_bytes=None,
        state_free_bytes=None,
        state_total_bytes=None,
        footage_free_bytes=None,
        footage_total_bytes=None,
    )
    return HealthReport(
        uptime_s=1.0,
        version="0",
        vitals=empty_vitals,
        stages=(),
        cameras=(
            CameraHealth(
                name="c",
                open=True,
                state="delivering",
                stream_fps=10.0,
                detect_fps=10.0,
                age_s=None,
                reconnects=0,
                frames_replaced=0,
                packets_dropped=0,
                last_error=None,
            ),
        ),
        detectors=(
            DetectorHealth(camera="c", model="m", inferences_per_s=2.0, inference_ms=7.0, tracks=1),
        ),
        footage=(FootageHealth(camera="c", segments=2, bytes=10, oldest_utc=None, gaps=0),),
        outbox=OutboxHealth(
            depth=0, bytes=0, oldest_age_s=None, lost=0, connected=True, centre_listening=True
        ),
        faults=(
            Fault(
                code="CAM-02",
                severity="error",
                title="no frames",
                subject="c",
                since_ns=0,
                detail="silent",
            ),
        ),
    )


def to_video_frame(frame: Frame, pts: int) -> av.VideoFrame:
    """A frame as FFmpeg wants it."""
    flat = np.concatenate(
        [np.ascontiguousarray(p).reshape(-1) for p in (frame.y, frame.u, frame.v)]
    )
    picture = av.VideoFrame.from_ndarray(flat.reshape(-1, frame.width_px), format="yuv420p")
    picture.pts = pts
    return picture


def connect_client(name: str, port: int, will: tuple[str, bytes] | None = None) -> paho.Client:
    """A client that is connected."""
    mqtt_client = paho.Client(
        paho.CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5
    )
    online = threading.Event()
    mqtt_client.on_connect = lambda *_: online.set()
    if will is not None:
        mqtt_client.will_set(will[0], will[1], qos=1, retain=True)
    mqtt_client.connect("127.0.0.1", port)
    mqtt_client.loop_start()
    assert online.wait(60)
    return mqtt_client


def subscribe(mqtt_client: paho.Client, topic: str) -> None:
    """Subscribe, and wait until the broker has agreed."""
    subscribed = threading.Event()
    mqtt_client.on_subscribe = lambda *_: subscribed.set()
    mqtt_client.subscribe(topic, qos=1)
    assert subscribed.wait(60)


def cut_connection(mqtt_client: paho.Client) -> None:
    """Pull the plug: the connection ends without a word."""
    mqtt_client.loop_stop()
    connection = mqtt_client.socket()
    assert connection is not None
    connection.shutdown(socket.SHUT_RDWR)
    connection.close()
