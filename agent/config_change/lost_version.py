"""The centre's configuration that was lost together with the state inventory, which would miss it.

The custody log shows whether a version was stored: the receipt of each start names it, and a receipt of each change. If
it was, or if the log cannot tell, the version counts as lost, and the cameras are closed until another one is in force or
a technician resets it. A box without a custody log is a new one: nothing else is certain to be of an earlier run.
"""

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from agent.base.damaged_file import is_lost, note_lost
from agent.base.state_inventory import StateInventory
from agent.config.desired_store import layer_file
from agent.recording.custody.chain_files import chain_files, read_lines_backwards
from agent.recording.custody.receipts import AgentStarted, ReceiptBody, ServiceAction, parse_line

log = logging.getLogger(__name__)

STORED_VERSION = "configuration"
"""The key of the stored version in `AgentStarted.versions`; absent if none sets anything."""

_STORED_ACTION = re.compile(r"configuration \d+: (on trial|in force)")
_CUSTODY_DIR = "custody"


def note_lost_version(state_dir: Path) -> None:
    """Note the loss of a version that the custody log shows, if neither its file nor the state inventory is there."""
    layer = layer_file(state_dir)
    if os.path.lexists(layer) or is_lost(layer) or StateInventory(state_dir).is_readable():
        return
    try:
        if (reason := _find_loss(state_dir)) is not None:
            note_lost([layer], f"missing with the state inventory: {reason}")
    except OSError as error:
        log.error("the centre's configuration: %s", error)


def _find_loss(state_dir: Path) -> str | None:
    """Return how the state shows that a version was stored, or that it may have been; None if none was. Raises OSError."""
    folder = state_dir / _CUSTODY_DIR
    files = chain_files(folder)
    for body in _bodies_backwards(folder):
        match body:
            case None:
                return "the custody log is damaged"
            case AgentStarted():
                version = body.versions.get(STORED_VERSION)
                return None if version is None else f"version {version} was stored at a start"
            case ServiceAction() if _STORED_ACTION.match(body.action):
                return f"the custody log has {body.action!r}"
    if not files:
        return None
    # The inventory is made before the first receipt: a log without one was emptied, or pruned.
    return "the custody log shows no start"


def _bodies_backwards(folder: Path) -> Iterator[ReceiptBody | None]:
    """Yield the bodies of a chain's receipts, the newest first; None for a line that is none."""
    for line in read_lines_backwards(folder):
        try:
            yield parse_line(line).receipt.body
        except ValueError:
            yield None
