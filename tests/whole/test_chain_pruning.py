"""agent.recording.custody: old receipts are pruned with their footage, and never before it."""

import base64
from pathlib import Path

import pytest

from agent.base.device_identity import DeviceIdentity
from agent.recording.custody import custody_log as custody_module
from agent.recording.custody import head_publisher
from agent.recording.custody.chain import verify_chain
from agent.recording.custody.chain_files import chain_files
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.head_publisher import prune_chain
from agent.recording.custody.receipts import ReceiptsPruned, SegmentOpened
from tests.conftest import ManualClock

PER_FILE, KEPT_FILES, SEGMENTS = 4, 2, 20


class Rig:
    """A chain of twenty receipts in five files, and the footage that is there."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.identity = DeviceIdentity.load_or_create(folder / "identity")
        self.custody = CustodyLog.open(folder / "custody", "box", "boot", clock, self.identity)
        self.there = set(range(SEGMENTS))
        for number in range(SEGMENTS):
            self.custody.append(SegmentOpened(camera="north", segment=f"{number}.mp4"), 0)

    def forget(self) -> int:
        return prune_chain(self.custody, lambda _camera, name: int(name[:-4]) in self.there, 0)

    def begins(self) -> list[int]:
        return [int(path.stem) for path in chain_files(self.custody.folder)]


@pytest.fixture
def rig(tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(custody_module, "RECEIPTS_PER_FILE", PER_FILE)
    monkeypatch.setattr(head_publisher, "KEPT_FILES", KEPT_FILES)
    return Rig(tmp_path, clock)


@pytest.mark.parametrize(
    ("there", "begins"),
    [
        (range(20), [1, 5, 9, 13, 17]),
        ([3, *range(8, 20)], [1, 5, 9, 13, 17]),
        (range(4, 20), [5, 9, 13, 17, 21]),
        (range(10, 20), [9, 13, 17, 21]),
        ([19], [13, 17, 21]),
        ([], [1, 5, 9, 13, 17]),
    ],
    ids=["all", "one is held", "the first four", "to the middle", "all but one", "a disk away"],
)
def test_a_chain_file_is_pruned_when_none_of_its_footage_is_left(
    rig: Rig, there: list[int], begins: list[int]
) -> None:
    rig.there = set(there)
    rig.forget()
    assert rig.begins() == begins


def test_a_receipt_names_the_pruned_part_and_the_rest_still_verifies(rig: Rig) -> None:
    rig.there = {9, 19}
    assert rig.forget() == 2
    assert rig.forget() == 0
    key = base64.b64encode(rig.identity.public_key_raw).decode()
    lines = list(verify_chain(rig.custody.read_lines(), "box", key, first_seq=9))
    assert lines[-1].receipt.body == ReceiptsPruned(first_seq=1, last_seq=8)
    assert lines[-1].receipt.seq == 21
