"""The footage of a box by cameras and segments.

Apart from the archive, which also exports and holds: a list needs neither numpy nor cryptography, and their
imports take as long as a list of a whole day.
"""

from datetime import datetime
from pathlib import Path

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.base.message import Message
from agent.config.recording import FOOTAGE_DIR
from agent.recording import catalogue
from agent.recording.catalogue import FootageEntry


class FootageListing:
    """Lists the footage of a box, whether its agent runs or not.

    Its methods raise UserError for invalid arguments, and OSError.
    """

    def __init__(self, state_dir: Path, footage_dir: Path, clock: Clock) -> None:
        self._footage_dir = footage_dir
        self._custody_dir = state_dir / "custody"
        self._clock = clock

    @classmethod
    def from_config(cls, path: Path, clock: Clock) -> "FootageListing":
        """Open the listing of the box of a configuration file."""
        # With --state there is none to read, and its import takes as long as the rest of the start.
        from agent.config import configuration  # noqa: PLC0415

        state_dir = Path(configuration.load(path).box.state)
        return cls(state_dir, state_dir / FOOTAGE_DIR, clock)

    @classmethod
    def from_state_dir(cls, state_dir: Path, clock: Clock) -> "FootageListing":
        """Open the listing of a state folder with the default footage folder."""
        check_state_dir(state_dir)
        return cls(state_dir, state_dir / FOOTAGE_DIR, clock)

    def now(self) -> datetime:
        """Return the reference of relative times."""
        return self._clock.utc(self._clock.boottime_ns())

    def resolve_cameras(self, camera: str | None) -> list[str]:
        """Return this camera, or every one that has footage."""
        names = catalogue.list_cameras(self._footage_dir)
        if camera is None:
            return names
        if camera not in names:
            allowed = ", ".join(names) or Message("none, no camera has footage")
            raise UserError(
                Message(
                    "--camera {camera!r}: no such camera; allowed: {names}",
                    camera=camera,
                    names=allowed,
                )
            )
        return [camera]

    def find_segments(
        self, camera: str | None, begin: datetime | None, end: datetime | None
    ) -> list[FootageEntry]:
        """Return the segments that overlap a span."""
        names = self.check_span(camera, begin, end)
        return catalogue.find_segments(self._footage_dir, self._custody_dir, names, begin, end)

    def check_span(
        self, camera: str | None, begin: datetime | None, end: datetime | None
    ) -> list[str]:
        """Check a span and return its cameras."""
        if begin is not None and end is not None and end <= begin:
            raise UserError("--to: not after --from")
        return self.resolve_cameras(camera)


def check_state_dir(state_dir: Path) -> None:
    """Raise UserError if there is no such state folder."""
    if not state_dir.is_dir():
        raise UserError(f"--state {str(state_dir)!r}: no such folder")
