"""`vigie footage list`, `attest`, `export` and `verify` with any bit of any receipt flipped: a result or one line."""

import base64
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import get_args

import pytest

from agent.__main__ import main
from agent.recording.custody.chain import BrokenChain, verify_chain
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import (
    BadReceipt,
    ClockStepped,
    FileQuarantined,
    FootageEvicted,
    FootageViewed,
    HoldPlaced,
    HoldReleased,
    IncidentChanged,
    ReceiptBody,
    ReceiptsPruned,
    parse_line,
)
from agent.recording.export.verify import verify_export
from tests.vectors.street import BOOT, StreetBox

LONG = os.environ.get("VIGIE_FUZZ") == "long"
LISTED_FLIPS = 400 if LONG else 10
EXPORTED_FLIPS = 60 if LONG else 1
TIME = "2026-11-25T01:00:05.000Z"
KINDS = [kind.__struct_config__.tag for kind in get_args(ReceiptBody)]
CHAIN = Path("custody") / "0000000001.chain"
EXPORT = ["--camera", "north", "--by", "A", "--purpose", "B", "--out", "out"]
SPAN = ["--from", "2026-11-25T01:00:01Z", "--to", "2026-11-25T01:00:07Z"]
LATER = ["--from", "2026-11-25T01:00:21Z", "--to", "2026-11-25T01:00:24Z"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a box whose chain has receipts of all kinds, before and after a second recording."""
    folder = tmp_path_factory.mktemp("recorded")
    box = StreetBox(folder / "state", "casa-0001")
    box.record("north", 1, 9)
    box.append_attested("north")
    box.append_gap("north")
    box.append_serviced("amina")
    span = {"camera": "north", "begin_time": TIME, "end_time": TIME}
    for body in (
        HoldPlaced(hold_id="h", owner="A", reason="B", case=None, expires=TIME, **span),
        HoldReleased(hold_id="h", by="A", reason="B"),
        FootageEvicted(camera="north", segments=("one.mp4", "x"), reason="age", oldest_time=TIME),
        FootageViewed(by="A", purpose="B", **span),
        FileQuarantined(camera=None, name="heads/mast/presets.json.damaged"),
        ReceiptsPruned(first_seq=1, last_seq=2),
        ClockStepped(expected_time=TIME, found_time=TIME, bound_ms=1),
        IncidentChanged(
            incident="i",
            change="begun",
            revision=1,
            by="A",
            role="incident",
            case=None,
            ends=TIME,
            detail="B",
        ),
    ):
        box.append_receipt(body)
    box.export("north", 1, 7, folder / "first")
    box.clock.now_ns = 20_000_000_000
    box.record("north", 2, 9)
    shutil.rmtree(folder / "first")
    return folder


@pytest.fixture
def state(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(recorded / "state", tmp_path / "state")


def lines_of(state: Path) -> list[bytes]:
    return (state / CHAIN).read_bytes().splitlines(keepends=True)


def first_of(state: Path, kind: str) -> int:
    return next(
        at for at, line in enumerate(lines_of(state)) if f'"kind":"{kind}"'.encode() in line
    )


def flips(line: bytes, count: int, seed: str) -> Iterator[bytes]:
    """Yield copies of a line with one flipped bit each; its newline has bits too."""
    bits = range(8 * len(line))
    for bit in random.Random(seed).sample(bits, min(count, len(bits))):
        damaged = bytearray(line)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)


def put(state: Path, at: int, line: bytes) -> None:
    lines = lines_of(state)
    lines[at] = line
    (state / CHAIN).write_bytes(b"".join(lines))


def restore(state: Path, lines: list[bytes]) -> None:
    """Put the chain back; what was quarantined goes."""
    (state / CHAIN).write_bytes(b"".join(lines))
    shutil.rmtree(state / "custody" / "quarantine", ignore_errors=True)


def footage(*words: str) -> int:
    return main(["footage", *words, "--state", "state"])


def test_all_kinds_of_receipts_are_there(state: Path) -> None:
    assert {first_of(state, kind) for kind in KINDS} <= set(range(len(lines_of(state))))


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_with_any_bit_flipped_is_a_receipt_or_one_error(state: Path, kind: str) -> None:
    line = lines_of(state)[first_of(state, kind)]
    for damaged in flips(line, 8 * len(line), kind):
        with suppress(BadReceipt):
            parse_line(damaged)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_receipt_stops_neither_the_list_nor_the_inventory(
    state: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    lines, at = lines_of(state), first_of(state, kind)
    box = parse_line(lines[0]).receipt.box
    for damaged in flips(lines[at], LISTED_FLIPS, kind):
        put(state, at, damaged)
        assert footage("list", "--json") == 0
        assert capsys.readouterr().out.count("\n") == 6
        assert footage("attest") == 0
        capsys.readouterr()
        added = parse_line(lines_of(state)[-1]).receipt
        assert (added.box, added.seq) == (box, len(lines) + 1)
        restore(state, lines)


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_across_a_damaged_receipt_is_made_and_its_damage_is_named(
    state: Path, kind: str
) -> None:
    lines, at = lines_of(state), first_of(state, kind)
    for damaged in flips(lines[at], EXPORTED_FLIPS, kind):
        put(state, at, damaged)
        assert footage("export", *SPAN, *EXPORT) in (0, 1)
        if Path("out").exists():
            verdict = verify_export(Path("out"))
            assert verdict.manifest is not None
            assert verdict.ok or verdict.first_problem is not None
            assert main(["footage", "verify", "out"]) == (0 if verdict.ok else 1)
            shutil.rmtree("out")
        restore(state, lines)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_receipt_outside_of_an_export_does_not_break_it(state: Path, kind: str) -> None:
    """Its number may be any: an export of later footage begins and ends where it should."""
    lines, at = lines_of(state), first_of(state, kind)
    seq = parse_line(lines[at]).receipt.seq
    for number in (b"0", b"2", str(len(lines) - 3).encode(), b"999999"):
        put(state, at, lines[at].replace(b'"seq":%d,' % seq, b'"seq":%s,' % number))
        assert footage("export", *LATER, *EXPORT) == 0
        verdict = verify_export(Path("out"))
        assert verdict.ok, verdict.first_problem
        shutil.rmtree("out")
        restore(state, lines)


def test_an_export_may_begin_after_the_damaged_opening_of_its_first_segment(state: Path) -> None:
    lines = lines_of(state)
    (at,) = (n for n, line in enumerate(lines) if b'"opened"' in line and b"010020.000Z" in line)
    put(state, at, lines[at].replace(b'"clock":{"synced":true', b'"clock":{"synced":trve'))
    assert footage("export", *LATER, *EXPORT) == 0
    verdict = verify_export(Path("out"))
    assert verdict.ok, verdict.first_problem


def test_a_receipt_that_the_box_did_not_sign_is_not_that_of_an_exported_segment(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = lines_of(state)
    at = [n for n, line in enumerate(lines) if b'"closed"' in line][-1]
    put(state, at, lines[at].replace(b'"mask_applied":"camera"', b'"mask_applied":"none"'))
    assert footage("export", "--from", "2026-11-25T01:00:21Z", "--to", "now", *EXPORT) == 0
    assert "has no receipt of its close" in capsys.readouterr().out


@pytest.mark.parametrize("box_id", [b"casa-0003", b"casa-000"])
def test_the_next_receipt_is_of_this_box_whatever_a_damaged_one_says(
    state: Path, box_id: bytes
) -> None:
    lines = lines_of(state)
    put(state, len(lines) - 1, lines[-1].replace(b'"casa-0001"', b'"' + box_id + b'"'))
    assert footage("attest") == 0
    assert parse_line(lines_of(state)[-1]).receipt.box == "casa-0001"


def test_lines_in_each_others_place_stop_nothing(state: Path) -> None:
    lines, rng = lines_of(state), random.Random(7)
    for _ in range(200 if LONG else 10):
        first, second = rng.sample(range(len(lines)), 2)
        swapped = list(lines)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        (state / CHAIN).write_bytes(b"".join(swapped))
        assert footage("list") == 0
        assert footage("attest") == 0
        restore(state, lines)


@pytest.mark.parametrize("name", ["identity/box.key", "footage"])
def test_the_chain_in_the_place_of_another_file_stops_nothing(state: Path, name: str) -> None:
    other = state / name
    if other.is_dir():
        other = next(other.rglob("*.mp4"))
    chain, data = (state / CHAIN).read_bytes(), other.read_bytes()
    (state / CHAIN).write_bytes(data)
    assert footage("list") in (0, 1)
    assert footage("attest") in (0, 1, 2)
    other.write_bytes(chain)
    assert footage("list") in (0, 1)
    assert footage("attest") in (0, 1, 2)


def test_verification_of_any_damaged_line_is_one_problem(state: Path) -> None:
    lines = lines_of(state)
    key = base64.b64encode(StreetBox(state, "casa-0001").identity.public_key_raw).decode()
    for kind in KINDS:
        at = first_of(state, kind)
        for damaged in flips(lines[at], 5000 if LONG else 30, kind):
            chain = b"".join([*lines[:at], damaged, *lines[at + 1 :]]).splitlines(keepends=True)
            with pytest.raises(BrokenChain):
                list(verify_chain(chain, "casa-0001", key, 1))


def test_what_is_no_file_of_the_chain_is_quarantined(state: Path) -> None:
    box = StreetBox(state, "casa-0001")
    (state / "custody" / "0000009999.chain").mkdir()
    (state / "custody" / "0000009998.chain").symlink_to("/dev/zero")
    custody = CustodyLog.open(state / "custody", "casa-0001", BOOT, box.clock, box.identity)
    assert custody.append(FileQuarantined(camera="north", name="x"), 0)
    names = {path.name for path in (state / "custody" / "quarantine").iterdir()}
    assert names == {"0000009998.chain", "0000009999.chain"}
