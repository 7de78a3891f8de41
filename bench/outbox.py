"""Cost of durability: the outbox against bare SQLite with the same commits, and its drain.

Bare SQLite: one thread, WAL, synchronous=FULL, the same bytes in one table without an index, as many rows
per commit as the outbox had. The drain is through a real mosquitto to a real centre (`vigie watch --ack`,
in its own process) that commits before it acknowledges. Run: `python -m bench.outbox`.
"""

import random
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import msgspec

from agent.base.clock import boot_id
from agent.base.model import BoundingBox, Event
from agent.base.uuid7 import uuid7_factory
from agent.faults.registry import FaultRegistry
from agent.reporting import outgoing_messages
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outgoing_messages import OutgoingMessage
from bench.drain import CLOCK, drain
from bench.table import Row

EVENTS = 20_000
SINGLE_EVENTS = 1_000
TURNS = 5
EMERGENCIES = 100
BACKLOG = 100_000


class CommitCost(msgspec.Struct, frozen=True, kw_only=True):
    """The duration of some work, and its number of commits."""

    wall_s: float
    cpu_s: float
    commits: int


def open_outbox(folder: Path, box: str = "bench") -> Outbox:
    """Open an outbox as the agent does, large enough for all work here."""
    return Outbox.open(
        folder,
        box=box,
        boot=boot_id(),
        clock=CLOCK,
        max_bytes=1_000_000_000,
        new_id=uuid7_factory(lambda _: time.time_ns(), random.Random(1)),
        faults=FaultRegistry(CLOCK.boottime_ns),
    )


def make_event(kind: str = "line", *, is_emergency: bool = False) -> OutgoingMessage:
    """Build an event of the usual size, encoded each time as the agent does."""
    t_ns = CLOCK.boottime_ns()
    event_struct = Event(
        event="019a4901-3c62-7d2a-9f0e-000000000001",
        rev=1,
        kind=kind,
        phase="moment",
        camera="north",
        t_ns=t_ns,
        begin_ns=t_ns,
        name="stop line north",
        label="car",
        track=7,
        score=0.81,
        box=BoundingBox(0.41, 0.52, 0.08, 0.06),
        direction="towards centre",
        position=0.4,
    )
    data = outgoing_messages.build_event_data(event_struct, begin=CLOCK.utc(t_ns))
    return outgoing_messages.build_event_message(data, is_emergency=is_emergency)


def measure_outbox(
    folder: Path, message: OutgoingMessage, count: int, *, one_by_one: bool
) -> CommitCost:
    """Store `count` events: as fast as they are accepted, or each after the commit of the previous one."""
    outbox = open_outbox(folder)
    commits: list[None] = []
    outbox.on_commit(lambda: commits.append(None))
    wall_start, cpu_start = time.perf_counter(), time.process_time()
    if one_by_one:
        assert all(outbox.put(message).wait(60) for _ in range(count))
    else:
        tickets = [outbox.put(message) for _ in range(count)]
        assert all(ticket.wait(60) for ticket in tickets)
    cost = CommitCost(
        wall_s=time.perf_counter() - wall_start,
        cpu_s=time.process_time() - cpu_start,
        commits=len(commits),
    )
    outbox.close()
    return cost


def measure_bare_sqlite(file: Path, data: bytes, count: int, commits: int) -> CommitCost:
    """Store the same number of rows of the same size in as many commits, with SQLite alone."""
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE message (seq INTEGER PRIMARY KEY, data BLOB)")
    wall_start, cpu_start = time.perf_counter(), time.process_time()
    done = 0
    for commit in range(1, commits + 1):
        last_seq = count * commit // commits
        db.execute("BEGIN IMMEDIATE")
        for seq in range(done + 1, last_seq + 1):
            db.execute("INSERT INTO message VALUES (?, ?)", (seq, data))
        db.execute("COMMIT")
        done = last_seq
    cost = CommitCost(
        wall_s=time.perf_counter() - wall_start,
        cpu_s=time.process_time() - cpu_start,
        commits=commits,
    )
    db.close()
    return cost


