"""State files: small JSON documents with a checksum, replaced durably, bounded and validated when read.

    {"sha256": "5f1c...", "state": {"next": 3000}}

A bit that flips on a worn card can turn a document into another valid one: of the flips in a head's presets
a fifth gave another angle or name, and its masks would have hidden another part of the street. The checksum is
over the label of the file and the JSON of `state`, so that one file's content in another's place is found too.
"""

import contextlib
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from agent.base import atomic_file
from agent.base.damaged_file import set_aside
from agent.base.file_read import read_regular_file
from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.base.sha256 import Sha256, sha256_hex
from agent.base.state_inventory import StateInventory

StateT = TypeVar("StateT", bound=msgspec.Struct)

MAX_BYTES = 1_048_576


class DamagedStateFile(ValueError):
    """A state file cannot be read, or is not what was written. `str(error)` is one line."""


class _Document(msgspec.Struct, frozen=True):
    sha256: Sha256
    state: msgspec.Raw


_DOCUMENT_DECODER = JsonDecoder(_Document)


class StateFile(Generic[StateT]):
    """One document of one struct type.

    With an `inventory` a file that is missing or is not the newest one counts as damaged.
    `label` tells apart the files of one name, such as those of two heads; it is the name by default. A
    `shared` file may be read by every user of the box (mode 0644, in a folder of 0755); any other one gets
    0666 less the umask, in a folder of 0700. Not thread-safe: one thread writes.
    """

    def __init__(
        self,
        path: Path,
        state_type: type[StateT],
        *,
        label: str | None = None,
        shared: bool = False,
        inventory: StateInventory | None = None,
    ) -> None:
        self.path = path
        self._inventory = inventory
        self._decoder = JsonDecoder(state_type)
        self._label = label or path.name
        self._shared = shared

    def read_strictly(self) -> StateT | None:
        """Return the document, or None if there is none. Never changes a file.

        Raises: DamagedStateFile.
        """
        data: bytes | None = None
        try:
            data = read_regular_file(self.path, MAX_BYTES)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise DamagedStateFile(str(error)) from error
        try:
            state = None if data is None else self.decode(data)
        except MalformedJson as error:
            raise DamagedStateFile(str(error)) from error
        problem = self._inventory and self._inventory.find_problem(self.path, data)
        if problem:
            raise DamagedStateFile(problem)
        return state

    def read(self) -> StateT | None:
        """Return the document, or None if there is none or it is damaged. Never changes a file."""
        try:
            return self.read_strictly()
        except DamagedStateFile:
            return None

    def load(self) -> StateT | None:
        """Return the document like `read`; a damaged file is set aside, to be reported by the agent.

        For the owner of the file alone. If the rename fails too the file stays, and the next `write`
        replaces it.
        """
        try:
            return self.read_strictly()
        except DamagedStateFile as error:
            set_aside(self.path, error)
            return None

    def write(self, state: StateT) -> None:
        """Replace the document durably, and create its folder if it is missing.

        Raises OSError; the old document stays then.
        """
        atomic_file.make_dir(self.path.parent, 0o755 if self._shared else 0o700)
        mode = 0o644 if self._shared else 0o666
        data = self.encode(state)
        if self._inventory is not None:
            self._inventory.begin_change(self.path, data)
        atomic_file.replace_atomically(self.path, data, mode, apply_umask=not self._shared)
        if self._inventory is not None:
            self._inventory.end_change(self.path)

    def delete(self) -> None:
        """Delete the file durably, if there is one. Raises OSError."""
        if self._inventory is not None:
            self._inventory.begin_change(self.path, None)
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
            atomic_file.fsync_dir(self.path.parent)
        if self._inventory is not None:
            self._inventory.end_change(self.path)

    def decode(self, data: bytes) -> StateT:
        """Return the document of a file with these bytes.

        Raises: MalformedJson if it is none, DamagedStateFile if it was changed.
        """
        document = _DOCUMENT_DECODER.decode(data)
        if self._checksum(document.state) != document.sha256:
            raise DamagedStateFile("its checksum is wrong")
        return self._decoder.decode(document.state)

    def encode(self, state: StateT) -> bytes:
        """Return the bytes of the file with this document."""
        raw = msgspec.Raw(msgspec.json.encode(state))
        document = _Document(sha256=self._checksum(raw), state=raw)
        return msgspec.json.encode(document) + b"\n"

    def _checksum(self, state: msgspec.Raw) -> str:
        return sha256_hex(self._label.encode() + b"\n" + bytes(state))
