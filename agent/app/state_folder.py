"""The state folder at the start of the agent: what is damaged there is set aside before it is in the way."""

from pathlib import Path

from agent.app import selftest_result
from agent.app.camera_ground import GROUND_DIR
from agent.base import lockout
from agent.base.damaged_file import clear_folder_place
from agent.clips.upload_queue import UPLOADS_DIR
from agent.config.recording import FOOTAGE_DIR
from agent.recording import mask_store, owner_policy

_FOLDERS = (
    "identity",
    "custody",
    "outbox",
    "holds",
    "heads",
    "console",
    "control",
    "run",
    FOOTAGE_DIR,
    mask_store.MASKS_DIR,
    owner_policy.POLICIES_DIR,
    UPLOADS_DIR,
    GROUND_DIR,
)


def set_damaged_aside(state_dir: Path) -> None:
    """Set aside what is in a folder's place, and damaged files that no other part of the agent owns.

    The parts do the same with their own files when they open them.
    """
    for name in _FOLDERS:
        clear_folder_place(state_dir / name)
    mask_store.set_damaged_aside(state_dir / mask_store.MASKS_DIR)
    selftest_result.state_file(state_dir).load()
    lockout.state_file(state_dir).load()