def durable_rows(folder: Path) -> list[Row]:
    """Measure events per second, and their cost relative to bare SQLite."""
    return [
        *_compare_with_bare(folder, "many", make_event("line"), EVENTS, one_by_one=False),
        *_compare_with_bare(
            folder,
            "singly",
            make_event("wrong_way", is_emergency=True),
            SINGLE_EVENTS,
            one_by_one=True,
        ),
    ]


def _compare_with_bare(
    folder: Path, label: str, message: OutgoingMessage, count: int, *, one_by_one: bool
) -> list[Row]:
    own_costs, bare_costs = [], []
    for turn in range(TURNS):
        own_costs.append(
            measure_outbox(folder / f"{label}-{turn}", message, count, one_by_one=one_by_one)
        )
        file = folder / f"{label}-{turn}.db"
        bare_costs.append(measure_bare_sqlite(file, message.data, count, own_costs[-1].commits))
    cpu = statistics.median(o.cpu_s / b.cpu_s for o, b in zip(own_costs, bare_costs, strict=True))
    wall = statistics.median(
        o.wall_s / b.wall_s for o, b in zip(own_costs, bare_costs, strict=True)
    )
    rate = statistics.median(count / each.wall_s for each in own_costs)
    floor = statistics.median(count / each.wall_s for each in bare_costs)
    group = count / statistics.median(each.commits for each in own_costs)
    per_event = statistics.median(each.cpu_s for each in own_costs) / count * 1e6
    name = f"outbox, {group:.0f} to a commit" if group > 1 else "outbox, one to a commit"
    return [
        Row(
            name=f"{name}: durable events a second",
            value=rate,
            unit="/s",
            target="-",
            note=f"bare SQLite, same commits: {floor:.0f}/s; wall {wall:.2f}",
        ),
        Row(
            name=f"{name}: CPU, next to bare SQLite",
            value=cpu,
            unit="ratio",
            target="-",
            note=f"{per_event:.0f} µs an event: envelope, time, checksum, index, ticket, threads",
        ),
    ]


def urgent_rows(folder: Path) -> list[Row]:
    """Measure the time until a single emergency is on the disk."""
    outbox = open_outbox(folder / "urgent")
    waits_ms = []
    for _ in range(EMERGENCIES):
        start_s = time.perf_counter()
        assert outbox.put(make_event("wrong_way", is_emergency=True)).wait(60)
        waits_ms.append((time.perf_counter() - start_s) * 1000)
    outbox.close()
    waits_ms.sort()
    return [
        Row(
            name="outbox: an emergency is durable, p50",
            value=statistics.median(waits_ms),
            unit="ms",
            target="-",
            note=f"p95 {waits_ms[int(EMERGENCIES * 0.95)]:.2f} ms",
        )
    ]


def drain_rows(folder: Path) -> list[Row]:
    """Measure the time until the centre has all of BACKLOG events after an outage."""
    outbox = open_outbox(folder / "backlog")
    for _ in range(BACKLOG):
        ticket = outbox.put(make_event())
    assert ticket.wait(60)
    cost = drain(outbox, folder)
    outbox.close()
    return [
        Row(
            name=f"outbox: drain of {BACKLOG:,} events to a centre that commits",
            value=cost.wall_s,
            unit="s",
            target="<= 600",
            note=f"{BACKLOG / cost.wall_s:.0f}/s; CPU: box {cost.cpu_s:.1f} s, centre {cost.centre_cpu_s:.1f} s",
        )
    ]


def rows() -> list[Row]:
    """Return all rows of this bench."""
    with tempfile.TemporaryDirectory(prefix="vigie-bench-outbox-") as name:
        folder = Path(name)
        return [*durable_rows(folder), *urgent_rows(folder), *drain_rows(folder)]


if __name__ == "__main__":
    for row in rows():
        print(f"{row.name}: {row.format_value()} ({row.verdict()}; {row.note})")
