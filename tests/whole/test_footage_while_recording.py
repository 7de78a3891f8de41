"""`vigie footage` next to a recording agent: both append to one chain, and neither stops."""

import json
import signal
import threading
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.recording.export.verify import verify_export
from tests.whole.rig import TIMEOUT_S, AgentBox

EXPORTS = 3


@pytest.mark.slow
def test_footage_is_exported_and_held_while_the_agent_records(
    box: AgentBox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = box.folder / "vigie.toml"
    config.write_text(config.read_text() + "[record]\nsegment_s = 1.0\n")
    where = ["--config", str(config)]
    span = ["--camera", "north", "--from", "-10m", "--to", "now"]
    box.start()
    folders = []
    for number in range(EXPORTS):
        wait_for_segments(box.folder / "state", 2 * number + 2)
        out = tmp_path / f"out{number}"
        words = [*where, *span, "--out", str(out), "--by", "me", "--purpose", "a test"]
        assert main(["footage", "export", *words]) == 0
        folders.append(out)
        assert main(["footage", "hold", *where, *span, "--by", "me", "--reason", "a test"]) == 0
    segments = len(list((box.folder / "state" / "footage" / "north").glob("*.mp4")))
    wait_for_segments(box.folder / "state", segments + 2)  # it keeps recording
    assert box.stop(signal.SIGTERM) == 0
    verdicts = [verify_export(folder) for folder in folders]
    assert [verdict.first_problem for verdict in verdicts] == [None] * EXPORTS
    assert verdicts[-1].segment_count > verdicts[0].segment_count
    final = tmp_path / "final"
    words = [*where, *span, "--out", str(final), "--by", "me", "--purpose", "a test"]
    capsys.readouterr()
    assert main(["footage", "export", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["excluded"] == {}
    assert verify_export(final).ok
    reported = (final / "receipts.chain").read_text()
    assert reported.count('"kind":"exported"') == EXPORTS + 1
    assert reported.count('"kind":"held"') == EXPORTS
    assert main(["footage", "holds", *where]) == 0


def wait_for_segments(state: Path, count: int) -> None:
    """Until so many segments have their receipts."""
    waiting = threading.Event()
    for _ in range(int(TIMEOUT_S * 10)):
        chain = b"".join(path.read_bytes() for path in (state / "custody").glob("*.chain"))
        if chain.count(b'"kind":"closed"') >= count:
            return
        waiting.wait(0.1)
    raise AssertionError(f"no {count} segments in {TIMEOUT_S} s")
