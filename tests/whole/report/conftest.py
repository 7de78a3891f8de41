"""The real things that reports go through: an outbox on a disk, a mosquitto of our own."""

import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from agent.app.event_types import EVENT_TYPES
from agent.base.clock import Clock, SystemClock
from agent.base.model import Event
from agent.base.uuid7 import uuid7_factory
from agent.faults.registry import FaultRegistry
from agent.reporting import outgoing_messages
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outgoing_messages import OutgoingMessage
from tests.whole.report.broker import Mosquitto

CLOCK = SystemClock()


def open_outbox(
    folder: Path,
    max_bytes: int = 50_000_000,
    box: str = "pole-17",
    clock: Clock = CLOCK,
    centres: tuple[str, ...] = (),
) -> Outbox:
    """An outbox as the agent opens it."""
    return Outbox.open(
        folder,
        box=box,
        boot="c0ffee00-0000-4000-8000-000000000000",
        clock=clock,
        max_bytes=max_bytes,
        new_id=uuid7_factory(lambda t_ns: t_ns, random.Random(1)),
        faults=FaultRegistry(CLOCK.boottime_ns),
        centres=centres,
    )


def make_event(number: int, kind: str = "line") -> OutgoingMessage:
    """A numbered event: `track` is the number."""
    now_ns = CLOCK.boottime_ns()
    event_struct = Event(
        event=f"event-{number}",
        rev=1,
        kind=kind,
        phase="moment",
        camera="north",
        t_ns=now_ns,
        begin_ns=now_ns,
        track=number,
    )
    data = outgoing_messages.build_event_data(event_struct, begin=CLOCK.utc(now_ns))
    return outgoing_messages.build_event_message(
        data, is_emergency=EVENT_TYPES[kind].severity == "alarm"
    )


def event_number(data: bytes, *field_path: str) -> int:
    """The number that `event` was given; `within` names the field of a message that has it."""
    fields = msgspec.json.decode(data)
    for name in field_path:
        fields = fields[name]
    return int(fields["track"])


@pytest.fixture
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Mosquitto]]:
    """Starts mosquittos, and kills them after the test."""
    started: list[Mosquitto] = []

    def start(**options: str) -> Mosquitto:
        started.append(Mosquitto(tmp_path_factory.mktemp("mosquitto"), **options))
        return started[-1]

    yield start
    for broker in started:
        broker.stop(signal.SIGKILL)


@pytest.fixture
def broker(brokers: Callable[..., Mosquitto]) -> Mosquitto:
    """A mosquitto that lets everybody in."""
    return brokers()


@pytest.fixture
def outboxes() -> Iterator[Callable[..., Outbox]]:
    """Opens outboxes, and closes those that a test left open."""
    opened: list[Outbox] = []

    def open_one(folder: Path, **options: object) -> Outbox:
        opened.append(open_outbox(folder, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for outbox in opened:
        outbox.close()
