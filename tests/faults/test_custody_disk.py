"""agent.recording.custody.custody_log on a disk that fails single calls: only the refused receipts are
missing.
"""

import base64
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.base.clock import SystemClock, boot_id
from agent.base.device_identity import DeviceIdentity
from agent.recording.custody.chain import verify_chain
from agent.recording.custody.custody_log import RECEIPTS_PER_FILE, CustodyLog
from agent.recording.custody.receipts import FileQuarantined, SegmentOpened

ROOT = Path(__file__).parents[2]
HOW_MANY = 40

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


class Box:
    """A chain with one receipt, and a process that adds to it on a disk that fails."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._identity = DeviceIdentity.load_or_create(folder / "identity")
        self.open().append(SegmentOpened(camera="north", segment="before.mp4"), 0)
        self.path = folder / "custody" / "0000000001.chain"
        self.returned: dict[int, str] = {}
        self.refused: set[str] = set()

    def open(self) -> CustodyLog:
        chain = self._folder / "custody"
        return CustodyLog.open(chain, "pole-17", boot_id(), SystemClock(), self._identity)

    def append_under(self, fault: str, *paths: Path, per_file: int = RECEIPTS_PER_FILE) -> None:
        """Run the process with a fault injected by strace(1), in calls on these paths, or on the chain's."""
        chain = self.path.parent
        paths = paths or (chain, self.path, chain / "lock")
        child = subprocess.run(
            [
                *("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={fault}"),
                *(argument for path in paths for argument in ("-P", str(path))),
                *(sys.executable, "-m", "tests.faults.custody_child"),
                *(str(self._folder), "0", str(HOW_MANY), str(per_file)),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        for line in child.stdout.splitlines():
            message, number = line.split()
            if message == "refused":
                self.refused.add(f"{number}.mp4")
            else:
                self.returned[int(message)] = f"{number}.mp4"

    def segments(self) -> dict[int, str]:
        """Return the segments of the verified chain by number."""
        key = base64.b64encode(self._identity.public_key_raw).decode()
        receipts = [
            line.receipt
            for line in verify_chain(self.open().read_lines(), "pole-17", key, first_seq=1)
        ]
        assert all(
            isinstance(receipt.body, SegmentOpened | FileQuarantined) for receipt in receipts
        )
        return {r.seq: r.body.segment for r in receipts if isinstance(r.body, SegmentOpened)}


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.mark.parametrize(
    "fault",
    [
        "fdatasync:error=EIO:when=5+4",
        "write:error=ENOSPC:when=5+4",
        "openat:error=ENOSPC:when=9+7",
        "flock:error=EIO:when=3+3",
    ],
)
def test_a_refused_receipt_is_absent_and_every_other_is_present(box: Box, fault: str) -> None:
    box.append_under(fault)
    segments = box.segments()
    assert len(box.refused) > 4
    assert len(box.refused) + len(box.returned) == HOW_MANY
    assert segments == {1: "before.mp4", **box.returned}


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("openat:error=ENOSPC:when=1", "0000000004.chain"),
        ("openat:error=ENOSPC:when=2", "0000000004.chain"),
        ("fsync:error=EIO:when=1", ""),
    ],
)
def test_a_chain_file_that_cannot_be_created_costs_one_receipt(
    box: Box, fault: str, name: str
) -> None:
    box.append_under(fault, box.path.parent / name, per_file=3)
    assert box.refused == {"2.mp4"}
    assert box.segments() == {1: "before.mp4", **box.returned}
    assert len(list(box.path.parent.glob("*.chain"))) == 14


def test_a_disk_that_cannot_truncate_loses_no_receipt(box: Box) -> None:
    box.append_under("fdatasync,ftruncate:error=EIO:when=5+3")
    assert box.refused
    assert box.segments().items() >= box.returned.items()


def test_a_kill_in_the_middle_of_an_append_loses_no_receipt(box: Box) -> None:
    box.append_under("fdatasync:signal=KILL:when=20")
    assert 10 < len(box.returned) < HOW_MANY
    assert box.segments().items() >= box.returned.items()


def test_a_kill_during_the_quarantine_of_a_torn_end_keeps_it(box: Box) -> None:
    with box.path.open("ab") as file:
        file.write(b"torn")
    box.append_under("ftruncate:signal=KILL:when=1")
    assert box.returned == {}
    assert box.segments() == {1: "before.mp4"}
    kept = sorted(path.read_bytes() for path in (box.path.parent / "quarantine").iterdir())
    assert kept == [b"torn", b"torn"]
