"""Bytes of a box between itself and its broker in a day, next to the same information as Frigate sends it.

A real session, a real mosquitto and a real centre: the messages of a minute, and others one at a time, go through a proxy
that counts both directions, with the acknowledgements of the broker and of the centre, and the day is their number times
their size. The centre's own state is in it. TCP, IP and TLS are not, nor the connection, nor its PINGREQ (4 bytes each half
minute without a packet). Signed: acknowledgements and states of a centre as with `control.ca`.

Frigate is not run. Its messages have the fields, numbers and separators of its documentation (`frigate/events` with
`before` and `after`, `/api/stats`, counts of objects per camera and zone), at its default QoS 0. For each road user
it is charged the least that the documentation has: `new`, one `update`, `end`, and each count going up and down again.
Its pictures are as large as the box's; it publishes one for each road user, the box one for each event.

Run: `python -m bench traffic`.
"""

import json
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import paho.mqtt.client as paho
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from agent.authority.certificate import issue_certificate, make_authority
from agent.authority.control_authority import ControlAuthority
from agent.authority.revocation import RevocationStore
from agent.authority.signed_message import SigningIdentity
from agent.base.health_model import HealthReport
from agent.config.broker import BrokerConfig
from agent.config.configuration import HealthConfig
from agent.reporting import centre_topics, outgoing_messages
from agent.reporting.payloads import HealthMessage
from bench.drain import CLOCK
from bench.mosquitto import running_mosquitto
from bench.slow_link import Link, link_to
from bench.street_day import (
    MINUTES_A_DAY,
    PICTURE_BYTES,
    QUIET,
    STREETS,
    Street,
    StreetReports,
)
from bench.table import Row
from centre.ack_schedule import QUIET_S
from centre.client import ASSERT_INTERVAL_S, MIN_ASSERT_INTERVAL_S
from centre.signing import sign_centre_state
from tests.whole.report.broker import read_doc_block
from tests.whole.report.reporting_box import (
    BareClient,
    CentreListener,
    ReportingBox,
    wait_until,
)

SAMPLES = 20
MINUTES = 5
"""Each takes some seconds: a box is quiet before, and its acknowledgement waits."""
HEALTH_INTERVAL_S = HealthConfig().interval_s
HEALTH_CHANGES_A_DAY = 48
"""Reports at once: 24 faults that come and go, such as too little light, the clock, the broker or the disk."""
STAGES = 12
"""Of a box with one camera; the contract's example has one."""
SETTLE_S = 0.2
CENTRE = "city"
Bytes = dict[str, float]
"""Size of a message by its kind, with what answers it."""
FRIGATE_MESSAGES_A_ROAD_USER = {"events": 3, "count": 8, "picture": 1}
FRIGATE_STATS_S = 60

FRIGATE_OBJECT = {
    "id": "1607123955.475377-mxklsc",
    "camera": "north",
    "frame_time": 1607123961.837752,
    "snapshot_time": 1607123961.837752,
    "label": "car",
    "top_score": 0.958984375,
    "false_positive": False,
    "start_time": 1607123955.475377,
    "end_time": None,
    "score": 0.7890625,
    "box": [424, 500, 536, 712],
    "area": 23744,
    "region": [264, 450, 667, 853],
    "current_zones": ["carriageway"],
    "entered_zones": ["carriageway"],
    "thumbnail": None,
    "has_snapshot": False,
    "has_clip": False,
    "stationary": False,
    "motionless_count": 0,
    "position_changes": 2,
}
FRIGATE_STATS = {
    "north": {
        "camera_fps": 5.0,
        "detection_fps": 1.5,
        "capture_pid": 27,
        "pid": 34,
        "process_fps": 5.1,
        "skipped_fps": 0.0,
    },
    "detection_fps": 5.0,
    "detectors": {"cpu": {"detection_start": 0.0, "inference_speed": 10.48, "pid": 25321}},
    "service": {
        "uptime": 10,
        "version": "0.10.1-8883709",
        "latest_version": "0.10.1",
        "storage": {
            path: {"total": 1000, "used": 700, "free": 300, "mnt_type": "ext4"}
            for path in (
                "/media/frigate/clips",
                "/media/frigate/recordings",
                "/tmp/cache",  # noqa: S108 - a name in a message
                "/dev/shm",  # noqa: S108
            )
        },
    },
}


