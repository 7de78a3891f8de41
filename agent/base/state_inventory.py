"""State inventory: the signed list of the state files that must exist, kept apart from them, next to the box's key.

    identity/state.inventory    lines `<signature, base64> <JSON>`: the first one has the whole list, each later one
                                a change of it, with the SHA-256 of the line before

Damage of a file is found by its checksum. The inventory finds a file that is missing, and an older version in its
place. A change of a file is two lines: the first one, written before the file, allows the content before and the new
one; the second one, written after it, the new one alone. So a power cut at any point is no loss, and after it each
loss is still found. A file whose presence alone is listed is added after its creation and removed before its deletion.

A signature is over the bytes of the JSON. That of the last line covers the lines before it by their hashes.
"""

import base64
import contextlib
import fcntl
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, TypeAlias

import msgspec

from agent.base import atomic_file
from agent.base.damaged_file import note_lost, set_aside
from agent.base.device_identity import IDENTITY_DIR, KEY_FILE, DeviceIdentity
from agent.base.file_lock import lock_exclusively
from agent.base.file_read import read_regular_file, read_stamp
from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.base.sha256 import Sha256, sha256_hex

INVENTORY_FILE = "state.inventory"
MAX_INVENTORY_BYTES = 16_777_216
MAX_FILE_BYTES = 1_048_576
"""Of a file whose content is listed."""
SPARE_BYTES = 65_536
"""The inventory is written again as one line if it is longer than twice that line and this."""

CONTENT_PATTERNS = (
    "control/revocations.json",
    "count_proofs/*.json",
    "desired/decision.json",
    "desired/layer.json",
    "heads/*/presets.json",
    "heads/*/tokens.json",
    "incidents.json",
    "owner-policies/*.json",
)
"""Files whose content is listed, below the state folder."""
PRESENCE_PATTERNS = (
    "custody/*.chain",
    "desired/models/*/*.tflite",
    "holds/*.json",
    "masks/*.json",
)
"""Files whose presence alone is listed: they have hashes of their own, or change with each event. An empty one is missing."""

Contents: TypeAlias = tuple[Sha256 | None, ...]
"""The SHA-256 of each content that a file may have; None if it may be missing. Empty: it may have any."""

LOST_REASON = "missing: the state inventory lists it"
_GENESIS_SHA256 = "0" * 64
_NEVER_WRITTEN: Contents = (None,)


