"""agent.recording.custody.custody_log under a hundred kills of its writers: no receipt is lost."""

import base64
import random
import threading
from pathlib import Path

from agent.base.clock import SystemClock, boot_id
from agent.base.device_identity import DeviceIdentity
from agent.recording.custody.chain import verify_chain
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import SegmentOpened
from tests.faults import custody_child
from tests.faults.forked_child import ForkedChild

KILLS = 100
AT_ONCE = 4
SEED = 20261125
PER_LIFE = 1_000_000


class Child:
    """One process, and its output on the receipts that it appended."""

    def __init__(self, folder: Path, first: int) -> None:
        self.begun = threading.Event()
        self.message: dict[int, str] = {}
        self._process = ForkedChild(custody_child.main, (folder, first), self._note_line)

    def kill(self) -> dict[int, str]:
        self._process.kill()
        return self.message

    def _note_line(self, line: str) -> None:
        seq, number = line.split()
        self.message[int(seq)] = f"{number}.mp4"
        self.begun.set()


def test_each_returned_receipt_survives_a_hundred_kills(
    tmp_path: Path,
) -> None:
    rng = random.Random(SEED)
    identity = DeviceIdentity.load_or_create(tmp_path / "identity")
    message: dict[int, str] = {}
    for group in range(KILLS // AT_ONCE):
        firsts = [(group * AT_ONCE + place) * PER_LIFE for place in range(AT_ONCE)]
        children = [Child(tmp_path, first) for first in firsts]
        for child in children:
            assert child.begun.wait(60)
        for child in children:
            threading.Event().wait(rng.uniform(0, 0.05))
            message.update(child.kill())
    custody = CustodyLog.open(tmp_path / "custody", "pole-17", boot_id(), SystemClock(), identity)
    public_key = base64.b64encode(identity.public_key_raw).decode()
    bodies = {
        line.receipt.seq: line.receipt.body
        for line in verify_chain(custody.read_lines(), "pole-17", public_key)
    }
    assert len(message) >= KILLS
    assert list(bodies) == list(range(1, custody.head().seq + 1))
    for seq, segment in message.items():
        assert bodies[seq] == SegmentOpened(camera="north", segment=segment), f"seed {SEED}"
