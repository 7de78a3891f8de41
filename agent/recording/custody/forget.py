"""The oldest receipts go, once none of the footage that they speak of is left.

A file of the chain goes whole, never a part, and never the newest ones; a receipt says which numbers
went. What is left is a stretch of the chain, and verifies as before.
"""

import logging
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path

from agent.base.atomic_file import fsync_dir
from agent.recording.custody.custody_log import CustodyLog, first_seq
from agent.recording.custody.receipts import BadReceipt, Closed, Forgotten, Opened, read_line

log = logging.getLogger(__name__)

KEPT_FILES = 50
"""Half a million receipts, below 400 MB: what people did is kept so long after its footage went."""

IsThere = Callable[[str, str], bool]
"""Whether the file of a camera and segment name is on the disk."""


def forget(custody: CustodyLog, is_there: IsThere, t_ns: int) -> int:
    """Delete the oldest files of the chain that speak of no footage any more. How many went.

    None go where no footage of the newest receipts is there either: then it is the disk of
    footage that is away. Raises OSError.
    """
    files = custody.files()
    old, newest = files[:-KEPT_FILES], files[-2:]
    if not old or not any(_speaks_of_footage(path, is_there) for path in newest):
        return 0
    gone = list(takewhile(lambda path: not _speaks_of_footage(path, is_there), old))
    if not gone:
        return 0
    last_seq = first_seq(files[len(gone)]) - 1
    custody.append(Forgotten(first_seq=first_seq(gone[0]), last_seq=last_seq), t_ns)
    for path in gone:
        path.unlink()
    fsync_dir(custody.folder)
    log.info("receipts up to %d are forgotten, their footage is gone", last_seq)
    return len(gone)


def _speaks_of_footage(path: Path, is_there: IsThere) -> bool:
    return any(is_there(camera, name) for camera, name in _segments(path))


def _segments(path: Path) -> Iterator[tuple[str, str]]:
    """Camera and name of what a file's receipts opened and closed, as far as they can be read."""
    with path.open("rb") as file:
        for text in file:
            try:
                body = read_line(text).receipt.body
            except BadReceipt:
                continue
            if isinstance(body, Opened | Closed):
                yield body.camera, body.segment
