"""State files: small JSON documents, replaced durably, bounded and validated when read."""

import logging
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from agent.base import atomic_file
from agent.base.file_read import read_regular_file
from agent.base.json_decode import JsonDecoder, MalformedJson

log = logging.getLogger(__name__)

StateT = TypeVar("StateT", bound=msgspec.Struct)

MAX_BYTES = 1_048_576
UNREADABLE_SUFFIX = ".unreadable"


class StateFile(Generic[StateT]):
    """One JSON document of one struct type.

    A `shared` file may be read by every user of the box (mode 0644, in a folder of 0755); any other
    one gets 0666 less the umask, in a folder of 0700. Not thread-safe: one thread writes.
    """

    def __init__(self, path: Path, state_type: type[StateT], *, shared: bool = False) -> None:
        self.path = path
        self._decoder = JsonDecoder(state_type)
        self._shared = shared

    def read(self) -> StateT | None:
        """Return the document, or None if there is none or it cannot be read. Never changes a file."""
        try:
            return self._decode()
        except (OSError, MalformedJson):
            return None

    def load(self) -> StateT | None:
        """Return the document like `read`; a file that cannot be read is renamed to `NAME.unreadable`.

        For the owner of the file alone. If the rename fails too the file stays, and the next `write`
        replaces it.
        """
        try:
            return self._decode()
        except FileNotFoundError:
            return None
        except (OSError, MalformedJson) as error:
            quarantined_path = self.path.with_name(self.path.name + UNREADABLE_SUFFIX)
            try:
                self.path.replace(quarantined_path)
            except OSError as rename_error:
                log.error("%s: %s; cannot be renamed: %s", self.path, error, rename_error)
            else:
                log.error("%s: %s; kept as %s", self.path, error, quarantined_path.name)
            return None

    def write(self, state: StateT) -> None:
        """Replace the document durably, and create its folder if it is missing.

        Raises OSError; the old document stays then.
        """
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True, mode=0o755 if self._shared else 0o700)
        data = msgspec.json.encode(state) + b"\n"
        mode = 0o644 if self._shared else 0o666
        atomic_file.replace_atomically(self.path, data, mode, apply_umask=not self._shared)
        atomic_file.fsync_dir(folder.parent)

    def _decode(self) -> StateT:
        return self._decoder.decode(read_regular_file(self.path, MAX_BYTES))