class ChainEnd(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt that a custody log must have: the fields that the one after it must match."""

    seq: Annotated[int, msgspec.Meta(ge=1)]
    sha256: Sha256
    time: str
    boot: str
    t_ns: int


class InventoryHead(msgspec.Struct, frozen=True, kw_only=True):
    """Newest line of the state inventory: its number and hash."""

    revision: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    sha256: Sha256


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of the list; a file without contents is no longer listed. `whole`: it is the list itself."""

    v: Literal[1] = 1
    revision: Annotated[int, msgspec.Meta(ge=1)]
    prev_sha256: Sha256
    public_key: str
    whole: bool
    files: dict[str, Contents | None] = {}
    chains: dict[str, ChainEnd] = {}


_LINE_DECODER = JsonDecoder(_Line)


class InventoryList(msgspec.Struct, frozen=True, kw_only=True):
    """The list of an inventory: contents by path, and the end of each custody log by its folder."""

    head: InventoryHead
    public_key: str
    files: Mapping[str, Contents] = MappingProxyType({})
    chains: Mapping[str, ChainEnd] = MappingProxyType({})
    valid_bytes: int = 0


class BadInventory(ValueError):
    """Bytes are no state inventory. `str(error)` is one line."""


def parse_inventory(data: bytes) -> InventoryList:
    """Return the list of a file. A line that a power cut has truncated is left out.

    The signature is of the key that the inventory states. Raises: BadInventory.
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - commands that read no inventory start without it

    from agent.base.signed_manifest import decode_public_key  # noqa: PLC0415

    end = data.rfind(b"\n") + 1
    lines = data[:end].splitlines(keepends=True)
    if lines and b"\0" in lines[-1]:  # its length was durable before its bytes
        end -= len(lines.pop())
    files: dict[str, Contents] = {}
    chains: dict[str, ChainEnd] = {}
    last: _Line | None = None
    signature, json, sha256 = b"", b"", _GENESIS_SHA256
    for number, line in enumerate(lines, start=1):
        signature, _, json = line.rstrip(b"\n").partition(b" ")
        try:
            change = _LINE_DECODER.decode(json)
        except MalformedJson as error:
            raise BadInventory(f"line {number}: {error}") from error
        if last is None:
            is_next = change.whole
        else:
            is_next = (
                not change.whole
                and change.revision == last.revision + 1
                and change.prev_sha256 == sha256
                and change.public_key == last.public_key
            )
        if not is_next:
            raise BadInventory(f"line {number}: does not follow the line before")
        _apply(files, change.files)
        chains.update(change.chains)
        last, sha256 = change, sha256_hex(line)
    if last is None:
        raise BadInventory("has no line")
    try:
        public_key = decode_public_key(last.public_key)
        raw = base64.b64decode(signature, validate=True)
        if base64.b64encode(raw) != signature:
            raise ValueError("not the canonical base64 of these bytes")  # noqa: TRY301 - one handler for all
        public_key.verify(raw, json)
    except (ValueError, InvalidSignature) as error:
        raise BadInventory(f"line {len(lines)}: the key did not sign these bytes") from error
    return InventoryList(
        head=InventoryHead(revision=last.revision, sha256=sha256),
        public_key=last.public_key,
        files=files,
        chains=chains,
        valid_bytes=end,
    )


def _apply(files: dict[str, Contents], changes: Mapping[str, Contents | None]) -> None:
    for name, contents in changes.items():
        if contents is None or contents == _NEVER_WRITTEN:
            files.pop(name, None)
        else:
            files[name] = contents


class StateInventory:
    """The inventory of one state folder. Thread-safe, and safe for several processes of the agent's user.

    Methods that write raise OSError, also if the box's key is damaged: the agent makes a new one at its start.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._path = state_dir / IDENTITY_DIR / INVENTORY_FILE
        self._lock = threading.RLock()
        self._identity: DeviceIdentity | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._list: InventoryList | None = None

    def find_problem(self, path: Path, data: bytes | None) -> str | None:
        """Return why the content of a file, None if it is missing, is not that of the inventory, or None if it is.

        None also without a readable inventory: the agent reports that at its start.
        """
        try:
            listed = self._read()
        except (OSError, BadInventory):
            return None
        return None if listed is None else self._problem_of(listed, self._name(path), data)

    def is_readable(self) -> bool:
        """Return True if there is an inventory, and it is whole."""
        try:
            return self._read() is not None
        except (OSError, BadInventory):
            return False

    def find_lost(self) -> dict[Path, str]:
        """Return each listed file that is missing or is not the listed version, and why. Raises BadInventory, OSError."""
        listed = self._read()
        if listed is None:
            return {}
        lost: dict[Path, str] = {}
        for name in listed.files:
            path = self._state_dir / name
            try:
                problem = self._problem_of(listed, name, self._read_content(path))
            except OSError as error:
                problem = str(error)
            if problem is not None:
                lost[path] = problem
        return lost

    def listed(self) -> tuple[Path, ...]:
        """Return the listed files."""
        return tuple(self._state_dir / name for name in self._listed_files())

    def begin_change(self, path: Path, data: bytes | None) -> None:
        """Allow a new content of a file in addition to the present one, before it is written; None before its deletion."""
        with self._locked() as listed:
            name = self._name(path)
            before = listed.files.get(name, _NEVER_WRITTEN)
            present = _digest(self._read_content(path))
            # A present content that is not the listed one stays wrong, also after a return to it.
            kept = (present,) if present in before else before
            self._append(listed, {name: tuple(dict.fromkeys((*kept, _digest(data))))})

    def end_change(self, path: Path) -> None:
        """List the present content of a file alone, if it is one of the allowed ones."""
        name = self._name(path)
        if len(self._listed_files().get(name, ())) < 2:  # noqa: PLR2004 - no change has begun
            return
        with self._locked() as listed:
            before, present = listed.files.get(name, ()), _digest(self._read_content(path))
            if present in before:
                self._append(listed, {name: (present,)})

    def add(self, *paths: Path) -> None:
        """List the presence of files that are written."""
        with self._locked() as listed:
            self._add(listed, paths)

    def remove(self, *paths: Path) -> None:
        """List files no longer, before they are deleted or after their loss is reported."""
        names = [name for name in map(self._name, paths) if name in self._listed_files()]
        if names:
            with self._locked() as listed:
                self._append(listed, dict.fromkeys(names, None))

    def chain_end(self, folder: Path) -> ChainEnd | None:
        """Return the newest receipt of a custody log that a readable inventory lists."""
        with contextlib.suppress(OSError, BadInventory):
            if (listed := self._read()) is not None:
                return listed.chains.get(self._name(folder))
        return None

    def list_chain_end(self, folder: Path, end: ChainEnd) -> InventoryHead:
        """List the newest receipt of a custody log, and return the inventory's head."""
        with self._locked() as listed:
            if listed.chains.get(self._name(folder)) == end:
                return listed.head
            return self._append(listed, {}, {self._name(folder): end}).head

    def open(self, identity: DeviceIdentity) -> None:
        """Make the inventory of a new box, or make a lost, damaged or foreign one again from what is there.

        A lost one is reported like a damaged state file. Raises LockTimeout in addition to OSError.
        """
        with self._locked(identity):
            pass

    def add_present(self) -> None:
        """List files of the state folder that other programs have added, such as a hold."""
        self.add(*self._present(PRESENCE_PATTERNS))

    def _name(self, path: Path) -> str:
        return os.path.relpath(path, self._state_dir)

    def _listed_files(self) -> Mapping[str, Contents]:
        """Return what a readable inventory lists; nothing without one, which the next change makes."""
        with contextlib.suppress(OSError, BadInventory):
            if (listed := self._read()) is not None:
                return listed.files
        return {}

    def _problem_of(self, listed: InventoryList, name: str, data: bytes | None) -> str | None:
        contents = listed.files.get(name, _NEVER_WRITTEN)
        if data is None:
            return None if None in contents else LOST_REASON
        if not contents or _digest(data) in contents:
            return None
        return "is not the version that the state inventory lists"

    def _read_content(self, path: Path) -> bytes | None:
        """Read a file; any bytes stand for one whose presence is listed. Raises OSError if it is no regular file."""
        try:
            if any(path.match(pattern) for pattern in PRESENCE_PATTERNS):
                return b"present" if path.lstat().st_size else None
            return read_regular_file(path, MAX_FILE_BYTES)
        except FileNotFoundError:
            return None

    def _read(self) -> InventoryList | None:
        """Return the list, read again if the file has changed; None if there is none. Raises BadInventory, OSError."""
        with self._lock:
            stamp = read_stamp(self._path)
            if self._list is None or stamp != self._stamp:
                try:
                    data = read_regular_file(self._path, MAX_INVENTORY_BYTES)
                except FileNotFoundError:
                    return None
                self._list, self._stamp = parse_inventory(data), stamp
            return self._list

    @contextlib.contextmanager
    def _locked(self, identity: DeviceIdentity | None = None) -> Iterator[InventoryList]:
        """Lock out other threads and processes, and yield the list, which is made if it cannot be used."""
        folder = self._path.parent
        with self._lock:
            self._identity = identity or self._owner()
            folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if identity is None:
                    # Without a limit: some writers try once, and a timeout would drop their change.
                    fcntl.flock(folder_fd, fcntl.LOCK_EX)
                else:
                    lock_exclusively(folder_fd, self._path)
                yield self._usable_list()
            finally:
                os.close(folder_fd)

    def _owner(self) -> DeviceIdentity:
        """Return the box's key. Raises OSError."""
        if self._identity is None:
            self._identity = _load_identity(self._path.parent)
        return self._identity

    def _usable_list(self) -> InventoryList:
        identity = self._owner()
        try:
            listed = self._read()
        except (OSError, BadInventory) as error:
            set_aside(self._path, error)
            return self._make(is_first=True)
        if listed is None:
            return self._make(is_first=identity.is_new)
        if listed.public_key != _encode_key(identity):
            # The custody log of another key is set aside, and so its end is not expected.
            if not identity.is_new:
                note_lost([self._path], "is signed by another key; signed again")
            return self._write_whole(listed, listed.files, {})
        return listed

    def _make(self, *, is_first: bool) -> InventoryList:
        """Make an inventory of the files that are there; report a lost one before, if this is no new box."""
        files: dict[str, Contents] = dict.fromkeys(
            map(self._name, self._present(PRESENCE_PATTERNS)), ()
        )
        for path in self._present(CONTENT_PATTERNS):
            with contextlib.suppress(OSError):
                files[self._name(path)] = (_digest(self._read_content(path)),)
        if files and not is_first:
            note_lost([self._path], "missing; made again from the files that are there")
        return self._write_whole(None, files, {})

    def _present(self, patterns: Iterable[str]) -> list[Path]:
        return [path for pattern in patterns for path in self._state_dir.glob(pattern)]

    def _add(self, listed: InventoryList, paths: Iterable[Path]) -> None:
        names = [name for name in map(self._name, paths) if name not in listed.files]
        if names:
            self._append(listed, dict.fromkeys(names, ()))

    def _append(
        self,
        listed: InventoryList,
        changes: Mapping[str, Contents | None],
        chain_ends: Mapping[str, ChainEnd] = MappingProxyType({}),
    ) -> InventoryList:
        files, chains = dict(listed.files), {**listed.chains, **chain_ends}
        _apply(files, changes)
        if listed.valid_bytes > SPARE_BYTES + 2 * _estimate_bytes(files):
            return self._write_whole(listed, files, chains)
        line, head = self._sign(listed, changes, chain_ends, whole=False)
        fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, listed.valid_bytes)
            os.lseek(fd, 0, os.SEEK_END)
            atomic_file.write_all(fd, line)
            atomic_file.sync_data(fd)
        finally:
            os.close(fd)
        return self._keep(head, files, chains, listed.valid_bytes + len(line))

    def _write_whole(
        self,
        before: InventoryList | None,
        files: Mapping[str, Contents],
        chains: Mapping[str, ChainEnd],
    ) -> InventoryList:
        line, head = self._sign(before, files, chains, whole=True)
        atomic_file.replace_atomically(self._path, line, 0o600)
        return self._keep(head, files, chains, len(line))

    def _sign(
        self,
        before: InventoryList | None,
        files: Mapping[str, Contents | None],
        chains: Mapping[str, ChainEnd],
        *,
        whole: bool,
    ) -> tuple[bytes, InventoryHead]:
        """Return the next line, and the head with it."""
        identity = self._owner()
        revision = 1 if before is None else before.head.revision + 1
        json = msgspec.json.encode(
            _Line(
                revision=revision,
                prev_sha256=_GENESIS_SHA256 if before is None else before.head.sha256,
                public_key=_encode_key(identity),
                whole=whole,
                files=dict(files),
                chains=dict(chains),
            )
        )
        line = base64.b64encode(identity.sign(json)) + b" " + json + b"\n"
        return line, InventoryHead(revision=revision, sha256=sha256_hex(line))

    def _keep(
        self,
        head: InventoryHead,
        files: Mapping[str, Contents],
        chains: Mapping[str, ChainEnd],
        valid_bytes: int,
    ) -> InventoryList:
        """Remember what was written: it is not read again."""
        self._list = InventoryList(
            head=head,
            public_key=_encode_key(self._owner()),
            files=files,
            chains=chains,
            valid_bytes=valid_bytes,
        )
        self._stamp = read_stamp(self._path)
        return self._list


def _load_identity(folder: Path) -> DeviceIdentity:
    """Return the box's key; a new box gets one. Raises OSError if it is damaged."""
    if not os.path.lexists(folder / KEY_FILE):
        return DeviceIdentity.load_or_create(folder)
    identity = DeviceIdentity.load(folder)
    if identity is None:
        raise OSError(f"{folder / KEY_FILE}: the box's key is damaged")
    return identity


def _digest(data: bytes | None) -> str | None:
    return None if data is None else sha256_hex(data)


def _encode_key(identity: DeviceIdentity) -> str:
    return base64.b64encode(identity.public_key_raw).decode()


def _estimate_bytes(files: Mapping[str, Contents]) -> int:
    return sum(len(name) + 8 + 70 * len(contents) for name, contents in files.items())
