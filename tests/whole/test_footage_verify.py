"""`vigie footage verify` reports its own findings, whatever an export claims."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from agent.__main__ import main
from agent.base.device_identity import DeviceIdentity
from agent.recording.export.head_coverage import format_head
from tests.vectors.stolen_key import arrival_ms
from tests.vectors.street import StreetBox
from tests.vectors.workbench import Workbench

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An export, in the folder in which we are."""
    monkeypatch.chdir(tmp_path)
    box = StreetBox(Path("state"), "casa-0001")
    box.record("north", 1, 14)
    box.append_attested("north")
    box.export("north", 5, 11, Path("out"))
    return Path("out")


def verify(*words: str) -> int:
    return main(["footage", "verify", "out", *words])


@pytest.mark.usefixtures("evidence")
def test_a_chain_head_outside_the_export_is_not_checked_and_not_a_success(
    capsys: Captured,
) -> None:
    for seq in (1, 99):
        capsys.readouterr()
        assert verify("--head", f"{seq}:{'0' * 64}") == 1
        message = capsys.readouterr().out
        assert (
            "out: consistent, origin not verified, but no head was checked: 2 segments" in message
        )
        assert f"head {seq} is not within this export, which has 4 to 11\n" in message
    assert verify("--head", f"99:{'0' * 64}", "--json") == 1
    verdict = json.loads(capsys.readouterr().out)
    assert (verdict["ok"], verdict["head_checked"]) == (True, False)


def test_the_centres_heads_say_from_where_on_the_box_alone_claims(
    evidence: Path, capsys: Captured
) -> None:
    identity = DeviceIdentity.load_or_create(Path("state/identity"))
    heads = Workbench(evidence, identity, identity).heads(arrival_ms)
    alone = "with its key can have written them, with their times, evictions and durations\n"
    capsys.readouterr()
    assert verify() == 0
    assert (
        "  receipts 4 to 11, from 2026-11-25T01:00:04.000Z on: what the box alone claims; a person "
        in capsys.readouterr().out
    )
    Path("heads.txt").write_text("".join(f"{format_head(head)}\n" for head in heads[:5]))
    assert verify("--heads", "heads.txt") == 0
    message = capsys.readouterr().out
    until = json.loads(Workbench(evidence, identity, identity).lines()[3][89:])["time"]
    assert (
        f"  receipts 4 to 7, until {until}: unchanged since the centre received its heads\n"
        in message
    )
    assert (
        "  times of 4 receipts, from 4 (2026-11-25T01:00:04.000Z) on: confirmed by the centre to within 124 s\n"
        in message
    )
    assert "  receipts 8 to 11, from " in message
    assert alone in message
    Path("heads.txt").write_text("".join(f"{format_head(head)}\n" for head in heads))
    assert verify("--heads", "heads.txt", "--json") == 0
    assert json.loads(capsys.readouterr().out)["coverage"]["alone_count"] == 0
    assert verify("--heads", "heads.txt") == 0
    assert "alone" not in capsys.readouterr().out


def test_times_that_contradict_the_centres_are_no_success(evidence: Path, capsys: Captured) -> None:
    identity = DeviceIdentity.load_or_create(Path("state/identity"))
    bench = Workbench(evidence, identity, identity)
    for offset_ms, problem in (
        (3_600_000, "but times contradict those of the centre"),
        (
            -3_600_000,
            "BROKEN: arrival: receipts.chain:1 (seq 4): claims 2026-11-25T01:00:04.000Z, and the centre had it at",
        ),
    ):
        heads = bench.heads(lambda time, by=offset_ms: arrival_ms(time) + by)  # type: ignore[misc]
        Path("heads.txt").write_text("".join(f"{format_head(head)}\n" for head in heads))
        capsys.readouterr()
        assert verify("--heads", "heads.txt") == 1
        assert problem in capsys.readouterr().out


@pytest.mark.usefixtures("evidence")
@pytest.mark.parametrize("content", [b"12\n", b"\xff\n", b"12:" + b"0" * 64 + b" now\n"])
def test_a_file_without_heads_is_one_line(content: bytes, capsys: Captured) -> None:
    Path("heads.txt").write_bytes(content)
    capsys.readouterr()
    assert verify("--heads", "heads.txt") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "heads.txt" in line


def test_only_the_centres_key_verifies_the_origin(evidence: Path, capsys: Captured) -> None:
    key = json.loads((evidence / "manifest.json").read_bytes())["public_key"]
    for words, result, verified in (
        ((), "consistent, origin not verified", False),
        (("--public-key", key), "good", True),
    ):
        capsys.readouterr()
        assert verify(*words) == 0
        message = capsys.readouterr().out
        assert message.startswith(f"out: {result}: 2 segments")
        assert ("compare this key with the one that the centre knows" in message) is not verified
        assert verify(*words, "--json") == 0
        verdict = json.loads(capsys.readouterr().out)
        assert (verdict["ok"], verdict["origin_verified"]) == (True, verified)


def test_the_files_of_file_managers_are_named_in_one_line(evidence: Path, capsys: Captured) -> None:
    hidden = evidence / os.fsdecode(b"\xff\n")
    hidden.mkdir()
    for folder in (evidence, evidence / "segments", hidden):
        (folder / ".DS_Store").touch()
    capsys.readouterr()
    assert verify() == 0
    assert (
        "\n  ignored, not part of the export: .DS_Store, segments/.DS_Store, \\udcff\\n/.DS_Store\n"
        in capsys.readouterr().out
    )
    assert verify("--json") == 0
    assert len(json.loads(capsys.readouterr().out)["ignored"]) == 3
    (evidence / "more.txt").touch()
    assert verify() == 1
    assert "sums: more.txt: is not listed" in capsys.readouterr().out


def test_an_exports_own_statements_can_neither_fake_a_key_nor_hide_a_defect(
    evidence: Path, capsys: Captured
) -> None:
    thief = DeviceIdentity.load_or_create(Path("thief"))
    bench = Workbench(evidence, thief, thief)
    forged = base64.b64encode(thief.public_key_raw).decode()
    real = bench.manifest["public_key"]
    message = {
        "camera": "north\x1b[2J",
        "by": f"A\r\n  signed by {real}\u2028",
        "purpose": f"\u202ecase\n  signed by {real}\n\x1b[8m\x9b8m" + " " * 100_000,
        "public_key": forged,
    }

    def receipts(changed: list[dict[str, Any]]) -> None:
        for receipt in changed:
            if receipt["body"].get("camera") == "north":
                receipt["body"]["camera"] = message["camera"]

    bench.forge_export(thief, receipts, lambda manifest: manifest.update(message))
    capsys.readouterr()
    assert verify() == 0
    lines = capsys.readouterr().out.split("\n")
    assert lines[1] == f"  signed by {forged}"
    assert [line for line in lines if real in line] == [lines[6]]
    assert r"by A\r\n  signed by" in lines[6]
    assert r"\u202ecase\n  signed by" in lines[6]
    assert r"\x1b[8m\x9b8m" in lines[6]
    assert len(lines[6]) < 1000
    assert len(lines) == 8
    assert all(line.isprintable() for line in lines)


def test_a_file_of_any_name_gets_one_line_in_the_verdict(evidence: Path, capsys: Captured) -> None:
    (evidence / os.fsdecode(b"\xff\nout: good\x1b[8m")).touch()
    capsys.readouterr()
    assert verify() == 1
    message = capsys.readouterr().out
    assert (
        message == "out: BROKEN: sums: \\udcff\\nout: good\\x1b[8m: is not listed in SHA256SUMS\n"
    )
    assert verify("--json") == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
