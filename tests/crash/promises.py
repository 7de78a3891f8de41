"""What a box had promised by some moment, and whether its disk keeps it."""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import av
import msgspec

from agent.base.errors import UserError
from agent.health.flight_recorder import PAGES, read_pages
from agent.recording.custody.chain import BrokenChain, check
from agent.recording.custody.receipts import Body, Closed, Evicted, Released
from agent.recording.encryption.seal import open_sidecar
from agent.recording.segment_name import KEYS, SegmentName, parse_segment_name
from tests.crash.film import FRAME_MS, FRAMES, GOP, LIFE_PACKETS, index_of, packets, pictures
from tests.crash.house import BOX, PRIVATE_KEY, House


class Promises(msgspec.Struct, frozen=True, kw_only=True):
    """The marks of a recorder, taken together."""

    taken: dict[int, int]
    """For each life, the newest packet that went through the recorder."""
    closed: dict[str, int]
    """Segments that were announced, and how many marks stood before."""
    receipts: dict[int, str]
    holds: dict[str, tuple[int, int, int]]
    """Begin, end, and how many marks stood before its first."""
    releases: frozenset[str]
    rows: dict[int, tuple[str, str]]
    flights: frozenset[int]

    @property
    def count(self) -> int:
        """How many things must be there."""
        return (
            len(self.closed)
            + len(self.receipts)
            + len(self.holds)
            + len(self.rows)
            + len(self.flights)
        )


