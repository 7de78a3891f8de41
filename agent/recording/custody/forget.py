"""The oldest receipts go, once none of the footage that they speak of is left.

A file of the chain goes whole, never a part, and never the newest ones; a receipt says which numbers
went. What is left is a stretch of the chain, and verifies as before.
"""

import logging
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path

from agent.base.atomic_file import fsync_dir
from agent.recording.custody.custody_log import CustodyLog, first_seq_of_file
from agent.recording.custody.receipts import (
    BadReceipt,
    ReceiptsPruned,
    SegmentClosed,
    SegmentOpened,
    parse_line,
)

log = logging.getLogger(__name__)

KEPT_FILES = 50
"""Half a million receipts, below 400 MB: what people did is kept so long after its footage went."""

SegmentExists = Callable[[str, str], bool]
"""Whether the file of a camera and segment name is on the disk."""


def prune_chain(custody: CustodyLog, segment_exists: SegmentExists, t_ns: int) -> int:
    """Delete the oldest files of the chain that speak of no footage any more. How many went.

    None go where no footage of the newest receipts is there either: then it is the disk of
    footage that is away. Raises OSError.
    """
    files = custody.chain_files()
    prunable, newest = files[:-KEPT_FILES], files[-2:]
    if not prunable or not any(_has_footage(path, segment_exists) for path in newest):
        return 0
    pruned = list(takewhile(lambda path: not _has_footage(path, segment_exists), prunable))
    if not pruned:
        return 0
    last_seq = first_seq_of_file(files[len(pruned)]) - 1
    custody.append(ReceiptsPruned(first_seq=first_seq_of_file(pruned[0]), last_seq=last_seq), t_ns)
    for path in pruned:
        path.unlink()
    fsync_dir(custody.folder)
    log.info("receipts up to %d are forgotten, their footage is gone", last_seq)
    return len(pruned)


def _has_footage(path: Path, segment_exists: SegmentExists) -> bool:
    return any(segment_exists(camera, name) for camera, name in _iter_segments(path))


def _iter_segments(path: Path) -> Iterator[tuple[str, str]]:
    """Camera and name of what a file's receipts opened and closed, as far as they can be read."""
    with path.open("rb") as file:
        for line in file:
            try:
                body = parse_line(line).receipt.body
            except BadReceipt:
                continue
            if isinstance(body, SegmentOpened | SegmentClosed):
                yield body.camera, body.segment
