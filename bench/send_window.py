"""Outboxes of boxes that come back together, drained through one mosquitto to one centre: the send window as it is, next to fixed ones.

A broker drops what the queue of a centre does not hold, and the boxes send it again. The fixed windows send again 10 s after the PUBACK only.
Run: `python -m bench send_window`.
"""

import random
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Self
from unittest import mock

import msgspec

from agent.base.clock import boot_id
from agent.base.uuid7 import uuid7_factory
from agent.config.broker import BrokerConfig
from agent.faults.registry import FaultRegistry
from agent.reporting.mqtt import send_window
from agent.reporting.mqtt.congestion_window import CongestionWindow
from agent.reporting.mqtt.mqtt_stage import MqttStage
from agent.reporting.mqtt.session import MqttSession
from agent.reporting.outbox.files import NO_LIMIT
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outbox.schema import OutboxRow
from agent.runtime.stage import StageThread
from bench.drain import BIRTH, CLOCK, running_centre
from bench.mosquitto import running_mosquitto
from bench.outbox import make_event
from bench.table import Row

FIXED_SIZES = (40, 256)
"""The first one lets 20 boxes share mosquitto's queue, the second one is as much as a box keeps in memory."""
_LOOK_S = 0.02
_STOP_TIMEOUT_S = 60.0


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """Boxes that drain their outboxes at once. `config` are lines of the broker's configuration, named by `broker`."""

    boxes: int
    messages: int
    """Of each box."""
    broker: str = "mosquitto's defaults"
    config: str = ""


FLEETS = (
    Fleet(boxes=1, messages=20_000),
    Fleet(boxes=20, messages=2_000),
    Fleet(
        boxes=20,
        messages=2_000,
        broker="a queue of 100",
        config="max_queued_messages 100\n",
    ),
    Fleet(
        boxes=20,
        messages=2_000,
        broker="the settings of docs/centre.md",
        config="max_queued_messages 1000000\nmax_inflight_messages 1000\n",
    ),
)


class DrainResult(msgspec.Struct, frozen=True, kw_only=True):
    """Cost of a drain. `cpu_s` is that of all boxes."""

    wall_s: float
    cpu_s: float
    publishes_per_message: float


class CountingOutbox(Outbox):
    """An outbox that counts the messages that it gives out to be published."""

    published_count = 0

    def fetch(
        self, limit: int, limit_bytes: int = NO_LIMIT, urgent_limit: int = 0
    ) -> list[OutboxRow]:
        """See `Outbox`."""
        rows = super().fetch(limit, limit_bytes, urgent_limit)
        self.published_count += len(rows)
        return rows

    def refetch(self, seqs: Iterable[int]) -> list[OutboxRow] | None:
        """See `Outbox`."""
        rows = super().refetch(seqs)
        self.published_count += len(rows or ())
        return rows


class FixedWindow(CongestionWindow, frozen=True, kw_only=True):
    """A window of one size."""

    def after_acks(self, count: int, *, is_used: bool) -> Self:
        """Return the same window."""
        return self

    def after_loss(self, sent_s: float, now_s: float) -> Self:
        """Return the same window."""
        return self


@contextmanager
def fixed_window(size: int) -> Iterator[None]:
    """Give each connection a window of one size, and the timer of RESEND_AFTER_S alone."""
    with (
        mock.patch.object(send_window, "CongestionWindow", partial(FixedWindow, size=size)),
        mock.patch.object(send_window, "OVERTAKEN_AFTER_S", send_window.RESEND_AFTER_S),
        mock.patch.object(send_window, "PROBE_AFTER_S", send_window.RESEND_AFTER_S),
    ):
        yield


def open_box(folder: Path, number: int) -> CountingOutbox:
    """Open the outbox of a box as the agent does, large enough for all work here."""
    return CountingOutbox.open(
        folder / str(number),
        box=f"bench-{number}",
        boot=boot_id(),
        clock=CLOCK,
        max_bytes=1_000_000_000,
        new_id=uuid7_factory(lambda _: time.time_ns(), random.Random(number)),
        faults=FaultRegistry(CLOCK.boottime_ns),
    )


def start_box(outbox: Outbox, url: str) -> StageThread:
    """Connect a box to the broker."""
    stage = MqttStage(
        MqttSession(outbox, CLOCK),
        BrokerConfig(url=url),
        FaultRegistry(CLOCK.boottime_ns),
        lambda: BIRTH,
        random.Random(1),
    )
    thread = StageThread(stage, CLOCK.boottime_ns, random.Random(2), vital=False)
    thread.start()
    return thread


def drain(fleet: Fleet) -> DrainResult:
    """Fill the outboxes of all boxes, and let them connect at once."""
    with tempfile.TemporaryDirectory(prefix="vigie-bench-window-") as name, ExitStack() as stack:
        folder = Path(name)
        outboxes = [open_box(folder, number) for number in range(fleet.boxes)]
        for outbox in outboxes:
            stack.callback(outbox.close)
            for _ in range(fleet.messages):
                ticket = outbox.put(make_event())
            assert ticket.wait(60)
        url = stack.enter_context(running_mosquitto(folder, fleet.config))
        stack.enter_context(running_centre(folder, url, lambda _line: None))
        pause = threading.Event()
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        boxes = [start_box(outbox, url) for outbox in outboxes]
        while any(outbox.depth for outbox in outboxes):
            pause.wait(_LOOK_S)
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        for box in boxes:
            box.stop()
        for box in boxes:
            box.join(_STOP_TIMEOUT_S)
    published = sum(outbox.published_count for outbox in outboxes)
    return DrainResult(
        wall_s=wall_s,
        cpu_s=cpu_s,
        publishes_per_message=published / (fleet.boxes * fleet.messages),
    )


def rows(fleets: Iterable[Fleet] = FLEETS) -> list[Row]:
    """Compare the window with the fixed ones, fleet by fleet."""
    made = []
    for fleet in fleets:
        fixed = {}
        for size in FIXED_SIZES:
            with fixed_window(size):
                fixed[size] = drain(fleet)
        adaptive = drain(fleet)
        faster = min(fixed.values(), key=lambda result: result.wall_s)
        boxes = "one box" if fleet.boxes == 1 else f"{fleet.boxes} boxes"
        name = f"{boxes}, {fleet.messages:,} messages each, {fleet.broker}"
        made += [
            Row(
                name=f"{name}: publishes a message",
                value=adaptive.publishes_per_message,
                unit="",
                target="aim <= 1.05",
                note="; ".join(
                    f"fixed window of {size}: {result.publishes_per_message:.2f}"
                    for size, result in fixed.items()
                ),
            ),
            Row(
                name="same: time / the faster fixed window",
                value=adaptive.wall_s / faster.wall_s,
                unit="ratio",
                target="aim <= 1.1",
                note=f"{adaptive.wall_s:.1f} s, CPU of the boxes {adaptive.cpu_s:.1f} s; "
                + "; ".join(
                    f"fixed window of {size}: {result.wall_s:.1f} s, CPU {result.cpu_s:.1f} s"
                    for size, result in fixed.items()
                ),
            ),
        ]
    return made
