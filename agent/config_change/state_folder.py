"""The state folder at the start of the agent: damaged files are set aside, and lost ones are noted."""

import logging
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from agent.base import lockout, selftest_result
from agent.base.damaged_file import (
    clear_closed_folder,
    clear_folder_place,
    is_lost,
    note_lost,
    set_aside,
)
from agent.base.device_identity import IDENTITY_DIR
from agent.base.state_inventory import LOST_REASON, BadInventory, StateInventory
from agent.clips.upload_queue import UPLOADS_DIR
from agent.config.desired_store import layer_file
from agent.config.recording import FOOTAGE_DIR
from agent.pipeline.camera_ground import GROUND_DIR
from agent.pipeline.camera_proof import COUNT_PROOFS_DIR
from agent.recording import mask_store, owner_policy
from agent.recording.custody.chain_files import chain_files, read_lines_backwards
from agent.recording.custody.receipts import AgentStarted, ReceiptBody, ServiceAction, parse_line
from agent.recording.retention.hold_store import HOLDS_DIR

log = logging.getLogger(__name__)

_FOLDERS = (
    IDENTITY_DIR,
    "custody",
    "outbox",
    HOLDS_DIR,
    "heads",
    "console",
    "control",
    "run",
    FOOTAGE_DIR,
    mask_store.MASKS_DIR,
    owner_policy.POLICIES_DIR,
    UPLOADS_DIR,
    GROUND_DIR,
    COUNT_PROOFS_DIR,
)


def mend_modes(state_dir: Path) -> tuple[str, ...]:
    """Let the agent's user read and write its own folders and files again; return a line for each that was closed to it.

    Of footage the folders alone: there are many files, which nothing but an export reads.
    """
    lines: list[str] = []
    if os.path.lexists(state_dir):
        _mend_mode(state_dir, "the state folder", lines)
    for parent, folders, files in os.walk(state_dir):
        is_footage = FOOTAGE_DIR in Path(parent).relative_to(state_dir).parts
        for name in (*folders, *(() if is_footage else files)):
            path = Path(parent, name)
            _mend_mode(path, str(path.relative_to(state_dir)), lines)
    return tuple(lines)


def _mend_mode(path: Path, name: str, lines: list[str]) -> None:
    try:
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            mended = mode | stat.S_IRWXU
        elif stat.S_ISREG(status.st_mode):
            mended = mode | stat.S_IRUSR | stat.S_IWUSR
        else:
            return
        if mended == mode or status.st_uid != os.geteuid():
            return
        path.chmod(mended)
    except OSError as error:
        log.error("%s: %s", path, error)
        return
    lines.append(f"the mode of {name} was {mode:03o}, and is {mended:03o} again")
    log.error(lines[-1])


def set_damaged_aside(state_dir: Path) -> None:
    """Set aside what is in a folder's place, and damaged files that no other part of the agent owns.

    A folder of another user that the agent cannot use is set aside too, but for footage. The parts do the same with their
    own files when they open them.
    """
    for name in _FOLDERS:
        clear_folder_place(state_dir / name)
        if name != FOOTAGE_DIR:
            clear_closed_folder(state_dir / name)
    mask_store.set_damaged_aside(state_dir / mask_store.MASKS_DIR)
    selftest_result.state_file(state_dir).load()
    lockout.state_file(state_dir).load()


def set_lost_aside(state_dir: Path) -> None:
    """Note the listed files that are missing, and set older versions aside, before the parts open their files.

    The configuration stays listed until a version replaces it: its cameras are closed until then. Holds stay listed
    until they are placed again.
    """
    inventory, layer, holds = (
        StateInventory(state_dir),
        layer_file(state_dir),
        state_dir / HOLDS_DIR,
    )
    try:
        lost = {
            path: reason for path, reason in inventory.find_lost().items() if path.parent != holds
        }
        note_lost((path for path in lost if not os.path.lexists(path)), LOST_REASON)
        for path, reason in lost.items():
            if os.path.lexists(path):
                set_aside(path, reason)
        inventory.remove(*(path for path in lost if path != layer))
        inventory.add_present()
        for path in inventory.listed():
            if path != layer:
                inventory.end_change(path)
    except (OSError, BadInventory) as error:
        log.error("the state inventory: %s", error)


STORED_VERSION = "configuration"
"""The key of the stored version in `AgentStarted.versions`; absent if none sets anything."""

_STORED_ACTION = re.compile(r"configuration \d+: (on trial|in force)")


def note_lost_version(state_dir: Path) -> None:
    """Note the loss of the centre's version that was lost together with the state inventory, which would miss it.

    The custody log shows whether a version was stored: the receipt of each start names it, and a receipt of each change.
    If it was, or if the log cannot tell, the version counts as lost, and the cameras are closed until another one is in
    force or a technician resets it. A box without a custody log is a new one: nothing else is certain to be of an
    earlier run.
    """
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
    folder = state_dir / "custody"
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
