"""The output folder of a demo."""

import fcntl
import os
import shutil
from pathlib import Path

from agent.base.errors import UserError

MARKER_FILE = ".vigie-demo"
"""Marks the folder as the demo's own, so that the next run may empty it."""


class DemoFiles:
    """Paths in the output folder, which is emptied first if an earlier demo wrote it.

    Raises: UserError if the folder has other files or cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.annotated_video = folder / "annotated.mp4"
        self.messages = folder / "messages.jsonl"
        self.snapshots = folder / "snapshots"
        self.state = folder / "box"
        self.footage = self.state / "footage"
        self.export = folder / "export"
        self.log = folder / "agent.log"
        self.scene = folder / "scene.toml"
        self.picture = folder / "street.jpg"
        self.panorama = folder / "panorama.jpg"
        self.config = folder / "vigie.toml"
        self.control_ca = self.state / "control-ca.pem"
        self.scenes = folder / "scenes"
        self.presets = folder / "presets"
        self._marker_fd: int | None = None
        try:
            self._prepare()
        except BlockingIOError as error:
            self.close()
            raise UserError(
                f"--out {str(folder)!r}: another demo writes into it; allowed: another folder, or after it has ended"
            ) from error
        except OSError as error:
            raise UserError(f"--out {str(folder)!r}: {error.strerror or error}") from error

    def _prepare(self) -> None:
        if self.folder.exists() and any(self.folder.iterdir()):
            if not (self.folder / MARKER_FILE).is_file():
                raise UserError(
                    f"--out {str(self.folder)!r}: has files that no demo wrote; "
                    "allowed: a new folder, an empty one, or one of an earlier demo"
                )
            self._lock()
            for old_folder in (self.snapshots, self.state, self.export, self.scenes, self.presets):
                shutil.rmtree(old_folder, ignore_errors=True)
            old_files = (self.annotated_video, self.messages, self.log, self.scene)
            for old_file in (*old_files, self.panorama, self.picture, self.config):
                old_file.unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock()
        self.snapshots.mkdir()
        self.state.mkdir()

    def close(self) -> None:
        """Let the next demo write into the folder."""
        if self._marker_fd is not None:
            os.close(self._marker_fd)
            self._marker_fd = None

    def _lock(self) -> None:
        """Lock the marker file until `close`. Raises: BlockingIOError if another demo has locked it."""
        if self._marker_fd is None:
            self._marker_fd = os.open(self.folder / MARKER_FILE, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._marker_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
