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
from agent.recording.custody.receipts import Serviced
from agent.update import update_log
from agent.update.rauc_backend import STATE

log = logging.getLogger(__name__)

SEEN = "update-told"
"""In the agent's state folder: the entry that the newest receipt is of."""


def tell(config: Path, folder: Path) -> int:
    """Make a receipt of each entry that has none; how many. Raises BadInput or OSError.

    A cut between a receipt and the note of it makes that receipt twice, and never not at all.
    """
    box = configuration.load(config).box
    state, clock = Path(box.state), SystemClock()
    try:
        seen = (state / SEEN).read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        seen = ""
    entries = update_log.after(update_log.read(folder), seen)
    if not entries:
        return 0
    identity = DeviceIdentity.load_or_make(state / "identity")
    custody = CustodyLog.open(state / "custody", box.id, boot_id(), clock, identity)
    for entry in entries:
        what = f"{entry.what} ({entry.time})"
        custody.append(Serviced(by=entry.by, what=what), clock.boottime_ns())
        atomic_file.replace_atomically(state / SEEN, entry.id.encode() + b"\n", 0o640)
    return len(entries)


def main(config: Path, folder: Path = STATE) -> int:
    """Tell, and say in one line why not."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    try:
        log.info("%d receipts of what was done to the system", tell(config, folder))
    except (UserError, OSError) as error:
        log.error("no receipts of what was done to the system: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
