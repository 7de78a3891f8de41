"""Folders of cameras that are not recorded any more: their footage is repaired, and ages."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from agent.base.clock import Clock
from agent.recording.camera_recovery import (
    UNKNOWN_PROVENANCE,
    SegmentProvenance,
    logged_provenance,
    recover_camera,
)
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.quarantine import QUARANTINE_DIR
from agent.recording.recovery import StoredSegment
from agent.recording.segment_name import SegmentName

RegisterFolder = Callable[[str, Path, Sequence[StoredSegment]], None]
"""Sets the content of a camera's folder, by the camera's name."""


def list_camera_folders(footage_dir: Path) -> list[str]:
    """Return the names of the cameras that have a folder. Raises OSError."""
    if not footage_dir.is_dir():
        return []
    return sorted(
        path.name for path in footage_dir.iterdir() if path.is_dir() and path.name != QUARANTINE_DIR
    )


class RemovedCameras:
    """Takes over the folders of the previous agent that no segment writer of this one has."""

    def __init__(
        self, receipt_queue: ReceiptQueue, clock: Clock, register_folder: RegisterFolder
    ) -> None:
        self._receipt_queue = receipt_queue
        self._clock = clock
        self._register_folder = register_folder
        self._pending: list[Path] = []

    def list_folders(self, footage_dir: Path, recorded_cameras: Collection[str]) -> None:
        """List the folders to be taken over. Raises OSError."""
        self._pending = [
            footage_dir / name
            for name in list_camera_folders(footage_dir)
            if name not in recorded_cameras
        ]

    def take_over(self) -> None:
        """Recover and register the folders.

        One that the disk refuses is tried again at the next call, and keeps no other one waiting.
        Raises: OSError, after all folders.
        """
        failure: OSError | None = None
        for folder in tuple(self._pending):
            try:
                find_provenance = partial(self._find_provenance, folder.name)
                segments = recover_camera(
                    folder.name, folder, self._receipt_queue, self._clock, find_provenance
                )
                self._register_folder(folder.name, folder, segments)
            except OSError as error:
                failure = error
            else:
                self._pending.remove(folder)
        if failure is not None:
            raise failure

    def _find_provenance(self, camera: str, name: SegmentName) -> SegmentProvenance:
        try:
            return logged_provenance(self._receipt_queue.read_lines_backwards(), camera, str(name))
        except OSError:
            return UNKNOWN_PROVENANCE