def make_keys(folder: Path) -> tuple[ControlAuthority, SigningIdentity]:
    """Return the authority of a box, and a centre with a certificate of it."""
    now = datetime.now(UTC)
    span = {"not_before": now - timedelta(days=1), "not_after": now + timedelta(days=30)}
    key, centre_key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    ca = make_authority("bench", key, serial=1, **span)
    certificate = issue_certificate(
        centre_key.public_key(),
        CENTRE,
        "centre",
        authority=SigningIdentity(ca, key),
        serial=2,
        **span,
    )
    authority = ControlAuthority([ca], RevocationStore(folder), CLOCK)
    return authority, SigningIdentity(certificate, centre_key)


@contextmanager
def counted_broker(folder: Path) -> Iterator[tuple[str, Link]]:
    """Run a broker. Yields its address, and the link to it that counts."""
    folder.mkdir()
    with running_mosquitto(folder) as url, link_to(urlsplit(url).port or 1883) as link:
        yield url, link


def count(
    link: Link, send: Callable[[], None], samples: int = SAMPLES, pause_s: float = 0.0
) -> float:
    """Return the bytes of a message, the mean of some of them, sent one after the other."""
    time.sleep(SETTLE_S)
    before = link.total_bytes
    for _ in range(samples):
        time.sleep(pause_s)
        send()
    time.sleep(SETTLE_S)
    return (link.total_bytes - before) / samples


def measure_box(folder: Path, *, is_signed: bool) -> Bytes:
    """Return the bytes of a message of each kind, and of a minute of each street: its counts and its chain head."""
    authority, identity = make_keys(folder) if is_signed else (None, None)
    sizes: Bytes = {}
    with counted_broker(folder / "broker") as (url, link):
        centre = CentreListener(
            BrokerConfig(url=url), folder / "centre.db", centre=CENTRE, identity=identity
        )
        box = ReportingBox(
            BrokerConfig(url=link.url), folder / "outbox", "bench", authority=authority
        )
        with centre, box:
            wait_until(lambda: box.session.health().centre_listening)
            # The centre answers the birth with its state.
            time.sleep(2 * MIN_ASSERT_INTERVAL_S)

            def send(*messages: outgoing_messages.OutgoingMessage) -> None:
                for message in messages:
                    assert box.outbox.put(message).wait(10)
                wait_until(lambda: box.outbox.depth == 0)

            def send_minute(reports: StreetReports) -> None:
                t_ns = CLOCK.boottime_ns()
                send(reports.counts(t_ns), reports.custody_head(1, t_ns))

            for street in STREETS:
                reports = StreetReports(street, random.Random(1), CLOCK.utc)
                sizes[f"minute, {street.name}"] = count(
                    link, partial(send_minute, reports), MINUTES, QUIET_S
                )
            event, picture, *_ = reports.event(CLOCK.boottime_ns(), is_alarm=False)
            sizes["event"] = count(link, lambda: send(event))
            sizes["picture"] = count(link, lambda: send(picture))
            report = read_health_report()

            def send_health() -> None:
                before = len(centre.received)
                box.session.unstored.put(
                    outgoing_messages.build_health_message(
                        report, CLOCK.boottime_ns(), HEALTH_INTERVAL_S
                    )
                )
                centre.wait_for(lambda: len(centre.received) > before)

            sizes["health"] = count(link, send_health)
            topic = centre_topics.centre_state_topic(CENTRE)
            state = b'{"state":"listening"}'
            if identity is not None:
                state = sign_centre_state("listening", identity)
            publisher = BareClient(BrokerConfig(url=url), "publisher")

            def send_state() -> None:
                publisher.publish(topic, state, retained=True)

            sizes["state"] = count(link, send_state)
            publisher.link.close()
    return sizes


