"""The promises that a box had made at a moment, and the check of its disk against them."""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import av
import msgspec

from agent.base.damaged_file import find_unreported, read_note
from agent.base.errors import UserError
from agent.health.flight_recorder import PAGE_COUNT, read_pages
from agent.recording.custody.chain import BrokenChain, verify_chain
from agent.recording.custody.receipts import (
    FileQuarantined,
    FootageEvicted,
    HoldReleased,
    ReceiptBody,
    SegmentClosed,
)
from agent.recording.encryption.key_wrapping import unwrap_segment_key
from agent.recording.quarantine import QUARANTINE_DIR
from agent.recording.segment_name import KEYS_SUFFIX, SegmentName, parse_segment_name
from tests.crash.recording_box import BOX, PRIVATE_KEY, RecordingBox
from tests.crash.video import (
    FRAME_MS,
    FRAMES,
    GOP_FRAMES,
    LIFE_PACKETS,
    count_packets,
    packet_index,
    picture_digests,
)


class AckedState(msgspec.Struct, frozen=True, kw_only=True):
    """The marks of a recorder, taken together."""

    last_packet_by_life: dict[int, int]
    """For each life, the newest packet that went through the recorder."""
    closed: dict[str, int]
    """Segments that were announced, and how many marks stood before."""
    receipts: dict[int, str]
    holds: dict[str, tuple[int, int, int]]
    """Begin, end, and how many marks stood before its first."""
    releases: frozenset[str]
    rows: dict[int, tuple[str, str]]
    flight_pages: frozenset[int]

    @property
    def count(self) -> int:
        """How many things must be there."""
        return (
            len(self.closed)
            + len(self.receipts)
            + len(self.holds)
            + len(self.rows)
            + len(self.flight_pages)
        )


