"""agent.recording.custody: on a full state partition old receipts are still pruned, and a kill at any point leaves a chain
that verifies.
"""

import textwrap
from pathlib import Path

import pytest

from tests.whole.small_disk import run_on_small_disk

PRELUDE = """
import base64, os, shutil, signal, sys
from itertools import count
from pathlib import Path

sys.path.insert(0, {project!r})
from agent.base.state_inventory import StateInventory
from agent.recording.custody import custody_log, head_publisher
from agent.recording.custody.chain import verify_chain
from agent.recording.custody.chain_files import chain_files
from agent.recording.custody.custody_log import RESERVE_BYTES, RESERVE_FILE
from agent.recording.custody.head_publisher import PRUNE_INTERVAL_S, prune_chain
from agent.recording.custody.receipts import ReceiptsPruned, SegmentOpened
from tests.conftest import ManualClock
from tests.whole.test_head_publisher import Rig

custody_log.RECEIPTS_PER_FILE, head_publisher.KEPT_FILES = 4, 2
disk = Path({disk!r})

def fill(folder):
    with (folder / "someone-elses.log").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass

def make_box(folder):
    # 28 segments in seven files, of which the footage of the last eight is left.
    rig = Rig(folder, ManualClock())
    for number in range(28):
        rig.queue.append(SegmentOpened(camera="north", segment=f"{{number}}.mp4"), 0)
    (folder / "north").mkdir()
    for number in range(20, 28):
        (folder / "north" / f"{{number}}.mp4").touch()
    StateInventory(folder).add_present()
    return rig

def begins(rig):
    return [int(path.stem) for path in chain_files(rig.folder)]

def verified(rig):
    key = base64.b64encode(rig.identity.public_key_raw).decode()
    return [line.receipt for line in verify_chain(rig.open().read_lines(), "pole-17", key)]
"""

PRUNED_ONCE_FOOTAGE_IS_GONE = """
    rig = make_box(disk)
    for number in range(28):
        (disk / "north" / f"{number}.mp4").touch()
    assert rig.look_after_s(0) == [28]
    assert (rig.folder / RESERVE_FILE).stat().st_blocks * 512 >= RESERVE_BYTES
    opened = SegmentOpened(camera="north", segment="27.mp4")
    fill(disk)
    rig.look_after_s(PRUNE_INTERVAL_S)
    appended = next(number for number in count(1) if not rig.queue.append(opened, 0))
    assert rig.codes() == ["CUS-01"]
    assert begins(rig)[0] == 1
    for number in range(20):
        (disk / "north" / f"{number}.mp4").unlink()
    rig.look_after_s(head_publisher.FULL_PRUNE_INTERVAL_S)
    rig.look_after_s(1)
    assert begins(rig)[0] == 21, begins(rig)
    assert rig.codes() == []
    receipts = verified(rig)
    assert ReceiptsPruned(first_seq=1, last_seq=20) in [each.body for each in receipts]
    assert sum(each.body == opened for each in receipts) == appended + 1
"""

KILLED = """
    def prune(rig):
        return prune_chain(rig.custody, lambda camera, name: (rig.folder.parent / camera / name).exists(), 0)

    def kill_at(step):
        calls = count(1)
        def note(_frame, event, function):
            if event == "c_call" and getattr(function, "__module__", "") == "posix" and next(calls) == step:
                os.kill(os.getpid(), signal.SIGKILL)
        sys.setprofile(note)

    for step in count(1):
        folder = disk / str(step)
        folder.mkdir()
        rig = make_box(folder)
        rig.custody.keep_reserve()
        fill(folder)
        while rig.queue.append(SegmentOpened(camera="north", segment="23.mp4"), 0):
            pass
        seq = verified(rig)[-1].seq
        child = os.fork()
        if not child:
            kill_at(step)
            prune(rig)
            sys.setprofile(None)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        kept = [each.seq for each in verified(rig)]
        assert kept == list(range(kept[0], kept[-1] + 1)), step
        assert kept[0] <= 21, step
        assert kept[-1] >= seq, step
        assert StateInventory(folder).find_lost() == {}, step
        rig = Rig(folder, ManualClock())
        prune(rig)
        assert begins(rig)[0] == 21, (step, begins(rig))
        bodies = [each.body for each in verified(rig)]
        assert any(isinstance(body, ReceiptsPruned) and body.last_seq == 20 for body in bodies), step
        shutil.rmtree(folder)
        if status == 0:
            break
    assert step > 20, step
"""


@pytest.mark.parametrize("script", [PRUNED_ONCE_FOOTAGE_IS_GONE, KILLED], ids=["pruned", "killed"])
def test_receipts_are_pruned_on_a_full_disk(tmp_path: Path, script: str) -> None:
    disk = tmp_path / "disk"
    prelude = PRELUDE.format(project=str(Path(__file__).parents[2]), disk=str(disk))
    run_on_small_disk(disk, "size=2m", prelude + textwrap.dedent(script))
