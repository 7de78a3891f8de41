"""Write custody receipts for the entries of the update log: `python -m agent.update.custody_receipts CONFIG`.

Root updates, but the custody log belongs to the agent's user. So this runs as that user, once after a boot and
after each action of root.
"""

import logging
import sys
from pathlib import Path

from agent.base import atomic_file
from agent.base.clock import SystemClock, boot_id
from agent.base.damaged_file import set_aside
from agent.base.device_identity import DeviceIdentity
from agent.base.errors import UserError
from agent.base.file_read import read_regular_file
from agent.config import configuration
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import ServiceAction
from agent.update import update_log
from agent.update.rauc_backend import RAUC_STATE_DIR

log = logging.getLogger(__name__)

_MAX_ID_BYTES = 1024

LAST_RECEIPT_FILE = "last-update-receipt"
"""File in the state folder with the id of the last entry that has a receipt."""


def write_receipts(config: Path, log_folder: Path) -> int:
    """Write a receipt for each entry without one, and return the count. Raises: UserError, OSError.

    A power cut between a receipt and the stored id doubles that receipt; none is ever lost.
    """
    box = configuration.load(config).box
    state_dir, clock = Path(box.state), SystemClock()
    last_entry_id = _read_last_entry_id(state_dir / LAST_RECEIPT_FILE)
    entries = update_log.entries_after(update_log.read_entries(log_folder), last_entry_id)
    if not entries:
        return 0
    identity = DeviceIdentity.load_or_create(state_dir / "identity")
    custody = CustodyLog.open(state_dir / "custody", box.id, boot_id(), clock, identity)
    for entry in entries:
        description = f"{entry.action} ({entry.time})"
        custody.append(ServiceAction(by=entry.requester, action=description), clock.boottime_ns())
        atomic_file.replace_atomically(
            state_dir / LAST_RECEIPT_FILE, entry.id.encode() + b"\n", 0o640
        )
    return len(entries)


def _read_last_entry_id(path: Path) -> str:
    """Return the stored id, or an empty one: then each entry of the log gets a receipt again."""
    try:
        return read_regular_file(path, _MAX_ID_BYTES).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        set_aside(path, error)
        return ""


def main(config: Path, log_folder: Path = RAUC_STATE_DIR) -> int:
    """Write the receipts; a failure is one log line and exit code 1."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    try:
        log.info("%d receipts of updates", write_receipts(config, log_folder))
    except (UserError, OSError) as error:
        log.error("no receipts of updates: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
