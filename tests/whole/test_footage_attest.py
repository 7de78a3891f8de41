"""`vigie footage attest`: a receipt of the present footage, which others can check."""

import json
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.base.clock import rfc3339
from agent.recording.custody.receipts import FootageAttested, parse_line
from agent.recording.segment_name import parse_segment_name
from tests.vectors.street import StreetBox


@pytest.fixture
def state(tmp_path: Path) -> Path:
    box = StreetBox(tmp_path / "state", "casa-0001")
    box.record("north", 1, 14)
    box.record("south", 1, 6)
    return tmp_path / "state"


def chain(state: Path) -> list[object]:
    """Return the receipts of the newest chain file."""
    (file,) = (state / "custody").glob("*.chain*")
    return [parse_line(line).receipt.body for line in file.read_bytes().splitlines()]


def test_the_footage_of_each_camera_is_attested_in_the_chain(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["footage", "attest", "--state", str(state), "--json"]) == 0
    reported = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["camera"] for one in reported] == ["north", "south"]
    for one in reported:
        files = sorted((state / "footage" / one["camera"]).glob("*.mp4"))
        assert one["segment_count"] == len(files)
        assert one["size_bytes"] == sum(file.stat().st_size for file in files)
        oldest = parse_segment_name(files[0].name)
        assert oldest is not None
        assert one["oldest_time"] == rfc3339(oldest.utc)
    attested = [body for body in chain(state) if isinstance(body, FootageAttested)]
    assert [body.camera for body in attested] == ["north", "south"]


def test_the_sizes_are_those_of_the_files_whatever_their_receipts_say(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = sorted((state / "footage" / "south").glob("*.mp4"))
    first.write_bytes(first.read_bytes()[:100])
    assert main(["footage", "attest", "--state", str(state), "--json"]) == 0
    reported = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert reported[1]["size_bytes"] == 100 + second.stat().st_size


def test_a_folder_without_an_agents_state_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["footage", "attest", "--state", str(tmp_path)]) == 2
    assert "no agent has run here" in capsys.readouterr().err
