"""The folder that the demo writes into."""

import shutil
from pathlib import Path

from agent.base.errors import UserError

MARKER_FILE = ".vigie-demo"
"""A file that says that the folder is the demo's, so that the next run may empty it."""


class DemoFiles:
    """Where each thing goes. The folder is emptied first, if an earlier demo made it.

    Raises UserError where the folder is somebody else's or cannot be written to.
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
        self.panorama = folder / "panorama.jpg"
        self.config = folder / "vigie.toml"
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
                    "allowed: a new folder, an empty one, or that of an earlier demo"
                )
            for old_folder in (self.snapshots, self.state, self.export, self.scenes):
                shutil.rmtree(old_folder, ignore_errors=True)
            for old_file in (self.annotated_video, self.messages, self.log, self.scene):
                old_file.unlink(missing_ok=True)
            for old_file in (self.panorama, self.config):
                old_file.unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / MARKER_FILE).touch()
        self.snapshots.mkdir()
        self.state.mkdir()
