"""A process that appends receipts: `custody_child.py FOLDER FIRST [HOW_MANY]`, else until killed.

Says the number of each receipt that was returned, and which of its own it was; `refused` and which
of its own for each that the disk did not take.
"""

import sys
from itertools import count
from pathlib import Path

from agent.base.clock import SystemClock, boot_id
from agent.base.device_identity import DeviceIdentity
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import Opened


def main(folder: Path, first: int, how_many: int | None) -> None:
    clock = SystemClock()
    identity = DeviceIdentity.load_or_make(folder / "identity")
    custody = CustodyLog.open(folder / "custody", "pole-17", boot_id(), clock, identity)
    for number in count(first) if how_many is None else range(first, first + how_many):
        body = Opened(camera="north", segment=f"{number}.mp4")
        try:
            said = str(custody.append(body, clock.boottime_ns()).seq)
        except OSError:
            said = "refused"
        sys.stdout.write(f"{said} {number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else None)
