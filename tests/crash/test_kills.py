"""SIGKILL to `vigie run` while it records and holds: durable data is present and verifies, an open file
keeps all of its whole fragments, and the box records again.
"""

import base64
import hashlib
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.recording.custody.chain import verify_chain
from agent.recording.custody.receipts import FootageEvicted, HoldReleased, SegmentClosed
from agent.recording.recovery import valid_prefix_bytes
from agent.recording.segment_name import PART_SUFFIX
from tests.crash.conftest import CrashTestSize
from tests.free_port import free_port
from tests.whole.report.reporting_box import wait_until
from tests.whole.rig import TIMEOUT_S, AgentBox, fake_camera_toml

SEED = 20261125
LONGEST_LIFE_S = 0.5
AGAIN_S = 10.0
MORE = """
[record]
segment_s = 10
max_bytes = 30_000_000
[hold]
kinds = ["line"]
pre_s = 1
post_s = 1
"""


class Seen(msgspec.Struct):
    """The files seen on the disk of a running box, through all its lives."""

    chain: bytes = b""
    segments: set[str] = msgspec.field(default_factory=set)
    holds: set[str] = msgspec.field(default_factory=set)
    parts: dict[str, tuple[int, str]] = msgspec.field(default_factory=dict)
    """Of files that were open at a kill: how much of them was whole, and its hash."""


def chain_of(state: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((state / "custody").glob("*.chain")))


def parts_of(state: Path) -> list[Path]:
    return sorted((state / "footage").glob(f"*/*{PART_SUFFIX}"))


def wait_for_packets(state: Path) -> None:
    """Until a file that is being written has grown."""
    wait_until(lambda: any(size_of(part) > 4096 for part in parts_of(state)), TIMEOUT_S)


def wait_for_something_to_lose(state: Path) -> None:
    """Until there is a hold, and an open file with a whole fragment."""
    wait_until(lambda: any((state / "holds").glob("*.json")), TIMEOUT_S)
    wait_until(lambda: any(whole_bytes_of(part) for part in parts_of(state)), TIMEOUT_S)


def size_of(part: Path) -> int:
    """Return the size of an open file, 0 if it was closed and renamed meanwhile."""
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0


def whole_bytes_of(part: Path) -> int:
    """Return how much of an open file recovery has to keep."""
    try:
        with part.open("rb") as file:
            return valid_prefix_bytes(file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        return 0


def look(state: Path, seen: Seen) -> None:
    """At a running box: what was there before this is acknowledged."""
    chain = chain_of(state)
    seen.segments |= {path.name for path in (state / "footage").glob("*/*.mp4")}
    seen.holds |= {path.stem for path in (state / "holds").glob("*.json")}
    whole = chain[: chain.rfind(b"\n") + 1]
    assert whole.startswith(seen.chain), "the chain only grows"
    seen.chain = whole


def note_parts(state: Path, seen: Seen) -> None:
    """At a killed box: what recovery has to keep of the open file."""
    for part in parts_of(state):
        if whole_bytes := whole_bytes_of(part):
            sha256 = hashlib.sha256(part.read_bytes()[:whole_bytes]).hexdigest()
            seen.parts[part.name.removesuffix(PART_SUFFIX)] = (whole_bytes, sha256)


def test_nothing_durable_is_lost_however_often_the_agent_is_killed(
    tmp_path: Path, effort: CrashTestSize
) -> None:
    box = AgentBox(
        tmp_path / "box", f"mqtt://127.0.0.1:{free_port()}", fake_camera_toml('pace = "fast"')
    )
    with (box.folder / "vigie.toml").open("a") as config:
        config.write(MORE)
    state = box.folder / "state"
    seen, rng, slowest_s = Seen(), random.Random(SEED), 0.0
    try:
        for life in range(effort.kills):
            begin_s = time.monotonic()
            box.start()
            wait_for_packets(state)
            slowest_s = max(slowest_s, time.monotonic() - begin_s)
            if life == 0:
                # A slow machine detects nothing within the others.
                wait_for_something_to_lose(state)
            threading.Event().wait(rng.uniform(0, LONGEST_LIFE_S))  # nothing is awaited
            look(state, seen)
            assert box.stop(signal.SIGKILL) == -signal.SIGKILL
            note_parts(state, seen)
        box.start()
        wait_for_packets(state)
        assert box.stop(signal.SIGTERM) == 0
    finally:
        box.kill()
    counts = f"{len(seen.segments)} segments, {len(seen.holds)} holds, {len(seen.parts)} recovered"
    print(f"{effort.kills} kills: {counts}; recording again in {slowest_s:.1f} s")  # noqa: T201 - for -s
    assert compare(state, seen) == []
    if os.environ.get("VIGIE_CRASH") == "long":
        assert slowest_s < AGAIN_S
    assert seen.parts
    assert seen.holds


def compare(state: Path, seen: Seen) -> list[str]:
    """Return the differences from the expected state, a line each."""
    pem = (state / "identity" / "box.key").read_bytes()
    key = load_pem_private_key(pem, None).public_key().public_bytes_raw()  # type: ignore[union-attr]
    chain = chain_of(state)
    lines = verify_chain(chain.splitlines(), "casa-0001", base64.b64encode(key).decode())
    bodies = [line.receipt.body for line in lines]
    closed = {body.segment: body for body in bodies if isinstance(body, SegmentClosed)}
    evicted = {
        name for body in bodies if isinstance(body, FootageEvicted) for name in body.segments
    }
    released = {body.hold_id for body in bodies if isinstance(body, HoldReleased)}
    there = {path.name: path for path in (state / "footage").glob("*/*.mp4")}
    broken = [] if chain.startswith(seen.chain) else ["the chain is not what it was"]
    times = Counter(body.segment for body in bodies if isinstance(body, SegmentClosed))
    broken += [f"{name}: closed {count} times" for name, count in times.items() if count > 1]
    broken += [f"{name}: is gone" for name in seen.segments - there.keys() - evicted]
    broken += [f"{path.name}: is still open" for path in parts_of(state)]
    for name, path in there.items():
        if name not in closed:
            broken.append(f"{name}: has no receipt")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != closed[name].sha256:
            broken.append(f"{name}: not what its receipt says")
    for name, (size_bytes, sha256) in seen.parts.items():
        receipt = closed.get(name)
        if receipt is None or (receipt.size_bytes, receipt.sha256) != (size_bytes, sha256):
            broken.append(f"{name}: {size_bytes} bytes were whole, {receipt} were kept")
    holds = {path.stem for path in (state / "holds").glob("*.json")}
    broken += [f"hold {hold}: is gone" for hold in seen.holds - holds - released]
    return broken
