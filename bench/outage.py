"""72 hours without a network, replayed: a normal street's messages, then the drain to a centre that commits.

The messages are those of `bench.street_day`, put into the outbox at their times of a manual clock; after it the box
starts again with the machine's clock, and reports. When half has left, emergencies are put one after the other.
Run: `python -m bench outage`.
"""

import random
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.base.clock import SystemClock, boot_id
from agent.base.uuid7 import uuid7_factory
from agent.faults.registry import FaultRegistry
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outgoing_messages import OutgoingMessage, Priority
from bench.drain import CLOCK, DrainCost, drain
from bench.street_day import MINUTES_A_DAY, NORMAL, StreetReports
from bench.table import Row

HOURS = 72
EMERGENCIES = 5
UPLINKS_BYTES_S = {"": float("inf"), ", uplink of 1 Mbit/s": 1_000_000 / 8}


class OutageClock(SystemClock):
    """A clock that the replay of the outage advances. UTC begins as long ago as the outage."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self._begin = datetime.now(UTC) - timedelta(hours=HOURS)

    def boottime_ns(self) -> int:
        """Return the manual time."""
        return self.now_ns

    def utc(self, t_ns: int) -> datetime:
        """Return a time since the begin of the outage as UTC."""
        return self._begin + timedelta(microseconds=t_ns // 1000)


def open_outbox(folder: Path, clock: SystemClock) -> Outbox:
    """Open an outbox as the agent does, with its default size."""
    return Outbox.open(
        folder,
        box="bench",
        boot=boot_id(),
        clock=clock,
        max_bytes=256_000_000,
        new_id=uuid7_factory(lambda t_ns: t_ns, random.Random(1)),
        faults=FaultRegistry(clock.boottime_ns),
    )


def fill(folder: Path) -> tuple[OutgoingMessage, ...]:
    """Put the messages of the outage. Return emergencies for the drain."""
    clock = OutageClock()
    outbox = open_outbox(folder, clock)
    reports = StreetReports(NORMAL, random.Random(1), clock.utc)
    for message in reports.messages(0, HOURS * MINUTES_A_DAY // 24):
        clock.now_ns = max(clock.now_ns, message.t_ns)
        ticket = outbox.put(message)
    assert ticket.wait(60)
    outbox.close()
    return tuple(reports.event(clock.now_ns, is_alarm=True)[0] for _ in range(EMERGENCIES))


def measure(folder: Path, uplink_bytes_per_s: float) -> tuple[int, int, DrainCost]:
    """Return the number and bytes of the messages, and the cost of their drain."""
    emergencies = fill(folder / "outbox")
    assert all(each.priority == Priority.EMERGENCY for each in emergencies)
    outbox = open_outbox(folder / "outbox", CLOCK)
    counts = outbox.counts()
    cost = drain(outbox, folder, uplink_bytes_per_s=uplink_bytes_per_s, emergencies=emergencies)
    assert outbox.counts().lost == 0
    outbox.close()
    return counts.depth, counts.total_bytes, cost


def rows() -> list[Row]:
    """Drain the same outage without a limit and through a weak uplink."""
    made = []
    for uplink, bytes_per_s in UPLINKS_BYTES_S.items():
        with tempfile.TemporaryDirectory(prefix="vigie-bench-outage-") as name:
            messages, size_bytes, cost = measure(Path(name), bytes_per_s)
        detail = f"{cost.sent_bytes / 1e6:.1f} MB sent"
        if not uplink:
            detail = f"CPU: box {cost.cpu_s:.1f} s, centre {cost.centre_cpu_s:.1f} s"
        made.append(
            Row(
                name=f"{HOURS} h of outage of a normal street, drained{uplink}",
                value=cost.wall_s,
                unit="s",
                target="<= 600",
                note=f"{messages:,} messages, {size_bytes / 1e6:.1f} MB; {detail}; "
                f"an emergency put meanwhile is at the centre after {max(cost.emergency_s):.2f} s at most",
            )
        )
    return made
