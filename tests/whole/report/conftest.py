"""The real things that reports go through: an outbox on a disk, a mosquitto of our own."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from agent.clock import SystemClock
from agent.faults import FaultBoard
from agent.identifiers import uuid7_maker
from agent.model import Event
from agent.report import topics
from agent.report.outbox import Outbox
from agent.report.topics import Draft

CLOCK = SystemClock()


def open_outbox(folder: Path, max_bytes: int = 50_000_000, box: str = "pole-17") -> Outbox:
    """An outbox as the agent opens it."""
    return Outbox.open(
        folder,
        box=box,
        boot="c0ffee00-0000-4000-8000-000000000000",
        clock=CLOCK,
        max_bytes=max_bytes,
        new_id=uuid7_maker(lambda t_ns: t_ns, random.Random(1)),
        faults=FaultBoard(CLOCK.boottime_ns),
    )


def event(number: int, kind: str = "line") -> Draft:
    """A numbered event: `track` is the number."""
    now_ns = CLOCK.boottime_ns()
    made = Event(
        event=f"event-{number}",
        rev=1,
        kind=kind,  # type: ignore[arg-type]
        phase="moment",
        camera="north",
        t_ns=now_ns,
        begin_ns=now_ns,
        track=number,
    )
    return topics.event_draft(topics.event_data(made, begin=CLOCK.utc(now_ns)))


def number_of(data: bytes) -> int:
    """The number that `event` was given."""
    return int(msgspec.json.decode(data)["track"])


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