def read_marks(marks: Iterable[str]) -> Promises:
    """The promises of some marks, in order."""
    taken: dict[int, int] = {}
    closed: dict[str, int] = {}
    receipts: dict[int, str] = {}
    holds: dict[str, tuple[int, int, int]] = {}
    releases: set[str] = set()
    rows: dict[int, tuple[str, str]] = {}
    flights: set[int] = set()
    for number, mark in enumerate(marks, start=1):
        match mark.split():
            case ["taken", index]:
                taken[int(index) // LIFE_PACKETS] = int(index)
            case ["closed", name]:
                closed[name] = number
            case ["receipt", seq, sha256]:
                receipts[int(seq)] = sha256
            case ["hold", hold, begin_ms, end_ms]:
                since = holds[hold][2] if hold in holds else number
                holds[hold] = (int(begin_ms), int(end_ms), since)
            case ["release", hold]:
                releases.add(hold)
            case ["row", epoch, seq, event]:
                rows[int(seq)] = (epoch, event)
            case ["flight", page]:
                flights.add(int(page))
            case ["faults", _]:
                pass
            case _:
                raise AssertionError(f"no mark: {mark!r}")
    return Promises(
        taken=taken,
        closed=closed,
        receipts=receipts,
        holds=holds,
        releases=frozenset(releases),
        rows=rows,
        flights=frozenset(flights),
    )


def broken_promises(
    folder: Path, marks: Iterable[str], film: list[str], life: int, *, gaps: bool = False
) -> list[str]:
    """Recover with the product's own code, and compare. Each line names one broken promise.

    `film` are the digests of the film's pictures, `life` is one that has not been yet. With
    `gaps` the disk has failed now and then, and what was not recorded is no broken promise.
    """
    promises = read_marks(marks)
    house = House(folder, life * LIFE_PACKETS)
    try:
        house.keeper.enforce()
        house.open_ring()
        return [*_compare(house, promises, film, gaps=gaps)]
    finally:
        house.close()


def _compare(house: House, promises: Promises, film: list[str], *, gaps: bool) -> Iterable[str]:
    for fault in house.faults.active():
        if fault.code == "STO-03":
            continue  # the small ring is full of holds: each that goes has its receipt, see _held
        yield f"after recovery: {fault.code} {fault.subject}: {fault.detail}"
    key = base64.b64encode(house.identity.public_key_raw).decode()
    bodies: list[Body] = []
    hashes: dict[int, str] = {}
    try:
        for line in check(house.custody.read(), BOX, key):
            bodies.append(line.receipt.body)
            hashes[line.receipt.seq] = line.sha256
    except BrokenChain as broken:
        yield f"chain: {broken}"
    for seq, sha256 in promises.receipts.items():
        if hashes.get(seq) != sha256:
            yield f"receipt {seq} is {hashes.get(seq)}"
    yield from _footage(house, promises, bodies, film)
    if not gaps:
        yield from _holes(house, promises, bodies)
    yield from _held(house, promises, bodies)
    yield from _rows(house, promises)
    yield from _flown(house, promises)


def _footage(
    house: House, promises: Promises, bodies: list[Body], film: list[str]
) -> Iterable[str]:
    receipts = [body for body in bodies if isinstance(body, Closed)]
    closed = {body.segment: body for body in receipts}
    evicted = _evicted(bodies)
    for name, times in Counter(body.segment for body in receipts).items():
        if times > 1:
            yield f"{name}: {times} receipts of its close"
    there = {path.name: path for path in sorted(house.footage.glob("*.mp4"))}
    for name in promises.closed:
        if name not in there and name not in evicted:
            yield f"{name}: was closed, is gone, and no receipt says why"
        if name not in closed:
            yield f"{name}: was closed, and has no receipt"
    for name, path in there.items():
        receipt = closed.get(name)
        if receipt is None:
            yield f"{name}: lies there without a receipt"
        elif hashlib.sha256(path.read_bytes()).hexdigest() != receipt.sha256:
            yield f"{name}: is not what its receipt says"
        yield from _plays(path, film, whole=receipt is not None and not receipt.recovered)


def _plays(path: Path, film: list[str], *, whole: bool) -> Iterable[str]:
    """A file opens with its key, and where it was mended it shows what was recorded."""
    try:
        key = open_sidecar(path.with_name(path.name + KEYS), PRIVATE_KEY)
        if whole:
            return
        shown = pictures(path, key.key)
    except (UserError, av.FFmpegError) as error:
        yield f"{path.name}: does not play: {error}"
        return
    begin = index_of(_parsed(path.name).begin_ms) % LIFE_PACKETS % FRAMES
    if not shown or shown != (film * (len(shown) // FRAMES + 2))[begin : begin + len(shown)]:
        yield f"{path.name}: what was recovered is not what was recorded"


def _evicted(bodies: list[Body]) -> set[str]:
    """Of segments; what was set aside is no footage."""
    names = (name for body in bodies if isinstance(body, Evicted) for name in body.segments)
    return {name for name in names if parse_segment_name(name) is not None}


def _holes(house: House, promises: Promises, bodies: list[Body]) -> Iterable[str]:
    """Within a life each segment begins where the one before ended, but where one was evicted,
    and only the last group of the last one may be missing.
    """
    evicted = {index_of(_parsed(name).begin_ms) for name in _evicted(bodies)}
    ends: dict[int, int] = {}
    newest = max(promises.taken, default=0)
    for path in sorted(house.footage.glob("*.mp4")):
        begin = index_of(_parsed(path.name).begin_ms)
        life = begin // LIFE_PACKETS
        if ends.get(life, begin) not in {begin, *evicted}:
            yield f"{path.name}: begins at packet {begin}, and not at {ends[life]}"
        ends[life] = begin + packets(path)
    for life, last in promises.taken.items():
        whole_groups = last // GOP * GOP
        end = ends.get(life, life * LIFE_PACKETS)
        if end < whole_groups and end not in evicted and (life in ends or life == newest):
            yield f"life {life}: packets up to {last} were taken, {end} is missing"


def _held(house: House, promises: Promises, bodies: list[Body]) -> Iterable[str]:
    active = {hold.id: hold for hold in house.holds.active()}
    asked = {release.hold for release in house.holds.pending_releases()}
    let_go = {body.hold for body in bodies if isinstance(body, Released)}
    for hold in promises.releases & active.keys():
        yield f"hold {hold}: was released, and is back"
    for hold, (begin_ms, end_ms, since) in promises.holds.items():
        if hold in promises.releases or hold in let_go:
            continue
        if hold not in active and hold not in asked:
            yield f"hold {hold}: is gone"
            continue
        for name, at in promises.closed.items():
            begins = _parsed(name).begin_ms
            inside = begins < end_ms and begins + GOP * FRAME_MS > begin_ms
            if at > since and inside and not (house.footage / name).exists():
                yield f"hold {hold}: {name} is gone"


def _rows(house: House, promises: Promises) -> Iterable[str]:
    rows = {row.seq: row for row in house.outbox.fetch(1_000_000)}
    for seq, (epoch, event) in promises.rows.items():
        row = rows.get(seq)
        if epoch != house.outbox.epoch or row is None or event.encode() not in row.data:
            yield f"row {seq}: is gone"


def _flown(house: House, promises: Promises) -> Iterable[str]:
    """All that was written is there, but for the page whose place was being written anew."""
    there = {page.number for page in read_pages(house.flight_file)}
    newest = max(promises.flights, default=0)
    for number in sorted(promises.flights - there):
        if number > newest - (PAGES - 1):
            yield f"flight recorder: page {number} is gone, the newest is {newest}"


def _parsed(name: str) -> SegmentName:
    parsed = parse_segment_name(name)
    assert parsed is not None, name
    return parsed