def read_marks(marks: Iterable[str]) -> AckedState:
    """The promises of some marks, in order."""
    last_packet_by_life: dict[int, int] = {}
    closed: dict[str, int] = {}
    receipts: dict[int, str] = {}
    holds: dict[str, tuple[int, int, int]] = {}
    releases: set[str] = set()
    rows: dict[int, tuple[str, str]] = {}
    flight_pages: set[int] = set()
    for number, mark in enumerate(marks, start=1):
        match mark.split():
            case ["taken", index]:
                last_packet_by_life[int(index) // LIFE_PACKETS] = int(index)
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
                flight_pages.add(int(page))
            case ["faults", _]:
                pass
            case _:
                raise AssertionError(f"no mark: {mark!r}")
    return AckedState(
        last_packet_by_life=last_packet_by_life,
        closed=closed,
        receipts=receipts,
        holds=holds,
        releases=frozenset(releases),
        rows=rows,
        flight_pages=frozenset(flight_pages),
    )


def find_violations(
    folder: Path, marks: Iterable[str], video: list[str], life: int, *, allow_gaps: bool = False
) -> list[str]:
    """Recover with the product's own code, and compare. Each line names one broken promise.

    `video` are the digests of the video's pictures, `life` is one that has not been yet. With
    `gaps` the disk has failed now and then, and what was not recorded is no broken promise.
    """
    acked = read_marks(marks)
    box = RecordingBox(folder, life * LIFE_PACKETS)
    try:
        box.retention.enforce()
        box.recover_footage()
        return [*_check_all(box, acked, video, allow_gaps=allow_gaps)]
    finally:
        box.close()


def _check_all(
    box: RecordingBox, acked: AckedState, video: list[str], *, allow_gaps: bool
) -> Iterable[str]:
    for fault in box.faults.active():
        if fault.code == "STO-03":
            continue  # the small ring is full of holds: each that goes has its receipt, see _held
        yield f"after recovery: {fault.code} {fault.subject}: {fault.detail}"
    for path in find_unreported(box.footage.parents[1], ("footage",)):
        yield f"{path.name}: counts as lost or damaged: {read_note(path)}"
    key = base64.b64encode(box.identity.public_key_raw).decode()
    bodies: list[ReceiptBody] = []
    hashes: dict[int, str] = {}
    try:
        for line in verify_chain(box.custody.read_lines(), BOX, key):
            bodies.append(line.receipt.body)
            hashes[line.receipt.seq] = line.sha256
    except BrokenChain as broken:
        yield f"chain: {broken}"
    for seq, sha256 in acked.receipts.items():
        if hashes.get(seq) != sha256:
            yield f"receipt {seq} is {hashes.get(seq)}"
    yield from _check_footage(box, acked, bodies, video)
    yield from _check_quarantine(box, bodies)
    if not allow_gaps:
        yield from _check_gaps(box, acked, bodies)
    yield from _check_holds(box, acked, bodies)
    yield from _check_outbox_rows(box, acked)
    yield from _check_flight_pages(box, acked)


def _check_footage(
    box: RecordingBox, acked: AckedState, bodies: list[ReceiptBody], video: list[str]
) -> Iterable[str]:
    receipts = [body for body in bodies if isinstance(body, SegmentClosed)]
    closed = {body.segment: body for body in receipts}
    evicted = _evicted_segments(bodies)
    for name, count in Counter(body.segment for body in receipts).items():
        if count > 1:
            yield f"{name}: {count} receipts of its close"
    present = {path.name: path for path in sorted(box.footage.glob("*.mp4"))}
    for name in acked.closed:
        if name not in present and name not in evicted:
            yield f"{name}: was closed, is gone, and no receipt says why"
        if name not in closed:
            yield f"{name}: was closed, and has no receipt"
    for name, path in present.items():
        receipt = closed.get(name)
        if receipt is None:
            yield f"{name}: lies there without a receipt"
        elif hashlib.sha256(path.read_bytes()).hexdigest() != receipt.sha256:
            yield f"{name}: is not what its receipt says"
        yield from _check_playable(
            path, video, is_whole=receipt is not None and not receipt.recovered
        )


def _check_quarantine(box: RecordingBox, bodies: list[ReceiptBody]) -> Iterable[str]:
    recorded = {body.name for body in bodies if isinstance(body, FileQuarantined)}
    for path in (box.footage / QUARANTINE_DIR).glob("*"):
        if path.name not in recorded:
            yield f"{path.name}: was set aside, and has no receipt"


def _check_playable(path: Path, video: list[str], *, is_whole: bool) -> Iterable[str]:
    """A file opens with its key, and a recovered one shows the recorded pictures."""
    try:
        key = unwrap_segment_key(path.with_name(path.name + KEYS_SUFFIX), PRIVATE_KEY)
        if is_whole:
            return
        digests = picture_digests(path, key.key)
    except (UserError, av.FFmpegError) as error:
        yield f"{path.name}: does not play: {error}"
        return
    begin = packet_index(_parse_name(path.name).begin_ms) % LIFE_PACKETS % FRAMES
    if (
        not digests
        or digests != (video * (len(digests) // FRAMES + 2))[begin : begin + len(digests)]
    ):
        yield f"{path.name}: what was recovered is not what was recorded"


def _evicted_segments(bodies: list[ReceiptBody]) -> set[str]:
    """Of segments; what was set aside is no footage."""
    names = (name for body in bodies if isinstance(body, FootageEvicted) for name in body.segments)
    return {name for name in names if parse_segment_name(name) is not None}


def _check_gaps(box: RecordingBox, acked: AckedState, bodies: list[ReceiptBody]) -> Iterable[str]:
    """Within a life each segment begins where the one before ended, but where one was evicted,
    and only the last group of the last one may be missing.
    """
    evicted = {packet_index(_parse_name(name).begin_ms) for name in _evicted_segments(bodies)}
    ends: dict[int, int] = {}
    newest = max(acked.last_packet_by_life, default=0)
    for path in sorted(box.footage.glob("*.mp4")):
        begin = packet_index(_parse_name(path.name).begin_ms)
        life = begin // LIFE_PACKETS
        if ends.get(life, begin) not in {begin, *evicted}:
            yield f"{path.name}: begins at packet {begin}, and not at {ends[life]}"
        ends[life] = begin + count_packets(path)
    for life, last in acked.last_packet_by_life.items():
        whole_groups = last // GOP_FRAMES * GOP_FRAMES
        end = ends.get(life, life * LIFE_PACKETS)
        if end < whole_groups and end not in evicted and (life in ends or life == newest):
            yield f"life {life}: packets up to {last} were taken, {end} is missing"


def _check_holds(box: RecordingBox, acked: AckedState, bodies: list[ReceiptBody]) -> Iterable[str]:
    active = {hold.id: hold for hold in box.holds.active()}
    pending_releases = {release.hold_id for release in box.holds.pending_releases()}
    released = {body.hold_id for body in bodies if isinstance(body, HoldReleased)}
    for hold in acked.releases & active.keys():
        yield f"hold {hold}: was released, and is back"
    for hold, (begin_ms, end_ms, since) in acked.holds.items():
        if hold in acked.releases or hold in released:
            continue
        if hold not in active and hold not in pending_releases:
            yield f"hold {hold}: is gone"
            continue
        for name, at in acked.closed.items():
            begin_ms_of_segment = _parse_name(name).begin_ms
            inside = (
                begin_ms_of_segment < end_ms
                and begin_ms_of_segment + GOP_FRAMES * FRAME_MS > begin_ms
            )
            if at > since and inside and not (box.footage / name).exists():
                yield f"hold {hold}: {name} is gone"


def _check_outbox_rows(box: RecordingBox, acked: AckedState) -> Iterable[str]:
    rows = {row.seq: row for row in box.outbox.fetch(1_000_000)}
    for seq, (epoch, event) in acked.rows.items():
        row = rows.get(seq)
        if epoch != box.outbox.epoch or row is None or event.encode() not in row.data:
            yield f"row {seq}: is gone"


def _check_flight_pages(box: RecordingBox, acked: AckedState) -> Iterable[str]:
    """Yield the acknowledged pages that are missing, but for the one whose place was being rewritten."""
    present = {page.number for page in read_pages(box.flight_recorder_file)}
    newest = max(acked.flight_pages, default=0)
    for number in sorted(acked.flight_pages - present):
        if number > newest - (PAGE_COUNT - 1):
            yield f"flight recorder: page {number} is gone, the newest is {newest}"


def _parse_name(name: str) -> SegmentName:
    parsed = parse_segment_name(name)
    assert parsed is not None, name
    return parsed
