"""A process that appends receipts: `custody_child.py FOLDER FIRST [HOW_MANY [PER_FILE]]`, else until killed.

Writes the number of each receipt that was returned, with its own count; `refused` with its own
count for each that the disk did not take.
"""

import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

from agent.base.clock import SystemClock, boot_id
from agent.base.device_identity import DeviceIdentity
from agent.recording.custody import custody_log
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import SegmentOpened


def main(
    write_line: Callable[[str], None],
    folder: Path,
    first: int,
    receipt_count: int | None = None,
    receipts_per_file: int = custody_log.RECEIPTS_PER_FILE,
) -> None:
    custody_log.RECEIPTS_PER_FILE = receipts_per_file
    clock = SystemClock()
    identity = DeviceIdentity.load_or_create(folder / "identity")
    custody = CustodyLog.open(folder / "custody", "pole-17", boot_id(), clock, identity)
    for number in count(first) if receipt_count is None else range(first, first + receipt_count):
        body = SegmentOpened(camera="north", segment=f"{number}.mp4")
        try:
            outcome = str(custody.append(body, clock.boottime_ns()).seq)
        except OSError:
            outcome = "refused"
        write_line(f"{outcome} {number}")


if __name__ == "__main__":
    main(partial(print, flush=True), Path(sys.argv[1]), *map(int, sys.argv[2:]))
