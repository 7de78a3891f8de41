"""The output folder of a demo."""

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
        try:
            self._prepare()
        except OSError as error:
            raise UserError(f"--out {str(folder)!r}: {error.strerror or error}") from error

    def _prepare(self) -> None:
        if self.folder.exists() and any(self.folder.iterdir()):
            if not (self.folder / MARKER_FILE).is_file():
                raise UserError(
                    f"--out {str(self.folder)!r}: has files that no demo wrote; "
                    "allowed: a new folder, an empty one, or one of an earlier demo"
                )
            for old_folder in (self.snapshots, self.state, self.export, self.scenes):
                shutil.rmtree(old_folder, ignore_errors=True)
            old_files = (self.annotated_video, self.messages, self.log, self.scene)
            for old_file in (*old_files, self.panorama, self.picture, self.config):
                old_file.unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / MARKER_FILE).touch()
        self.snapshots.mkdir()
        self.state.mkdir()
