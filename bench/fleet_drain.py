"""Boxes that send their backlogs at once through one mosquitto with its default queue of 1000 messages, and one box alone.

Next to the window of `agent.reporting.mqtt.send_window`, in turn, are fixed windows of 256 and 40 messages, which send a
message again 10 s after its PUBACK. Run: `python -m bench fleet_drain`; it takes about two minutes.
"""

import random
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import msgspec

from agent.config.broker import BrokerConfig
from agent.faults.registry import FaultRegistry
from agent.reporting.mqtt import connection
from agent.reporting.mqtt.mqtt_stage import MqttStage
from agent.reporting.mqtt.send_window import RESEND_AFTER_S, SendWindow
from agent.reporting.mqtt.session import MqttSession
from agent.runtime.stage import StageThread
from bench.drain import BIRTH, CLOCK, running_centre
from bench.mosquitto import running_mosquitto
from bench.outbox import make_event, open_outbox
from bench.table import Row

CASES = ((1, 20_000), (20, 2_000))
"""Boxes, and messages of each."""
_LOOK_S = 0.01


class CountedWindow(SendWindow):
    """The agent's window. Counts the publications of messages, of all boxes: each box has a thread."""

    _lock = threading.Lock()
    publications = 0

    def note_sent(self, mid: int, seq: int | None, size_bytes: int, now_s: float) -> None:
        """Count a publication."""
        super().note_sent(mid, seq, size_bytes, now_s)
        if seq is not None:
            with self._lock:
                CountedWindow.publications += 1


class FixedWindow(CountedWindow):
    """A window that does not adapt: the agent's before decision 63, with 256 messages."""

    size = 256

    def new_message_quota(self) -> int:
        """Number of messages that may be sent now for the first time."""
        if self.quota_bytes() <= 0:
            return 0
        return max(0, min(self.send_quota(), self.size - len(self._unacked)))

    def due_for_resend(self, now_s: float) -> tuple[int, ...]:
        """Return the messages whose PUBACK is RESEND_AFTER_S old."""
        overdue = sorted(
            seq
            for seq, entry in self._unacked.items()
            if not entry.is_in_flight and now_s - entry.puback_s >= RESEND_AFTER_S
        )
        quota = self.send_quota() if self.quota_bytes() > 0 else 0
        return tuple(overdue[: max(0, quota)])


class FixedWindow40(FixedWindow):
    """A window for which the default queue is long enough, with 20 boxes."""

    size = 40


class FleetCost(msgspec.Struct, frozen=True):
    """Duration until each outbox is empty, and publications for each message."""

    wall_s: float
    publications: float


def measure(window: type[CountedWindow], boxes: int, messages: int) -> FleetCost:
    """Send the same backlog of all boxes with one kind of window."""
    with (
        tempfile.TemporaryDirectory(prefix="vigie-bench-fleet-") as name,
        patch.object(connection, "SendWindow", window),
        ExitStack() as cleanup,
    ):
        folder = Path(name)
        outboxes = [
            open_outbox(folder / f"box-{number}", f"bench-{number}") for number in range(boxes)
        ]
        for outbox in outboxes:
            cleanup.callback(outbox.close)
            for _ in range(messages):
                ticket = outbox.put(make_event())
            assert ticket.wait(60)
        url = cleanup.enter_context(running_mosquitto(folder))
        cleanup.enter_context(running_centre(folder, url, lambda _: None))
        stages = [
            StageThread(
                MqttStage(
                    MqttSession(outbox, CLOCK),
                    BrokerConfig(url=url),
                    FaultRegistry(CLOCK.boottime_ns),
                    lambda: BIRTH,
                    random.Random(number),
                ),
                CLOCK.boottime_ns,
                random.Random(number),
                vital=False,
            )
            for number, outbox in enumerate(outboxes)
        ]
        CountedWindow.publications = 0
        start_s = time.perf_counter()
        for stage in stages:
            stage.start()
        pause = threading.Event()
        while any(outbox.depth for outbox in outboxes):
            pause.wait(_LOOK_S)
        wall_s = time.perf_counter() - start_s
        for stage in stages:
            stage.stop()
        for stage in stages:
            stage.join(30)
        return FleetCost(wall_s, CountedWindow.publications / (boxes * messages))


def rows() -> list[Row]:
    """Measure each case with each window."""
    made = []
    for boxes, messages in CASES:
        own = measure(CountedWindow, boxes, messages)
        fixed = {kind.size: measure(kind, boxes, messages) for kind in (FixedWindow, FixedWindow40)}
        fastest_s = min(cost.wall_s for cost in fixed.values())
        name = f"{boxes} boxes" if boxes > 1 else "one box"
        note = "; ".join(
            f"a fixed window of {size}: {cost.publications:.3f}, {cost.wall_s:.1f} s"
            for size, cost in fixed.items()
        )
        made += [
            Row(
                name=f"{name}, {messages:,} messages each, mosquitto's defaults: publications a message",
                value=own.publications,
                unit="ratio",
                target="<= 1.05",
                note=note,
            ),
            Row(
                name="same, time / the faster of two fixed windows",
                value=own.wall_s / fastest_s,
                unit="ratio",
                target="<= 1.1",
                note=f"{own.wall_s:.1f} : {fastest_s:.1f} s",
            ),
        ]
    return made
