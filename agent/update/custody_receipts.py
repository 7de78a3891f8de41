"""What was done to the system becomes receipts in the box's chain of custody.

An update is root's, and the chain is the agent's user's: so this runs as him, once after a boot and whenever
root has something to tell. `python -m agent.update.custody_receipts CONFIG`.
"""

import logging
import sys
from pathlib import Path

from agent.base import atomic_file
from agent.base.clock import SystemClock, boot_id
from agent.base.device_identity import DeviceIdentity
from agent.base.errors import UserError
from agent.config import configuration
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import ServiceAction
from agent.update import update_log
from agent.update.rauc_backend import RAUC_STATE_DIR

log = logging.getLogger(__name__)

LAST_RECEIPT_FILE = "last-update-receipt"
"""In the agent's state folder: the entry that the newest receipt is of."""


def write_receipts(config: Path, log_folder: Path) -> int:
    """Make a receipt of each entry that has none; how many. Raises UserError or OSError.

    A cut between a receipt and the note of it makes that receipt twice, and never not at all.
    """
    box = configuration.load(config).box
    state_dir, clock = Path(box.state), SystemClock()
    try:
        last_entry_id = (
            (state_dir / LAST_RECEIPT_FILE).read_text(encoding="ascii", errors="replace").strip()
        )
    except FileNotFoundError:
        last_entry_id = ""
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


def main(config: Path, log_folder: Path = RAUC_STATE_DIR) -> int:
    """Tell, and say in one line why not."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    try:
        log.info("%d receipts of what was done to the system", write_receipts(config, log_folder))
    except (UserError, OSError) as error:
        log.error("no receipts of what was done to the system: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
