"""A process that appends receipts until it is killed: `custody_child.py FOLDER FIRST`.

Says the number of each receipt that was returned, and which of its own it was.
"""

import sys
from pathlib import Path

from agent.clock import SystemClock, boot_id
from agent.identity import Identity
from agent.record.custody import Custody
from agent.record.receipts import Opened


def main(folder: Path, first: int) -> None:
    clock = SystemClock()
    identity = Identity.load_or_make(folder / "identity")
    custody = Custody.open(folder / "custody", "pole-17", boot_id(), clock, identity)
    number = first
    while True:
        receipt = custody.append(
            Opened(camera="north", segment=f"{number}.mp4"), clock.boottime_ns()
        )
        sys.stdout.write(f"{receipt.seq} {number}\n")
        sys.stdout.flush()
        number += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
