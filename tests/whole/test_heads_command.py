"""`vigie heads`: the heads that a centre has stored, with their arrival, verify an export of the box."""

import json
import signal
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.recording.export.head_coverage import parse_head
from agent.reporting.payloads import CustodyHead, ReceiptMessage
from centre.client import ReceivedMessage
from tests.whole.rig import AgentBox, RunningCentre
from tests.whole.test_footage_while_recording import wait_for_segments

BOX = "casa-0001"


def head_seqs(received: list[ReceivedMessage]) -> list[int]:
    return [
        item.message.data.seq
        for item in received
        if isinstance(item.message, ReceiptMessage) and isinstance(item.message.data, CustodyHead)
    ]


def test_an_export_is_covered_by_the_heads_that_the_centre_has_stored(
    box: AgentBox, centre: RunningCentre, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "heads.db"
    assert main(["heads", BOX, "--store", str(store)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(store) in line
    box.start()
    wait_for_segments(box.folder / "state", 2)
    config, out = str(box.folder / "vigie.toml"), str(tmp_path / "out")
    span = ["--camera", "north", "--from", "-1h", "--to", "now"]
    words = [*span, "--by", "A. Alami", "--purpose", "case", "--out", out, "--config", config]
    assert main(["footage", "export", *words]) == 0
    exported = json.loads((Path(out) / "receipts.chain").read_bytes().splitlines()[-1][89:])["seq"]
    centre.wait_for(
        lambda received: any(seq >= exported for seq in head_seqs(received)), "head of the export"
    )
    assert box.stop(signal.SIGTERM) == 0
    capsys.readouterr()
    file = tmp_path / "centre.db"
    assert main(["heads", BOX, "--store", str(file)]) == 0
    printed = capsys.readouterr().out
    heads = [parse_head(line) for line in printed.splitlines()]
    assert heads
    assert all(head.received_ms is not None for head in heads)
    (tmp_path / "heads.txt").write_text(printed)
    assert main(["footage", "verify", out, "--heads", str(tmp_path / "heads.txt"), "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["head_checked"]
    assert verdict["coverage"]["covered_seq"] is not None
    assert verdict["coverage"]["early_count"] == 0
    assert main(["heads", BOX, "--store", str(file), "--since", "2999-01-01T00:00:00Z"]) == 1
    assert main(["heads", "pole-99", "--store", str(file)]) == 1