def read_health_report() -> HealthReport:
    """Return the contract's example of a health report, with as many stages as a box has."""
    message = msgspec.json.decode(read_doc_block("wire-contract.md", "health"), type=HealthMessage)
    return msgspec.structs.replace(message.data, stages=message.data.stages * STAGES)


def box_day(street: Street, sizes: Bytes) -> Bytes:
    """Return the bytes of a day by kind."""
    return {
        "counts and custody": MINUTES_A_DAY * sizes[f"minute, {street.name}"],
        "events": 3 * street.events * sizes["event"],
        "pictures": street.events * sizes["picture"],
        "health": (86_400 / HEALTH_INTERVAL_S + HEALTH_CHANGES_A_DAY) * sizes["health"],
        "centre's state": 86_400 / ASSERT_INTERVAL_S * sizes["state"],
    }


def measure_frigate(folder: Path) -> Bytes:
    """Return the bytes of a message of each kind, as Frigate publishes it: json.dumps, QoS 0."""
    event = {"type": "update", "before": FRIGATE_OBJECT, "after": FRIGATE_OBJECT}
    payloads: dict[str, tuple[str, bytes]] = {
        "events": ("frigate/events", json.dumps(event).encode()),
        "count": ("frigate/carriageway/car", b"1"),
        "picture": ("frigate/north/car/snapshot", random.Random(1).randbytes(PICTURE_BYTES)),
        "stats": ("frigate/stats", json.dumps(FRIGATE_STATS).encode()),
    }
    online = threading.Event()
    with counted_broker(folder / "frigate") as (_, link):
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.on_connect = lambda *_: online.set()
        client.connect("127.0.0.1", link.port)
        client.loop_start()
        assert online.wait(10)

        def publish(topic: str, payload: bytes) -> None:
            client.publish(topic, payload).wait_for_publish(10)

        sizes = {kind: count(link, partial(publish, *item)) for kind, item in payloads.items()}
        client.disconnect()
        client.loop_stop()
    return sizes


def frigate_day(street: Street, sizes: Bytes) -> Bytes:
    """Return the bytes of a day by kind."""
    day = {
        kind: number * street.road_users * sizes[kind]
        for kind, number in FRIGATE_MESSAGES_A_ROAD_USER.items()
    }
    return {**day, "stats": 86_400 / FRIGATE_STATS_S * sizes["stats"]}


def rows() -> list[Row]:
    """Compare three streets."""
    with tempfile.TemporaryDirectory(prefix="vigie-bench-traffic-") as name:
        folder = Path(name)
        (folder / "plain").mkdir()
        (folder / "signed").mkdir()
        plain = measure_box(folder / "plain", is_signed=False)
        signed = measure_box(folder / "signed", is_signed=True)
        frigate = measure_frigate(folder)
    made = []
    for street in STREETS:
        ours, theirs = box_day(street, signed), frigate_day(street, frigate)
        total, unsigned = sum(ours.values()), sum(box_day(street, plain).values())
        bare = (total - ours["pictures"]) / (sum(theirs.values()) - theirs["picture"])
        parts = ", ".join(f"{kind} {size / 1e6:.1f}" for kind, size in ours.items())
        peer = ", ".join(f"{kind} {size / 1e6:.1f}" for kind, size in theirs.items())
        made += [
            Row(
                name=f"a day on the wire, {street.name} street",
                value=total / 1e6,
                unit="MB",
                target="aim <= 5" if street is QUIET else "-",
                note=f"MQTT, both directions: {parts}; without signatures {unsigned / 1e6:.1f}; "
                f"{street.road_users:,} road users, {street.events:,} events",
            ),
            Row(
                name="same / as Frigate sends it",
                value=total / sum(theirs.values()),
                unit="ratio",
                target="-",
                note=f"computed from its documented example: {sum(theirs.values()) / 1e6:.1f} MB: {peer}; "
                f"without the pictures of either {bare:.2f}",
            ),
        ]
    return made
